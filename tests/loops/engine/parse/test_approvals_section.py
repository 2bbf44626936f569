"""The section [approvals]: what is declared is taken, and what names no act of an operator is refused."""

from __future__ import annotations

import pytest

from loops.engine.spec import DeclaredApprovals
from tests.factories.loop_files import parsed, problems


def declared(*lines: str) -> str:
    return "\n[approvals]\n" + "\n".join(lines) + "\n"


def test_without_the_section_one_operator_may_do_everything() -> None:
    assert parsed().approvals == DeclaredApprovals(second_operator=(), days=7)


def test_what_is_declared_is_taken_in_one_order() -> None:
    found = parsed(more=declared('second_operator = ["cap", "override"]', "days = 2")).approvals
    assert found == DeclaredApprovals(second_operator=("override", "cap"), days=2)


@pytest.mark.parametrize(
    "line",
    [
        "second_operator = true", 'second_operator = "cap"', 'second_operator = ["caps"]', 'second_operator = ["cap", "cap"]',
        'second_operator = ["Cap"]', "second_operator = [1]", "days = 0", "days = 31", 'days = "7"', "day = 7",
    ],
)  # fmt: skip
def test_what_nobody_can_follow_is_refused(line: str) -> None:
    assert any("approvals" in problem for problem in problems(more=declared(line)))
