"""The verdict of an apprenticeship: it waits, ends when its time is over, and says what is known and what is not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.errors import InputError
from deployments.engine.rollouts.apprentice import (
    APPRENTICE_FINISHED,
    NO_OWN_CHOICES,
    PROMOTES_NOTHING,
    ApprenticeFacts,
    ApprenticeTerms,
    apprentice_verdict,
)
from deployments.engine.rollouts.imitation import gain_of, imitation_of
from deployments.engine.rollouts.shadow import NOT_DEPLOYABLE, ShadowCounts
from tests.deployments.engine.rollouts.own_worlds import lived

TERMS = ApprenticeTerms()


def facts(rule: str = "leaning", *, days: int = 28, people: int = 60) -> ApprenticeFacts:
    own = lived(rule, people=people)
    counts = ShadowCounts(scored=len(own.person))
    return ApprenticeFacts(days, 0, counts, len(own.person), 40, imitation_of(own, ("wait", "walk")), gain_of(own, 2.0))


def test_it_waits_for_its_time_and_promotes_nothing_after_it() -> None:
    assert (apprentice_verdict(TERMS, facts(days=27)).step, TERMS.weeks) == ("wait", 4)
    verdict = apprentice_verdict(TERMS, facts())
    assert (verdict.step, verdict.label, verdict.reasons[-1]) == ("end", APPRENTICE_FINISHED, PROMOTES_NOTHING)
    assert apprentice_verdict(TERMS, replace(facts(days=5), overdue=True)).step == "end"


def test_it_says_what_is_known_in_plain_words() -> None:
    said = " ".join(apprentice_verdict(TERMS, facts()).reasons)
    assert "sent its own choice in 1,500 of 1,540 decisions. The stable version made the other 40." in said
    assert "of the app's choices, by 60 people" in said and "wait 0%, walk 100%" in said
    assert (
        "they differ where the app seems to vary by itself. If it chose by chance there" in said
        and "can look like chance" in said
    )


def test_it_says_which_part_is_not_known() -> None:
    said = " ".join(apprentice_verdict(TERMS, facts("threshold")).reasons)
    assert "the app never tried the version's action in alike contexts, so nothing is known of it." in said
    assert "These limits take any reward from -2 to 2 wherever both differ." in said and "vary by itself" not in said


def test_without_enough_choices_of_the_app_it_is_extended_and_then_ends() -> None:
    none = ApprenticeFacts(28, 0, without=500)
    assert apprentice_verdict(TERMS, none).step == "extend"
    ended = apprentice_verdict(TERMS, replace(none, days=56, extended=1))
    assert (ended.step, ended.label) == (
        "end",
        NO_OWN_CHOICES,
    ) and "The stable version made the other 500." in ended.reasons[1]
    few_people = replace(facts(people=9), days=56, extended=1)
    assert apprentice_verdict(TERMS, few_people).label == NO_OWN_CHOICES, "nine people are too few, whatever they do"


def test_a_version_that_fails_or_is_slow_ends_it_at_once() -> None:
    for counts in (ShadowCounts(scored=200, errors=20), ShadowCounts(scored=200, late=20)):
        verdict = apprentice_verdict(TERMS, replace(facts(days=1), counts=counts))
        assert (verdict.step, verdict.label) == ("end", NOT_DEPLOYABLE)


@pytest.mark.parametrize("rule", ["leaning", "threshold", "never"])
def test_a_verdict_is_computed_again_from_what_is_stored(rule: str) -> None:
    known = facts(rule)
    terms = ApprenticeTerms.from_json(json.loads(json.dumps({"share_bp": 0} | TERMS.as_json())))
    again = ApprenticeFacts.from_json(json.loads(json.dumps(known.as_json())))
    assert apprentice_verdict(terms, again) == apprentice_verdict(TERMS, known)


def test_terms_that_nothing_can_follow_are_refused() -> None:
    with pytest.raises(InputError):
        ApprenticeTerms(weeks=0)
