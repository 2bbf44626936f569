"""Problem documents: each kind of error has a stable type, and no class hides behind one that it is derived from."""

from __future__ import annotations

import json

import pytest

from core import errors
from core.problem_json import KINDS, PROBLEM_TYPES, problem, problem_of

# What clients branch on. A line may be added; none may change.
PUBLISHED = {
    "budget-exceeded", "conflict", "forbidden", "insufficient-data", "invalid-input", "key-reused", "length-required",
    "malformed", "method-not-allowed", "no-consent", "not-acceptable", "not-found", "nothing-to-show", "other", "server-error",
    "too-large", "too-many-requests", "too-many-rewards", "unauthorized", "unavailable", "unsupported-media-type",
}  # fmt: skip


def test_types_are_never_renamed() -> None:
    assert {kind.removeprefix("urn:r3al:problem:") for kind in PROBLEM_TYPES} >= PUBLISHED


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_error_gets_the_type_of_its_own_class(kind: type[errors.R3alError]) -> None:
    answer = problem_of(kind("what was wrong"))
    told = json.loads(answer.content)
    assert (told["status"], told["type"]) == (KINDS[kind][0], f"urn:r3al:problem:{KINDS[kind][1]}")
    assert answer.status_code == told["status"] and told["detail"] == "what was wrong"


def test_every_class_of_expected_errors_has_a_type() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.R3alError)]
    assert set(classes) - {errors.R3alError} == set(KINDS)


def test_a_status_without_a_type_of_its_own_is_another_problem() -> None:
    assert json.loads(problem(418, "short and stout").content)["type"] == "urn:r3al:problem:other"
    assert json.loads(problem(405, "not here").content)["type"] == "urn:r3al:problem:method-not-allowed"
