"""Health, number by number: what is counted, what is large enough, and from where on something is proven."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from deployments.engine.evidence.e_process import bounds, mean_radius
from deployments.engine.evidence.person_weeks import PersonWeeks, TestSample
from deployments.engine.evidence.slow_minutes import SlowMinutes, log_slower_path
from deployments.engine.health import evidence as health_evidence
from deployments.engine.health import metrics, report, triggers
from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.metrics import Metric, metrics_of, rewards_are_compared
from deployments.engine.health.report import HealthReport, health_of
from deployments.engine.health.triggers import Trigger, triggers_of
from loops.engine.spec import Silence
from tests.deployments.engine.health.lives import FAST

CONSTANTS: list[tuple[ModuleType, str, object]] = [
    (metrics, "FALSE_ROLLBACK_ALPHA", 0.01),
    (metrics, "LEAST_PEOPLE_SEEN", 20),
    (metrics, "LEAST_REQUESTS", 200),
    (metrics, "LEAST_COMPARED", 10),
    (metrics, "LEAST_SHOWN", 10),
    (metrics, "EMPATHY_BAR", 0.75),
    (metrics, "FALSE_INTERVENTION_BAR", 0.10),
    (metrics, "SLOW_SHARE", 0.05),
    (report, "_CRITICAL", 3),
    (triggers, "COMPARED_METRICS", 4),
    (triggers, "TRIGGER_BAR", pytest.approx(math.log(400))),
    (triggers, "NEAR_NOTHING", 0.02),
    (triggers, "_WORST_CASE", 1.5),
    (triggers, "EMPATHY_DROP", 0.05),
    (triggers, "FALSE_INTERVENTION_RISE", 0.25),
    (
        health_evidence,
        "LIVED_COLUMNS",
        ("interventions", "answered", "harmful", "rated", "empathy_sum", "rewarded", "reward_sum"),
    ),
]


@pytest.mark.parametrize(("module", "name", "value"), [pytest.param(*c, id=c[1]) for c in CONSTANTS])
def test_a_constant_has_the_value_that_false_alarms_were_measured_with(
    module: ModuleType, name: str, value: object
) -> None:
    assert getattr(module, name) == value


def lived(rows: list[list[float]], *, week: int = 1, ours: list[bool] | None = None, closed: int = 1) -> LivedWeeks:
    n = len(rows)
    arm = np.ones(n, bool) if ours is None else np.array(ours)
    return LivedWeeks(np.full(n, week), np.arange(n), arm, np.array(rows, dtype=float), 1, closed)


#          interventions, answered, harmful, rated, empathy, rewarded, reward
SOME = [[10, 8, 2, 4, 3.0, 5, 2.5], [4, 0, 0, 0, 0.0, 0, 0.0], [0, 0, 0, 2, 1.0, 1, -0.5]]


def test_each_metric_is_of_those_who_have_it() -> None:
    found = lived(SOME)
    assert (found.empathy.count.tolist(), found.empathy.totals[:, 0].tolist()) == ([4.0, 2.0], [3.0, 1.0])
    assert (found.reward.count.tolist(), found.reward.totals[:, 0].tolist()) == ([5.0, 1.0], [2.5, -0.5])
    assert (found.answers.count.tolist(), found.answers.totals.tolist()) == ([10.0, 4.0], [[8.0, 4.0], [0.0, 4.0]])
    assert found.answers.person.tolist() == [0, 1] and found.answers.closed == 1


@pytest.mark.parametrize(
    ("silence", "count", "harmful"),
    [("unknown", [8.0], [2.0]), ("harmless", [10.0, 4.0], [2.0, 0.0]), ("harmful", [10.0, 4.0], [4.0, 4.0])],
)
def test_false_interventions_are_among_what_silence_leaves(
    silence: Silence, count: list[float], harmful: list[float]
) -> None:
    found = lived(SOME).false_interventions(silence)
    assert (found.count.tolist(), found.totals[:, 0].tolist()) == (count, harmful)


def test_no_life_has_the_columns_of_all() -> None:
    nothing = LivedWeeks.none()
    assert nothing.sums.shape == (0, 7) and (nothing.first, nothing.closed, nothing.stage_starts) == (1, 0, ())
    assert (Latency().requests, Latency().over_200_ms, Latency().minutes.values.size) == (0, 0, 0)


def metric(found: Evidence, name: str) -> Metric:
    return next(m for m in metrics_of(found) if m.name == name)


@pytest.mark.parametrize(("people", "verdict"), [(19, "too_few"), (20, "ok")])
def test_twenty_people_are_enough_for_a_verdict(people: int, verdict: str) -> None:
    found = Evidence(lived([[5, 5, 0, 5, 4.5, 5, 2.5]] * people), None, FAST, 0.05)
    for name in ("empathy", "false_intervention", "answered"):
        told = metric(found, name)
        assert (told.verdict, told.n, told.minimum_n, told.over) == (verdict, people, 20, "weeks"), name
    assert metric(found, "empathy").value == pytest.approx(0.9) and metric(found, "answered").value == 1.0
    assert metric(found, "answered").threshold is None


def test_bounds_are_those_of_all_tests_together_at_one_percent() -> None:
    people = lived([[5, 5, 0, 5, 4.5, 5, 2.5]] * 30 + [[5, 5, 5, 5, 0.5, 5, 0.5]] * 10)
    tests = [(s.arm(ours=True), s.log_weight) for s in people.empathy.samples]
    told = metric(Evidence(people, None, FAST, 0.05), "empathy")
    assert (told.low, told.high) == bounds(tests, 0.01)


def test_latency_is_the_share_of_slow_requests() -> None:
    found = Evidence(LivedWeeks.none(), None, Latency(400, 30, FAST.minutes), 0.05)
    told = metric(found, "latency")
    assert (told.value, told.threshold, told.n, told.minimum_n, told.over) == (0.075, 0.05, 400, 200, "hours")
    assert metric(Evidence(LivedWeeks.none(), None, Latency(), 0.05), "latency").verdict == "too_few"


@pytest.mark.parametrize(("over", "counts"), [("weeks", True), ("hours", True), ("first day", False)])
def test_a_first_day_is_an_alarm_that_does_not_count(over: str, counts: bool) -> None:
    beyond = Metric("empathy", 0.5, 0.4, 0.6, 0.75, 50, 20, "beyond", over)  # type: ignore[arg-type]
    assert beyond.counts is counts and not replace(beyond, verdict="ok").counts
    assert Metric("empathy", 0.5, 0.4, 0.6, 0.75, 50, 20, "beyond").over == "weeks"


def test_the_difference_of_two_means_and_its_joint_bounds() -> None:
    """Each arm has half of its test's share of .01, and both the larger of the two sds."""
    ours, theirs = np.array([0.1, 0.5, 0.3, 0.9]), np.array([0.4, 0.5, 0.6])
    sd = float(ours.std(ddof=1))
    many, few = np.tile(ours, 10), np.tile(theirs, 20)
    wide = float(many.std(ddof=1))
    value, low, high = metrics._difference(many, few, 0.3, 0.1)
    radius = mean_radius(40, wide, 0.005 * 0.3) + mean_radius(60, wide, 0.005 * 0.1)
    expected = float(many.mean() - few.mean())
    assert (value, low, high) == pytest.approx((expected, expected - radius, expected + radius))
    assert metrics._difference(few, many, 0.1, 0.3)[0] == pytest.approx(-expected)
    assert metrics._difference(ours[:1], theirs, 0.3, 0.1) == metrics._difference(ours, theirs[:1], 0.3, 0.1)
    assert metrics._difference(ours[:1], theirs, 0.3, 0.1) == (None, -math.inf, math.inf)
    assert metrics._difference(ours[:2], theirs[:2], 0.3, 0.1)[0] is not None and sd > 0


def rewarded(ours: int, theirs: int, weeks: int = 1, fall: float = 0.0) -> LivedWeeks:
    """The same people in each week; ours get ``fall`` less."""
    people = ours + theirs
    rng = np.random.default_rng(1)
    week, person = np.repeat(np.arange(1, weeks + 1), people), np.tile(np.arange(people), weeks)
    sums = np.zeros((len(week), 7))
    sums[:, 5], sums[:, 6] = 1.0, rng.normal(0.5, 0.1, len(week)) - fall * (person < ours)
    return LivedWeeks(week, person, person < ours, sums, 1, weeks)


@pytest.mark.parametrize(("theirs", "compared"), [(10, True), (9, False)])
def test_rewards_are_compared_with_ten_people_of_the_other_arm(theirs: int, compared: bool) -> None:
    weeks = rewarded(60, theirs, 2)
    assert rewards_are_compared(weeks.reward) is compared
    told = metric(Evidence(weeks, "holdback", FAST, 0.05), "reward_stability")
    assert (told.n, told.minimum_n, told.threshold) == (theirs if compared else 60, 10, 0.05)


@pytest.mark.parametrize("arm", ["holdback", "rotating"])
def test_stability_is_the_narrowest_of_all_pairs(arm: str) -> None:
    """Low and high come from any pair, the value from where a fall is seen best. Under rotation one week at a time is paired."""
    weeks = rewarded(80, 40, 4, fall=0.3)
    samples = [s for s in weeks.reward.samples if arm == "holdback" or s.over == "1 week"]
    found = [metrics._difference(s.arm(ours=True), s.arm(ours=False), s.weight, s.weight) for s in samples]
    told = metric(Evidence(weeks, arm, FAST, 0.05), "reward_stability")  # type: ignore[arg-type]
    assert told.low == max(low for _, low, _ in found) and told.high == min(high for *_, high in found)
    assert told.value == min(found, key=lambda d: d[2])[0]
    assert (told.verdict == "beyond") is (told.high < -0.05)


@pytest.mark.parametrize(("margin", "verdict"), [(0.1, "beyond"), (0.9, "ok")])
def test_a_fall_within_the_margin_is_no_fault(margin: float, verdict: str) -> None:
    assert metric(Evidence(rewarded(300, 300, 1, 0.3), "holdback", FAST, margin), "reward_stability").verdict == verdict


def test_without_another_arm_later_tests_are_paired_with_the_first_over_as_many_weeks() -> None:
    def sample(over: str, value: float, weight: float) -> TestSample:
        return TestSample(over, np.full((3, 1), value), np.array([True, True, False]), math.log(weight))  # type: ignore[arg-type]

    pairs = metrics._pairs_with_first(
        [
            sample("1 week", 0.1, 0.3),
            sample("1 week", 0.2, 0.2),
            sample("4 weeks", 0.5, 0.1),
            sample("4 weeks", 0.6, 0.05),
        ]
    )
    assert [(a.tolist(), b.tolist()) for a, b, _, _ in pairs] == [([0.2, 0.2], [0.1, 0.1]), ([0.6, 0.6], [0.5, 0.5])]
    assert [share for *_, a, b in pairs for share in (a, b)] == pytest.approx([0.2, 0.3, 0.05, 0.1])


# Triggers


@pytest.mark.parametrize(
    ("ours", "theirs", "value", "large"),
    [(0.77, 0.8, 0.0375, False), (0.75, 0.8, 0.0625, True), (0.9, 0.8, -0.125, False)],
)
def test_empathy_falls_by_more_than_a_twentieth(ours: float, theirs: float, value: float, large: bool) -> None:
    found = triggers._empathy_fell(np.full((4, 1), ours), np.full((4, 1), theirs))
    assert found[0] == pytest.approx(value) and found[1] is large
    assert triggers._empathy_fell(np.full((4, 1), 0.5), np.zeros((4, 1)))[1] is False


@pytest.mark.parametrize(
    ("ours", "theirs", "value", "large"),
    [
        (0.125, 0.1, 0.25, False),
        (0.126, 0.1, 0.26, True),
        (0.0385, 0.019, None, False),
        (0.0395, 0.019, None, True),
        (0.019, 0.019, None, False),
        (0.02, 0.02, 0.0, False),
        (0.03, 0.02, 0.5, True),
    ],
)
def test_false_interventions_rise_by_more_than_a_quarter_or_two_points(
    ours: float, theirs: float, value: float | None, large: bool
) -> None:
    found = triggers._false_interventions_rose(np.full((1, 1), ours), np.full((1, 1), theirs))
    assert found[0] == (None if value is None else pytest.approx(value)) and found[1] is large


@pytest.mark.parametrize(
    ("ours", "theirs", "value", "large"),
    [
        # (share answered, share not good): harm is what is not good less what is silent.
        ((0.7, 0.4), (0.9, 0.2), 0.2, True),  # .1 harmed and .2 more silent, against .1
        ((0.86, 0.24), (0.9, 0.2), 0.04, False),  # .1 + .04 against .15
        ((0.84, 0.26), (0.9, 0.2), 0.06, True),  # .1 + .06 against .15
        ((0.94, 0.2), (0.9, 0.2), -0.04, False),  # more answers hide nothing: .14 harmed against .15
        ((0.97, 0.2), (0.9, 0.2), -0.07, True),
        ((0.96, 0.05), (0.99, 0.02), 0.03, True),  # .01 + .03 against .01 + .02: two points at least
        ((0.98, 0.03), (0.99, 0.02), 0.01, False),
    ],
)
def test_silence_hides_at_most_what_the_other_arm_does_not_have(
    ours: tuple[float, float], theirs: tuple[float, float], value: float, large: bool
) -> None:
    found = triggers._silence_may_hide_harm(np.array([ours, ours]), np.array([theirs, theirs]))
    assert found[0] == pytest.approx(value)
    assert found[1] is large


def _judged(evidence: float, *, ours: list[bool], arm: str = "holdback", now: float = 0.3) -> Trigger:
    values = np.where(np.array(ours), now, 0.8)[:, None]
    return triggers._judged(triggers.EMPATHY_DROPPED, "1 week", evidence, values, np.array(ours), arm)  # type: ignore[arg-type]


def test_evidence_at_its_bar_is_a_proof() -> None:
    at = _judged(triggers.TRIGGER_BAR, ours=[True, False])
    assert at.proven and at.fires and at.value == pytest.approx(0.625) and at.bar == triggers.TRIGGER_BAR
    below = _judged(math.nextafter(triggers.TRIGGER_BAR, 0), ours=[True, False])
    assert not below.proven and not below.fires and below.value == pytest.approx(0.625)
    assert _judged(-math.inf, ours=[True, False]).log_evidence == 0.0
    assert _judged(-2.0, ours=[True, False]).log_evidence == -2.0


def test_proven_harm_takes_back_if_large_and_in_a_trial_always() -> None:
    assert not _judged(9.0, ours=[True, False], now=0.79).fires
    assert _judged(9.0, ours=[True, False], now=0.79, arm="trial").fires
    assert not _judged(1.0, ours=[True, False], now=0.1, arm="trial").fires


@pytest.mark.parametrize("ours", [[True, True], [False, False]])
def test_one_arm_alone_has_no_difference(ours: list[bool]) -> None:
    found = _judged(9.0, ours=ours)
    assert found.value is None and found.proven and not found.fires


def test_of_all_tests_the_one_that_fires_counts_and_else_the_strongest() -> None:
    weak, strong = _judged(7.0, ours=[True, False]), _judged(9.0, ours=[True, False], now=0.79)
    assert triggers._strongest([(strong, False), (weak, False)]) is not strong
    assert triggers._strongest([(strong, False), (weak, False)]).log_evidence == 7.0
    quiet = _judged(1.0, ours=[True, False])
    assert triggers._strongest([(quiet, False), (_judged(2.0, ours=[True, False]), False)]).log_evidence == 2.0
    hidden = triggers._strongest([(weak, True)])
    assert hidden.value is None and hidden.log_evidence == weak.bar and hidden.fires
    assert triggers._strongest([(quiet, True)]).log_evidence == 0.0


@pytest.mark.parametrize(("people", "few"), [((10, 10), False), ((9, 10), True), ((10, 9), True)])
def test_fewer_than_ten_people_are_few(people: tuple[int, int], few: bool) -> None:
    assert triggers._few(*people) is few
    assert triggers._people(np.array([3, 3, 5])) == 2


def test_latency_is_proven_at_its_strongest_minute_and_its_share() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = np.full(300, 20.0), np.full(300, 10.0)
    minutes = SlowMinutes(
        ours, rng.binomial(20, 0.03, 300).astype(float), theirs, rng.binomial(10, 0.01, 300).astype(float)
    )
    (found,) = [
        t for t in triggers_of(Evidence(LivedWeeks.none(), "holdback", FAST, 0.05, minutes)) if "latency" in t.name
    ]
    assert found.log_evidence == pytest.approx(max(float(log_slower_path(minutes).max()), 0.0) + math.log(0.75))
    assert (found.value, found.over) == (minutes.excess, "days") and found.fires is found.proven
    none = replace(minutes, ours_slow=np.zeros(300))
    (calm,) = [t for t in triggers_of(Evidence(LivedWeeks.none(), "holdback", FAST, 0.05, none)) if "latency" in t.name]
    assert calm.log_evidence == pytest.approx(math.log(0.75)), "what never grew is no evidence, not less than none"


@pytest.mark.parametrize(("requests", "shown"), [(199.0, False), (200.0, True)])
def test_two_hundred_requests_of_either_arm_are_shown(requests: float, shown: bool) -> None:
    few, many = np.full(1, requests), np.full(1, 900.0)
    for ours, theirs in ((few, many), (many, few)):
        minutes = SlowMinutes(ours, np.ones(1), theirs, np.ones(1))
        found = triggers._latency(minutes)
        assert (found.value is not None) is shown


def test_a_rotating_holdback_before_its_first_block_says_nothing() -> None:
    table = PersonWeeks(np.ones(19, int), np.arange(19), np.arange(19) < 9, np.ones(19), np.full((19, 1), 0.5), 1, 1)
    found, few = triggers._tested_rotating(triggers.EMPATHY_DROPPED, table)
    assert few and found.value is None and found.log_evidence == 0.0 and not found.proven and found.over == "weeks"


# Reports


def _metric(verdict: str, name: str = "empathy", over: str = "weeks") -> Metric:
    return Metric(name, 0.5, 0.4, 0.6, 0.75, 12, 20, verdict, over)  # type: ignore[arg-type]


def _trigger(name: str = "empathy_drop", *, proven: bool = True, fires: bool = False) -> Trigger:
    return Trigger(name, 0.1, "1 week", 7.0, triggers.TRIGGER_BAR, proven, fires)


@pytest.mark.parametrize(
    ("beyond", "days", "proven", "state"),
    [
        (0, 0, False, "healthy"),
        (0, 0, True, "degraded"),
        (1, 0, False, "degraded"),
        (2, 0, False, "degraded"),
        (2, 1, False, "degraded"),
        (3, 0, False, "critical"),
        (4, 0, True, "critical"),
    ],
)
def test_three_metrics_beyond_are_critical_and_one_or_a_proof_is_degraded(
    beyond: int, days: int, proven: bool, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("empathy", "false_intervention", "latency", "reward_stability")
    found = [
        _metric("beyond" if i < beyond + days else "ok", n, "first day" if beyond <= i < beyond + days else "weeks")
        for i, n in enumerate(names)
    ]
    monkeypatch.setattr(report, "metrics_of", lambda _: tuple(found))
    monkeypatch.setattr(report, "triggers_of", lambda _: (_trigger(proven=proven),))
    for kind in ("holdback", "trial"):
        health = health_of(Evidence(LivedWeeks.none(), kind, FAST, 0.05))  # type: ignore[arg-type]
        assert health.state == state and health.is_candidate is (kind == "trial")
        assert health.must_roll_back is (state == "critical" and kind == "holdback")
    assert any("No action" in said for said in health.recommendations) is (state == "healthy")


def test_a_trigger_that_fires_rolls_back_whatever_the_state() -> None:
    for candidate in (True, False):
        assert HealthReport("healthy", (), (_trigger(fires=True),), is_candidate=candidate).must_roll_back
        assert not HealthReport("degraded", (), (_trigger(),), is_candidate=candidate).must_roll_back


def test_advice_names_what_was_found() -> None:
    found = Evidence(LivedWeeks.none(), "holdback", FAST, 0.05)
    said = report._recommendations(
        "degraded", (_metric("beyond"), _metric("beyond", "latency", "first day"), _metric("too_few", "reward_stability")),
        (_trigger(), _trigger("silence"), _trigger("false_intervention_rise", fires=True), _trigger("x", proven=False)), found,
    )  # fmt: skip
    assert said[:2] == (
        report._ADVICE["empathy"],
        report._ADVICE["latency"] + " So far only people's first days are known.",
    )
    assert said[2].startswith("The version is proven to be worse (empathy drop), but by too little")
    assert said[3] == report._PROVEN_ONLY["silence"]
    assert said[4] == "The trigger false intervention rise fired, so the version is rolled back."
    assert (
        said[5] == "There is not enough data yet for reward stability (12 of 20). The version is not known to be good."
    )
    assert len(said) == 6
    trial = replace(found, other_arm="trial")
    assert report._said(_trigger(fires=True), trial) == "The trigger empathy drop fired, so the trial ends."


@pytest.mark.parametrize(("ours", "theirs", "said"), [(20, 0, True), (19, 0, False), (20, 1, False)])
def test_an_other_arm_without_interventions_is_said_once_twenty_people_have_some(
    ours: int, theirs: int, said: bool
) -> None:
    rows = [[5, 5, 0, 5, 4.0, 5, 2.5]] * (ours + theirs)
    weeks = lived(rows, ours=[i < ours for i in range(ours + theirs)])
    told = report._about_the_other_arm(Evidence(weeks, "holdback", FAST, 0.05))
    assert bool(told) is said
    assert "Nobody is held back" in report._about_the_other_arm(Evidence(weeks, None, FAST, 0.05))[0]


@pytest.mark.parametrize(("ours", "theirs", "few"), [(10, 10, False), (30, 9, True), (9, 30, True)])
@pytest.mark.parametrize("rotating", [False, True])
def test_either_arm_of_a_test_may_be_too_few(ours: int, theirs: int, few: bool, rotating: bool) -> None:
    n = ours + theirs
    arm = np.arange(n) < ours
    table = PersonWeeks(np.ones(n, int), np.arange(n), arm, np.ones(n), np.full((n, 1), 0.5), 1, 1)
    (sample,) = table.samples
    if rotating:
        assert triggers._tested_rotating(triggers.EMPATHY_DROPPED, table)[1] is few
    else:
        assert triggers._tested(triggers.EMPATHY_DROPPED, sample, "holdback")[1] is few
