"""The section [rollout]: what is declared is taken, and what cannot be followed is refused with its reason."""

from __future__ import annotations

import pytest

from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.services.rollouts.start import STARTERS
from loops.engine.spec import ROLLOUT_NAMES, DeclaredRollout
from tests.factories.loop_files import parsed, problems


def declared(*lines: str) -> str:
    return "\n[rollout]\n" + "\n".join(lines) + "\n"


def test_without_the_section_a_turn_decides() -> None:
    assert parsed().rollout == DeclaredRollout() and DeclaredRollout().strategy == ""


def test_what_is_declared_is_taken() -> None:
    found = parsed(
        more=declared('strategy = "canary"', "stages = [0.05, 0.25, 0.5]", "dwell_weeks = 1", "by_hand = true")
    ).rollout
    assert (found.strategy, found.stages, found.dwell_weeks, found.by_hand) == ("canary", (0.05, 0.25, 0.5), 1, True)
    assert (found.extensions, found.when_insufficient, found.split, found.weeks) == (3, "go_back", 0.5, 4)


@pytest.mark.parametrize(
    "line",
    [
        'strategy = "big_bang"', 'strategy = "trial"', "stages = []", "stages = [0.5, 0.1]", "stages = [0.1, 0.1]",
        "stages = [0, 0.5]", "stages = [0.5, 1]", "stages = 0.5", "stages = [0.1, nan]", "dwell_weeks = 0",
        "extensions = -1", 'when_insufficient = "hope"', "by_hand = 1", "split = 0.01", "split = 0.99", "weeks = 0",
        "wekks = 3",
    ],
)  # fmt: skip
def test_what_no_rollout_can_follow_is_refused(line: str) -> None:
    assert any("rollout" in problem for problem in problems(more=declared(line)))


def test_the_loop_file_names_strategies_that_exist() -> None:
    assert set(ROLLOUT_NAMES) <= set(STRATEGIES)
    assert set(STARTERS) <= {*ROLLOUT_NAMES, "trial"}, "a trial is what a turn begins when nothing is declared"
