"""What a rollout in stages does next: harm, signals, the course of a stage, its end without proof, and every verdict again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from deployments.engine.health.triggers import TRIGGER_BAR, Trigger
from deployments.engine.rollouts.arm_values import ArmValues
from deployments.engine.rollouts.lived_conditions import LivedFinding
from deployments.engine.rollouts.staged import CanaryTerms, StageFacts, canary_verdict
from deployments.engine.rollouts.verdict import WORST_FIRST, RolloutVerdict
from loops.engine.spec import WhenInsufficient
from tests.deployments.engine.rollouts.lives import USUAL, Arm, drawn, harm

TERMS = CanaryTerms()
UNSURE = CanaryTerms(proven_gate=False)


def facts(
    candidate: Arm = USUAL, stable: Arm = USUAL, *, stage: int = 1, weeks: int = 2, extended: int = 0, **more: Any
) -> StageFacts:
    """Facts of a stage in which people were assigned as declared."""
    seed = more.pop("seed", 1)
    share = TERMS.share(stage)
    assigned = more.pop("assigned", (round(1_000 * share), round(1_000 * (1 - share))))
    values = drawn(candidate, seed), drawn(stable, seed + 1_000)
    return StageFacts(stage, weeks, extended, *values, assigned=assigned, **more)


class TestCourse:
    def test_a_stage_waits_until_its_weeks_are_closed(self) -> None:
        verdict = canary_verdict(TERMS, facts(weeks=1))
        assert verdict.step == "wait" and verdict.reasons == ("1 of 2 weeks of this stage are closed.",)

    def test_the_first_stage_advances_and_the_last_one_promotes(self) -> None:
        first = canary_verdict(TERMS, facts(Arm(100), Arm(900), stage=0))
        assert first.step == "advance" and first.label == "safe to go on"
        assert canary_verdict(TERMS, facts()).step == "promote"
        assert canary_verdict(replace(TERMS, stages=(0.1,)), facts(Arm(100), Arm(900), stage=0)).step == "promote"

    def test_what_no_gate_has_proven_is_promoted_by_all_that_people_lived(self) -> None:
        terms = replace(UNSURE, judges_lived=True)
        good = (
            LivedFinding("improvement", 0.1, 0.05, 0.15, 0.0, "pass"),
            LivedFinding("retention", 0, -0.1, 0.1, -0.15, "pass"),
        )
        lost = replace(good[1], value=-0.3, low=-0.4, high=-0.2, verdict="fail")
        assert canary_verdict(terms, facts(Arm(reward=0.6))).step == "extend", "it was not read"
        assert canary_verdict(terms, facts(Arm(reward=0.6), lived=good)).step == "promote"
        left = canary_verdict(terms, facts(Arm(reward=0.6), lived=(good[0], lost)))
        assert left.step == "extend" and "share of days on which people come" in " ".join(left.reasons)
        assert canary_verdict(terms, facts(Arm(100), Arm(900), stage=0)).step == "advance", "only the last stage asks"

    def test_the_last_stage_may_be_longer_and_is_extended_by_the_usual_weeks(self) -> None:
        terms = replace(TERMS, last_weeks=4)
        assert [terms.weeks_due(*at) for at in ((0, 0), (0, 1), (1, 0), (1, 2))] == [2, 4, 4, 8]
        assert canary_verdict(terms, facts(Arm(100), Arm(900), stage=0)).step == "advance"
        assert canary_verdict(terms, facts(weeks=3)).reasons == ("3 of 4 weeks of this stage are closed.",)
        assert canary_verdict(terms, facts(weeks=4)).step == "promote"

    def test_a_service_with_few_people_takes_four_weeks_and_may_leave_its_first_stage_by_less_empathy(self) -> None:
        few = CanaryTerms(people=400)
        assert (few.dwell_weeks, TERMS.dwell_weeks) == (4, 2)
        assert (few.kept_empathy(0), few.kept_empathy(1), TERMS.kept_empathy(0)) == (0.85, 0.90, 0.90)
        lower = facts(Arm(40, empathy=0.73), Arm(360, empathy=0.8), stage=0, weeks=4)
        assert canary_verdict(few, lower).step == "advance"
        assert canary_verdict(replace(few, people=1_000), lower).step == "extend"

    def test_missing_proof_of_empathy_extends_the_stage_by_its_weeks(self) -> None:
        lower = facts(Arm(500, empathy=0.70))
        assert canary_verdict(TERMS, lower).step == "extend"
        again = canary_verdict(TERMS, replace(lower, extended=1))
        assert again.step == "wait" and again.figures["closed_weeks"] == 2 and "2 of 4 weeks" in again.reasons[0]

    @pytest.mark.parametrize(("candidate", "stable"), [(15, 4), (3, 400), (0, 0)])
    def test_too_few_people_never_advance(self, candidate: int, stable: int) -> None:
        verdict = canary_verdict(TERMS, facts(Arm(candidate), Arm(stable), stage=0))
        assert verdict.step == "extend" and any("at least 20 and 10 are needed" in r for r in verdict.reasons)

    def test_twenty_people_with_ten_in_the_smaller_arm_are_enough(self) -> None:
        alike = Arm(10, empathy=0.9), Arm(10, empathy=0.7)
        assert canary_verdict(TERMS, facts(*alike, stage=0)).step == "advance"


class TestUnsureGate:
    """A candidate whose gate had not enough evidence is promoted by four conditions alone."""

    def promoted(self, candidate: Arm, stable: Arm = USUAL, **more: Any) -> RolloutVerdict:
        return canary_verdict(UNSURE, facts(candidate, stable, **more))

    def test_better_and_not_worse_are_told_apart(self) -> None:
        better = self.promoted(Arm(reward=0.6))
        assert (better.step, better.label) == ("promote", "proven better")
        close = self.promoted(Arm(reward=0.505), seed=4)
        assert (close.step, close.label) == ("promote", "not worse, probably better")

    @pytest.mark.parametrize(
        ("candidate", "stable", "missing"),
        [
            (Arm(reward=0.49), Arm(), "reward"), (Arm(reward=0.6, harm=0.12), Arm(harm=0.08), "false_interventions"),
            (Arm(reward=0.6, harm=0.09), Arm(harm=0.04), "false_interventions"),
            (Arm(reward=0.6, harm=0.12), Arm(harm=0.0), "false_interventions"), (Arm(reward=0.6, empathy=0.71), Arm(), "empathy"),
        ],
    )  # fmt: skip
    def test_each_condition_alone_keeps_a_candidate_from_everybody(
        self, candidate: Arm, stable: Arm, missing: str
    ) -> None:
        verdict = self.promoted(candidate, stable)
        assert verdict.step == "extend"
        assert [name for name, c in verdict.figures["conditions"].items() if c["state"] != "holds"] == [missing]

    def test_a_gate_that_said_pass_needs_empathy_alone(self) -> None:
        verdict = canary_verdict(TERMS, facts(Arm(reward=0.49, harm=0.12), Arm(harm=0.08)))
        assert verdict.step == "promote" and verdict.label == "passed its gate, no harm found"

    def test_a_loss_within_the_margin_of_the_loops_scale_is_no_matter_of_units(self) -> None:
        values = facts(Arm(reward=0.6))
        arms = []
        for v in (values.candidate, values.stable):
            assert isinstance(v, ArmValues)
            arms.append(replace(v, reward=7 * v.reward, past_reward=7 * v.past_reward))
        verdict = canary_verdict(replace(UNSURE, reward_scale=7.0), replace(values, candidate=arms[0], stable=arms[1]))
        assert verdict.step == "promote"

    def test_where_the_stable_version_never_speaks_the_bars_take_its_place(self) -> None:
        """A reference that waits has rewards, and nobody who could rate an intervention."""
        silent = replace(drawn(Arm(), 5), empathy=np.full(500, np.nan), false_intervention=np.full(500, np.nan))
        for candidate, step in (
            (Arm(reward=0.6, harm=0.06), "promote"), (Arm(reward=0.6, harm=0.12), "extend"),
            (Arm(reward=0.6, empathy=0.6), "extend"),
        ):  # fmt: skip
            assert canary_verdict(UNSURE, replace(facts(candidate), stable=silent)).step == step


class TestHarmAndSignals:
    @pytest.mark.parametrize("name", ["empathy_drop", "false_intervention_rise", "latency_over_250_ms", "silence"])
    def test_any_proven_guardrail_takes_the_candidate_back_at_once(self, name: str) -> None:
        verdict = canary_verdict(TERMS, facts(weeks=0, triggers=(harm(name), harm("other", proven=False))))
        assert verdict.step == "roll_back" and verdict.label == "harm proven" and len(verdict.reasons) == 2

    @pytest.mark.parametrize("candidate", [Arm(reward=0.3), Arm(week=3.0), Arm(speaks=0.95), Arm(speaks=0.05)], ids=str)
    def test_a_signal_pauses(self, candidate: Arm) -> None:
        stable = Arm(speaks=0.4)
        assert canary_verdict(TERMS, facts(candidate, stable, weeks=1)).step == "pause"

    def test_signals_are_silent_where_nothing_differs(self) -> None:
        """400 looks: at most five bounds of one in a thousand each, so 9 or more have a probability below .1%."""
        paused = sum(
            canary_verdict(TERMS, facts(Arm(50), Arm(450), weeks=1, stage=0, seed=s)).step == "pause"
            for s in range(400)
        )
        assert paused < 9

    @pytest.mark.parametrize(("logged", "step"), [(0.0, "pause"), (0.2, "pause"), (0.4, "wait")])
    def test_a_first_policy_is_compared_with_the_draws_that_people_are_used_to(self, logged: float, step: str) -> None:
        """The reference speaks only where it explores, so any policy that speaks does so many times as often."""
        verdict = canary_verdict(replace(TERMS, logged_rate=logged), facts(Arm(speaks=0.4), Arm(speaks=0.04), weeks=1))
        assert verdict.step == step
        assert ("times as often" in " ".join(verdict.reasons)) is (step == "pause")

    def test_a_version_that_speaks_where_the_reference_waits_is_no_signal(self) -> None:
        assert canary_verdict(TERMS, facts(Arm(speaks=0.5), Arm(speaks=0.0), weeks=1)).step == "wait"

    def test_a_ratio_that_is_off_pauses(self) -> None:
        verdict = canary_verdict(TERMS, facts(assigned=(400, 600)))
        assert verdict.step == "pause" and "400 people were assigned" in verdict.reasons[0]

    @pytest.mark.parametrize(("met_both", "step"), [(10, "promote"), (11, "pause")])
    def test_more_than_one_in_a_hundred_people_in_both_arms_pause(self, met_both: int, step: str) -> None:
        assert canary_verdict(TERMS, facts(exposed_both=met_both)).step == step

    def test_the_worst_wins_and_all_reasons_are_listed(self) -> None:
        verdict = canary_verdict(
            TERMS, facts(Arm(reward=0.2), assigned=(400, 600), exposed_both=90, triggers=(harm(),))
        )
        assert verdict.step == "roll_back" and len(verdict.reasons) >= 5
        assert "Empathy is proven to be lower" in verdict.reasons[0]
        assert any("Reward is lower" in reason for reason in verdict.reasons)


class TestEnds:
    LOWER = facts(Arm(30, empathy=0.735, reward=0.55), Arm(30), weeks=6, extended=2)

    @pytest.mark.parametrize(("ends", "step"), [("go_back", "end"), ("extend", "end"), ("accept", "promote")])
    def test_when_no_extension_is_left_the_stage_ends_as_the_terms_say(self, ends: WhenInsufficient, step: str) -> None:
        verdict = canary_verdict(replace(TERMS, when_insufficient=ends), self.LOWER)
        assert verdict.figures["conditions"]["empathy"]["state"] == "open" and verdict.step == step
        assert verdict.label == ("accepted without proof" if step == "promote" else "ended without proof")

    def test_what_has_failed_is_not_accepted(self) -> None:
        terms = replace(TERMS, when_insufficient="accept")
        assert canary_verdict(terms, replace(self.LOWER, candidate=drawn(Arm(30, empathy=0.6)))).step == "end"

    @pytest.mark.parametrize("ends", ["go_back", "accept"])
    def test_no_people_are_no_success_and_no_failure(self, ends: WhenInsufficient) -> None:
        nobody = facts(Arm(0), Arm(0), weeks=6, extended=2, late=True, assigned=(0, 0))
        verdict = canary_verdict(replace(TERMS, when_insufficient=ends), nobody)
        assert verdict.step == "end" and verdict.label == "ended without proof"

    @pytest.mark.parametrize(("ends", "step"), [("go_back", "end"), ("extend", "extend"), ("accept", "promote")])
    def test_the_deadline_ends_a_stage_although_it_could_be_extended(self, ends: WhenInsufficient, step: str) -> None:
        late = replace(self.LOWER, closed_weeks=2, extended=0, late=True)
        assert canary_verdict(replace(TERMS, when_insufficient=ends), late).step == step

    def test_proof_counts_after_the_deadline(self) -> None:
        assert canary_verdict(TERMS, facts(late=True)).step == "promote"

    def test_no_stage_is_without_an_end(self) -> None:
        """Each tick that finds no proof extends or ends, and extensions are counted."""
        for ends in ("go_back", "extend", "accept"):
            terms, state = replace(TERMS, when_insufficient=ends), replace(self.LOWER, closed_weeks=0, extended=0)
            for week in range(1, 30):
                verdict = canary_verdict(terms, replace(state, closed_weeks=week))
                if verdict.step == "extend":
                    state = replace(state, extended=state.extended + 1)
                elif verdict.step != "wait":
                    break
            assert verdict.step in ("end", "promote") and week == 6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stages": ()}, "ascending"), ({"stages": (0.5, 0.1)}, "ascending"), ({"stages": (0.1, 1.0)}, "between 0 and 1"),
        ({"extensions": -1}, "negative"), ({"when_insufficient": "hope"}, "go_back"), ({"reward_scale": 0.0}, "above 0"),
    ],
)  # fmt: skip
def test_terms_that_no_rollout_can_follow_say_what_is_wrong(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        CanaryTerms(**wrong)


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
finite = st.floats(-50, 50)


@st.composite
def arms(draw: st.DrawFn) -> ArmValues:
    people = draw(st.integers(0, 12))
    columns = [np.array(draw(st.lists(numbers, min_size=people, max_size=people))) for _ in range(6)]
    return ArmValues(*columns)


triggers = st.builds(
    Trigger, st.sampled_from(["empathy_drop", "silence", "new"]), st.none() | finite, st.just("1 week"), finite,
    st.just(TRIGGER_BAR), st.booleans(), st.booleans(),
)  # fmt: skip
counts = st.integers(0, 3_000)
any_facts = st.builds(
    StageFacts, st.integers(0, 3), st.integers(0, 9), st.integers(0, 3), arms(), arms(),
    st.lists(triggers, max_size=3).map(tuple), counts, st.tuples(counts, counts), st.booleans(),
)  # fmt: skip
any_terms = st.builds(
    CanaryTerms, st.sampled_from([(0.1, 0.5), (0.3,), (0.01, 0.2, 0.9)]), st.sampled_from([100, 5_000]), st.integers(0, 3),
    st.integers(0, 2), st.sampled_from(["extend", "accept", "go_back"]), st.booleans(), st.sampled_from([0.01, 1.0, 30.0]),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(any_terms, any_facts)
def test_every_verdict_can_be_computed_again_from_what_is_stored(terms: CanaryTerms, found: StageFacts) -> None:
    with np.errstate(all="ignore"):
        verdict = canary_verdict(terms, found)
    assert verdict.step in WORST_FIRST and verdict.reasons and verdict.label
    stored = json.loads(json.dumps([terms.as_json(), found.as_json()], allow_nan=False))
    again = canary_verdict(CanaryTerms.from_json(stored[0]), StageFacts.from_json(stored[1]))
    assert again == verdict
    assert RolloutVerdict.from_json(json.loads(json.dumps(verdict.as_json(), allow_nan=False))) == verdict


@settings(max_examples=50, deadline=None)
@given(any_terms, any_facts)
def test_more_harm_never_leads_to_more_traffic(terms: CanaryTerms, found: StageFacts) -> None:
    with np.errstate(all="ignore"):
        before = canary_verdict(terms, found)
        after = canary_verdict(terms, replace(found, triggers=(*found.triggers, harm())))
        crossed = canary_verdict(terms, replace(found, exposed_both=sum(found.assigned) + 1))
    assert after.step == "roll_back" and set(before.reasons) <= set(after.reasons)
    assert crossed.step in ("pause", "roll_back")


def test_fewer_than_ten_people_of_an_arm_are_shown_to_nobody() -> None:
    verdict = canary_verdict(UNSURE, facts(Arm(9), Arm(400), stage=0))
    shown = verdict.figures["conditions"]["empathy"]
    assert shown["estimate"] is shown["candidate"] is shown["low"] is None and shown["n_candidate"] == 0
    assert not any("difference" in reason for reason in verdict.reasons)


def test_candidates_that_change_nothing_are_hardly_ever_called_better() -> None:
    """400 candidates without an effect, at the end of the last stage: 5% may be called better (42 or more: below .001)."""
    labels = [canary_verdict(UNSURE, facts(Arm(150), Arm(150), seed=s)).label for s in range(400)]
    assert labels.count("proven better") < 42


def test_worse_candidates_are_hardly_ever_promoted() -> None:
    """A loss of .05 scales among 500 people an arm: at most 5% by the margin, and the sign of the mean makes it fewer."""
    steps = [canary_verdict(UNSURE, facts(Arm(reward=0.45), Arm(), seed=s)).step for s in range(300)]
    assert steps.count("promote") < 9
