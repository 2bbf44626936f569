"""What an A/B test does next: a winner is promoted, the stable version is kept, and nothing ends by a look too early."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from deployments.engine.evidence.normal_mixture import MixtureBlocks, mixture_blocks
from deployments.engine.rollouts.ab_test import AbFacts, AbTerms, ab_verdict
from deployments.engine.rollouts.verdict import WORST_FIRST
from loops.engine.spec import WhenInsufficient
from tests.deployments.engine.rollouts.lives import USUAL, Arm, drawn, harm
from tests.deployments.engine.rollouts.test_staged import arms, counts, triggers

TERMS = AbTerms()
NOBODY = np.zeros(0)


def facts(candidate: Arm = USUAL, stable: Arm = USUAL, *, weeks: int = 4, seed: int = 1, **more: Any) -> AbFacts:
    """Facts of two arms, of which each person gave one reward, in joint order."""
    ours, theirs = drawn(candidate, seed), drawn(stable, seed + 1_000)
    n, m = len(ours.reward), len(theirs.reward)
    order = np.random.default_rng(seed).permutation(n + m)
    values, past = (
        np.r_[a, b][order] for a, b in ((ours.reward, theirs.reward), (ours.past_reward, theirs.past_reward))
    )
    blocks = mixture_blocks(values, (np.arange(n + m) < n)[order], past)
    return AbFacts(weeks, more.pop("extended", 0), blocks, ours, theirs, assigned=more.pop("assigned", (n, m)), **more)


def test_a_test_runs_for_its_declared_time_although_a_winner_is_known() -> None:
    verdict = ab_verdict(TERMS, facts(Arm(reward=0.8), weeks=3))
    assert verdict.step == "wait" and verdict.figures["reward"]["winner"] == 1
    assert verdict.figures["reward"]["low"] > 0


def test_a_winner_is_promoted_and_a_loser_is_not() -> None:
    won = ab_verdict(TERMS, facts(Arm(reward=0.6)))
    assert (won.step, won.label) == ("promote", "proven better")
    lost = ab_verdict(TERMS, facts(Arm(reward=0.4)))
    assert (lost.step, lost.label) == ("end", "the stable version is kept")


def test_a_winner_that_loses_empathy_is_not_promoted() -> None:
    assert ab_verdict(TERMS, facts(Arm(reward=0.6, empathy=0.6))).step == "extend"


def test_an_unsure_gate_needs_few_false_interventions_as_well() -> None:
    found = facts(Arm(reward=0.6, harm=0.12), Arm(harm=0.08))
    assert ab_verdict(TERMS, found).step == "promote"
    assert ab_verdict(replace(TERMS, proven_gate=False), found).step == "extend"


def test_no_gain_worth_having_ends_the_test() -> None:
    same = facts(Arm(4_000), Arm(4_000))
    verdict = ab_verdict(TERMS, same)
    assert verdict.step == "end" and "A gain of 0.1 scales or more is excluded" in verdict.reasons[0]
    assert ab_verdict(replace(TERMS, minimum_effect=0.01), same).step == "extend"


def test_fewer_than_a_hundred_people_an_arm_prove_nothing() -> None:
    few = facts(Arm(90, reward=0.9), Arm(95))
    assert ab_verdict(TERMS, few).step == "extend"
    assert ab_verdict(replace(TERMS, minimum_an_arm=80), few).step == "promote"


@pytest.mark.parametrize(("ends", "step"), [("go_back", "end"), ("extend", "end"), ("accept", "promote")])
def test_a_test_without_an_answer_ends_as_the_terms_say(ends: WhenInsufficient, step: str) -> None:
    open_ = facts(Arm(400, reward=0.53), Arm(400, reward=0.5), weeks=8, extended=1, seed=0)
    terms = AbTerms(planned_people=800, planned_sd=0.2, minimum_effect=0.05, when_insufficient=ends)
    verdict = ab_verdict(terms, open_)
    assert verdict.figures["conditions"]["reward"]["state"] == "open" and verdict.step == step
    assert verdict.label == ("accepted without proof" if step == "promote" else "ended without proof")


def test_harm_and_a_broken_assignment_stop_a_winner() -> None:
    winner = facts(Arm(reward=0.6))
    assert ab_verdict(TERMS, replace(winner, triggers=(harm(),))).step == "roll_back"
    assert ab_verdict(TERMS, replace(winner, assigned=(300, 700))).step == "pause"
    assert ab_verdict(TERMS, replace(winner, exposed_both=11)).step == "pause"
    assert ab_verdict(TERMS, facts(Arm(reward=0.6, week=2.0))).step == "pause"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"split": 1.0}, "split"), ({"alpha": 0.0}, "alpha"), ({"planned_sd": 0.0}, "above 0"), ({"weeks": 0}, "one week"),
     ({"when_insufficient": ""}, "accept")],
)  # fmt: skip
def test_terms_that_no_test_can_follow_say_what_is_wrong(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AbTerms(**wrong)


@st.composite
def joint_blocks(draw: st.DrawFn) -> MixtureBlocks:
    seed, blocks = draw(st.integers(0, 99)), draw(st.integers(0, 20))
    rng = np.random.default_rng(seed)
    values = rng.standard_t(1.5, 20 * blocks) * draw(st.sampled_from([0.0, 1.0, 1e6]))
    return mixture_blocks(values, rng.random(20 * blocks) < draw(st.sampled_from([0.0, 0.1, 0.5])))


any_facts = st.builds(
    AbFacts, st.integers(0, 9), st.integers(0, 2), joint_blocks(), arms(), arms(),
    st.lists(triggers, max_size=2).map(tuple), counts, st.tuples(counts, counts), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["extend", "accept", "go_back"]), st.booleans(), any_facts)
def test_every_verdict_can_be_computed_again_and_harm_never_promotes(
    ends: WhenInsufficient, proven: bool, found: AbFacts
) -> None:
    terms = AbTerms(when_insufficient=ends, proven_gate=proven, minimum_an_arm=20)
    with np.errstate(all="ignore"):
        verdict = ab_verdict(terms, found)
        harmed = ab_verdict(terms, replace(found, triggers=(*found.triggers, harm())))
    assert verdict.step in WORST_FIRST and verdict.reasons and harmed.step == "roll_back"
    stored = json.loads(json.dumps([terms.as_json(), found.as_json(terms)], allow_nan=False))
    assert ab_verdict(AbTerms.from_json(stored[0]), AbFacts.from_json(stored[1])) == verdict
