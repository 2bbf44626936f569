"""Verdicts on shadow tests: failing or slow candidates are not deployable, time ends the rest, and no traffic is no success."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.errors import InputError
from deployments.engine.rollouts.off_policy import OffPolicyValue
from deployments.engine.rollouts.shadow import (
    NOT_DEPLOYABLE,
    NOTHING_SEEN,
    SEES_NO_OUTCOMES,
    SHADOW_FINISHED,
    ShadowCounts,
    ShadowFacts,
    ShadowTerms,
    shadow_verdict,
)
from deployments.engine.rollouts.verdict import RolloutVerdict

TERMS = ShadowTerms()
SEEN = ShadowCounts(scored=1_000, compared=1_000, agreed=700, intervened=400, stable_intervened=300, total_us=40_000)


def verdict(days: int, counts: ShadowCounts = SEEN, *, extended: int = 0, overdue: bool = False) -> RolloutVerdict:
    return shadow_verdict(TERMS, ShadowFacts(days, extended, counts, overdue=overdue))


def test_within_its_time_it_waits() -> None:
    said = verdict(6)
    assert (said.step, said.label) == ("wait", "waiting") and said.reasons == ("6 of 7 days have passed.",)


def test_at_the_end_of_its_time_it_has_finished_and_says_what_it_cannot_see() -> None:
    said = verdict(7)
    assert (said.step, said.label) == ("end", SHADOW_FINISHED)
    assert said.reasons[-1] == SEES_NO_OUTCOMES and "70.0% of its choices" in said.reasons[1]
    assert said.figures["agreement"] == 0.7 and said.figures["intervention_rate"] == 0.4


@pytest.mark.parametrize("days", [0, 3, 7])
def test_too_many_errors_end_it_at_any_time(days: int) -> None:
    said = verdict(days, replace(SEEN, errors=11))
    assert (said.step, said.label) == ("end", NOT_DEPLOYABLE)
    assert said.reasons[0] == "11 of 1,011 decisions of the candidate failed; at most 1% may."


def test_errors_alone_end_it_without_a_single_choice() -> None:
    assert verdict(0, ShadowCounts(errors=10)).label == NOT_DEPLOYABLE
    assert verdict(0, ShadowCounts(errors=9)).step == "wait", "a few say nothing yet"


def test_too_many_slow_choices_end_it_at_any_time() -> None:
    assert verdict(1, replace(SEEN, late=51)).label == NOT_DEPLOYABLE
    assert verdict(1, replace(SEEN, late=50)).step == "wait"


def test_no_traffic_is_never_success() -> None:
    nobody = ShadowCounts()
    assert verdict(7, nobody).step == "extend"
    assert verdict(13, nobody, extended=1).step == "wait"
    last = verdict(14, nobody, extended=1)
    assert (last.step, last.label) == ("end", NOTHING_SEEN)
    assert verdict(9, nobody, overdue=True).label == NOTHING_SEEN


def test_dropped_decisions_are_not_seen() -> None:
    assert verdict(7, ShadowCounts(dropped=10_000)).step == "extend"


def test_few_comparisons_are_not_shown() -> None:
    few = ShadowCounts(scored=99, compared=90, agreed=90)
    assert few.figures["agreement"] is None and "agreed" not in few.figures


def test_a_verdict_is_computed_again_from_what_is_stored() -> None:
    facts = ShadowFacts(8, 0, replace(SEEN, late=3), OffPolicyValue(12, "", 11.0, 0.1, 0.0, 0.2, 0.05, -0.1, 0.2), True)
    stored = json.loads(json.dumps([TERMS.as_json() | {"share_bp": 0}, facts.as_json()]))
    again = shadow_verdict(ShadowTerms.from_json(stored[0]), ShadowFacts.from_json(stored[1]))
    assert again == shadow_verdict(TERMS, facts)


@pytest.mark.parametrize(
    "wrong", [{"weeks": 0}, {"extensions": -1}, {"least_scored": 0}, {"most_errors": 1.0}, {"most_late": -0.1}]
)
def test_terms_that_no_test_can_follow_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ShadowTerms(**wrong)  # type: ignore[arg-type]
