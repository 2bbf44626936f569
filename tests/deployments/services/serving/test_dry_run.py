"""Rehearsed decisions go the way of served ones with the versions that are asked about, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.models import LatencyMinute
from deployments.services.serving.compute_decision import compute_decision
from deployments.services.serving.dry_run import dry_run
from loops.models import LoopVersion
from privacy.models import Decision, ServingState
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
RULES = 'quiet_hours = ["00:00", "23:59"]\ndaily_cap = 1\ncooldown = "30d"'


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each decision of a dry run came to, as it would have been written."""
    found: list[Any] = []

    def watched(*arguments: Any) -> Any:
        made = compute_decision(*arguments)
        found.append(made[0])
        return made

    monkeypatch.setattr("deployments.services.serving.dry_run.compute_decision", watched)
    return found


def run_dry(loop: LoopVersion, times: int, **versions: ModelVersion) -> None:
    decide = dry_run(loop_version=loop, versions=versions, seed=1)
    for _ in range(times):
        decide()


def test_the_candidate_answers_and_what_serves_beside_it(seen: list[Any]) -> None:
    loop = care_loop()
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    candidate = learned(loop, "policy", ALWAYS_WALK)
    run_dry(loop, 50, policy=candidate)
    choices = [choice for decided in seen for choice in decided.choices]
    assert {c.version for c in choices if c.head == "policy"} == {candidate.pk}
    assert {c.head for c in choices} == {"policy", "tone"} and {c.fallback for c in choices} == {""}
    assert len({tuple(decided.state) for decided in seen}) == 50, "each time in another state"


def test_the_loops_rules_never_cut_a_dry_run_short(seen: list[Any]) -> None:
    loop = care_loop(rules=RULES)
    run_dry(loop, 250, policy=learned(loop, "policy", ALWAYS_WALK))
    assert {decided.unavailable for decided in seen} == {""} and all(decided.choices for decided in seen)


def test_nothing_is_written(seen: list[Any], django_assert_num_queries: Any) -> None:
    loop = care_loop()
    decide = dry_run(loop_version=loop, versions={"policy": learned(loop, "policy", ALWAYS_WALK)}, seed=1)
    with django_assert_num_queries(0):
        for _ in range(10):
            decide()
    assert len(seen) == 10
    assert not any(model.objects.exists() for model in (Decision, ServingState, LatencyMinute))
