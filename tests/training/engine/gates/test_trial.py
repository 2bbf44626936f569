"""The trial: who gets one, and that half of the people beside the other half are read truly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories.trial_people import SIGMA, TrialPeople, passes, verdict_of, verdicts
from training.engine.gates.decision_rule import VerdictWord, attempt_alpha
from training.engine.gates.judgements import GateResult, Judgement, combine_verdicts
from training.engine.gates.trial import LEAST_Z, TRIAL_LOOKS, sample_ratio_evidence, trial_verdict, trial_wanted


def _judgement(
    name: str = "improvement", answer: VerdictWord = "insufficient", high: float = 0.1, value: float = 0.0
) -> Judgement:
    return Judgement(name, value, -0.1, high, 0.0, None, answer, "", None)


def _gate(*judgements: Judgement) -> GateResult:
    return combine_verdicts(list(judgements))


UNDECIDED = _gate(_judgement())
REFERENCE, INCUMBENT = (2.0, 1.3), (1.5, 1.0)


class TestWanted:
    def test_an_undecided_outcome_gate_asks_people(self) -> None:
        assert trial_wanted([REFERENCE], UNDECIDED)

    def test_a_model_gate_that_holds_back_asks_people(self) -> None:
        assert trial_wanted([(0.4, 1.3)], UNDECIDED)
        assert trial_wanted([REFERENCE, (0.4, 1.0)], _gate(_judgement(value=0.1)))

    def test_over_an_incumbent_the_estimate_is_above_0(self) -> None:
        assert trial_wanted([REFERENCE], _gate(_judgement(value=-0.1)))
        assert not trial_wanted([REFERENCE, INCUMBENT], _gate(_judgement(value=-0.1)))

    def test_a_hopeless_candidate_gets_none(self) -> None:
        assert not trial_wanted([(LEAST_Z - 0.01, 1.3)], None)
        assert not trial_wanted([REFERENCE, (-0.5, 1.0)], UNDECIDED)
        assert not trial_wanted([], UNDECIDED)

    def test_a_decided_gate_gets_none(self) -> None:
        assert not trial_wanted([REFERENCE], _gate(_judgement(answer="pass")))
        assert not trial_wanted([REFERENCE], _gate(_judgement(answer="fail")))

    def test_without_outcomes_nobody_is_tried_on(self) -> None:
        assert not trial_wanted([REFERENCE, INCUMBENT], None)
        assert not trial_wanted([(0.4, 1.3)], None)

    def test_a_failed_guardrail_forbids_it(self) -> None:
        assert not trial_wanted([REFERENCE], _gate(_judgement(), _judgement("false_intervention", "fail")))

    def test_an_improvement_that_cannot_be_above_0_gets_none(self) -> None:
        assert not trial_wanted([REFERENCE], _gate(_judgement(high=-0.01)))

    def test_what_the_log_never_tried_gets_none(self) -> None:
        assert not trial_wanted([REFERENCE], _gate(_judgement(), _judgement("support")))
        assert trial_wanted([REFERENCE], _gate(_judgement(), _judgement("support", "pass", high=1.05)))

    def test_too_few_people_to_tell_what_the_log_tried_do_not_forbid_it(self) -> None:
        assert trial_wanted([REFERENCE], _gate(_judgement(), _judgement("support", high=float("inf"))))


def test_a_better_candidate_passes() -> None:
    """95% of the lives pass, here three sd less."""
    assert passes(TrialPeople(gain=0.15), users=1_000, lives=60) >= 52
    assert passes(TrialPeople(gain=0.15), users=2_000, lives=30) >= 25


def test_no_candidate_passes_that_is_not_better() -> None:
    """Of 1,000 lives none passed."""
    assert passes(TrialPeople(), users=1_000, lives=200) <= 2


def test_a_worse_candidate_fails() -> None:
    results = verdicts(TrialPeople(gain=-0.15), users=2_000, lives=60)
    assert not any(v.verdict == "pass" for v in results)
    assert sum(v.verdict == "fail" for v in results) >= 48  # 92%, less three sd


def test_a_candidate_that_hurts_a_twentieth_badly_does_not_pass() -> None:
    """Most people gain .42, so that the clipped mean is far above 0, but the mean is -.10."""
    people = TrialPeople(gain=0.42, hurt=0.05)
    assert passes(people, users=1_000, lives=200) <= 21  # without an evaluation before it 5.5%, and three sd more
    assert passes(people, users=2_000, lives=40) <= 2


@pytest.mark.parametrize(("people", "words"), [
    (TrialPeople(gain=0.42, hurt=0.05), "people may have lost more than the trial can measure"),
    (TrialPeople(), "which does not exclude 0"),
])  # fmt: skip
def test_the_reason_says_whether_the_largest_losses_alone_keep_it_open(people: TrialPeople, words: str) -> None:
    found = [j for v in verdicts(people, users=2_000, lives=12) for j in v.judgements if j.name == "improvement"]
    told = [words in j.reason for j in found if j.verdict == "insufficient"]
    assert sum(told) >= 0.8 * len(told) > 0


def _evaluation(beyond: float, sd: float = 10.0) -> dict[str, np.ndarray]:
    return {
        "improvement": np.array([5.0, 4.0, beyond, 0.0, 1_000.0, 0.0]), "improvement_sd": np.array([5.0, 1.0, sd, sd, 20.0, 0.0]),
        "improvement_clips": np.ones(2), "improvement_share": np.zeros(1),
    }  # fmt: skip


def test_people_beyond_the_clip_of_an_open_evaluation_forbid_a_trial() -> None:
    assert trial_wanted([REFERENCE], UNDECIDED, _evaluation(23.2))
    assert not trial_wanted([REFERENCE], UNDECIDED, _evaluation(23.3))
    other = _gate(_judgement(answer="pass"), _judgement("false_intervention"))
    assert trial_wanted([REFERENCE], other, _evaluation(23.3))


def test_losses_between_one_and_two_clips_are_read_in_full() -> None:
    """A fifth loses 1.4 scales and the others gain .35: the clipped mean is +.13, the mean 0."""
    people = TrialPeople(gain=0.35, hurt=0.2, hurt_by=1.75, sd=0.05)
    assert passes(people, users=1_000, lives=40) <= 2


def test_heavy_tails_leave_it_open() -> None:
    assert passes(TrialPeople(heavy=2.0), users=2_000, lives=100) <= 5  # 1%


def test_false_interventions_beyond_their_bar_stop_a_better_candidate() -> None:
    few = [v for v in verdicts(TrialPeople(gain=0.3, harmful=0.12), users=2_000, lives=30) if v.verdict == "pass"]
    assert not few
    many = verdicts(TrialPeople(gain=0.3, harmful=0.2), users=2_000, lives=20)
    assert all(v.verdict == "fail" for v in many)


def test_too_little_empathy_stops_a_better_candidate() -> None:
    assert all(v.verdict == "fail" for v in verdicts(TrialPeople(gain=0.3, deficit=0.4), users=2_000, lives=20))


def test_arms_of_unequal_size_are_not_compared() -> None:
    for result in verdicts(TrialPeople(gain=0.3, share=0.65), users=2_000, lives=20):
        assert result.verdict == "insufficient"
        assert "equal numbers" in result.reason


def test_people_who_differ_in_both_directions_do_not_hide_a_gain_and_more_of_them_less() -> None:
    """Newcomers whose levels differ by a whole scale lie beyond every clip on either side, whatever the candidate does."""
    people = TrialPeople(gain=0.6, sd=1.0, past=0)
    assert passes(people, users=5_000, lives=12) >= 10
    assert passes(people, users=20_000, lives=6) == 6


def test_few_who_are_hurt_are_not_hidden_by_people_who_differ() -> None:
    people = TrialPeople(gain=0.3, sd=1.0, past=0, hurt=0.05)
    assert passes(people, users=5_000, lives=12) == 0


def test_few_people_are_not_enough() -> None:
    for result in verdicts(TrialPeople(gain=0.5), users=60, lives=20):
        assert result.verdict == "insufficient"


def test_without_noise_the_shares_are_those_of_the_people() -> None:
    rows = TrialPeople(harmful=0.05, deficit=0.2).rows(np.random.default_rng(3), 4_000)
    shown = {j.name: j for j in verdict_of(rows, sigma=None).judgements}
    assert shown["false_intervention"].value == pytest.approx(0.05, abs=0.01)
    assert shown["empathy"].value == pytest.approx(0.80, abs=0.01)
    for name in ("false_intervention", "empathy"):
        assert shown[name].low < shown[name].value < shown[name].high


def test_the_interval_covers_the_truth() -> None:
    """A two-sided interval of level 1 - 2 (.0304) = .939; in lives of 400 people too."""
    for users in (400, 1_000):
        found = [v.judgements[0] for v in verdicts(TrialPeople(gain=0.1), users=users, lives=150)]
        covered = [j.low <= 0.1 * 0.1 <= j.high for j in found]  # the loop's reward scale is .1
        assert np.mean(covered) >= 0.93


def test_each_look_is_an_attempt_on_the_people_of_the_trial() -> None:
    assert sum(attempt_alpha(look) for look in range(1, TRIAL_LOOKS + 1)) < 0.05
    rows = TrialPeople(gain=0.15).rows(np.random.default_rng(1), 1_000)
    widths = [j.high - j.low for j in (verdict_of(rows, look=k, sigma=None).judgements[0] for k in (1, 2, 3))]
    assert widths == sorted(widths)
    with pytest.raises(ValueError, match="look 4"):
        trial_verdict(None, {}, TRIAL_LOOKS + 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("difference", "users", "prior", "golden"), [(20, 100, 100, 0.658892), (500, 10_000, 10_000, 5.904378)]
)
def test_the_sample_ratio_is_the_recipes(
    difference: float, users: float, prior: float, golden: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.engine.gates.trial._MISMATCH_PRIOR", float(prior))
    assert sample_ratio_evidence(difference, 0.0, users) == pytest.approx(golden, abs=0.01)


def test_noise_makes_a_sample_ratio_less_evident() -> None:
    assert sample_ratio_evidence(200, 50, 1_000) < sample_ratio_evidence(200, 0, 1_000)
    assert SIGMA > 1
