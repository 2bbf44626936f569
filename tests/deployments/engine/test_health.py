"""States and triggers from evidence: what is proven counts, what is not is not."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engine.bets import Blocks, Series
from deployments.engine.health import Arm, Evidence, Holdback, Latency, health_of

NONE = Series(np.zeros(0))


def arm(n: int, empathy: float, harm: float, reward: float, seed: int) -> Arm:
    """n people around given means, with the spread of real ratings."""
    rng = np.random.default_rng(seed)
    ratings, harmed = np.clip(rng.normal(empathy, 0.15, n), 0, 1), (rng.random(n) < harm).astype(float)
    return Arm(Series(ratings), Series(harmed), rng.normal(reward, 0.1, n))


def held(arm: Arm, slow: tuple[Series, Series] | None = None) -> Holdback:
    return Holdback(arm, Blocks(19, 1), slow)


def minutes(n: int, share: float, starts: tuple[int, ...] = (0,)) -> Series:
    """n minutes in each of which the same share of requests took more than 250 ms."""
    return Series(np.full(n, share), starts)


GOOD, SLOW = arm(400, 0.85, 0.04, 0.5, 1), Latency(10_000, 2_000)
FAST = Latency(10_000, 5)
BEFORE = held(arm(60, 0.85, 0.04, 0.5, 2))


@pytest.mark.parametrize(
    ("ours", "latency", "state", "acts"),
    [
        (GOOD, FAST, "healthy", False),
        (arm(800, 0.60, 0.04, 0.5, 3), FAST, "degraded", True),  # empathy has dropped by a quarter against the holdback
        (arm(1_200, 0.85, 0.40, 0.5, 4), FAST, "degraded", True),
        (arm(400, 0.85, 0.04, 0.2, 5), FAST, "degraded", False),
        (arm(400, 0.85, 0.04, 0.9, 5), FAST, "healthy", False),  # better than what served before is no fault
        (GOOD, SLOW, "degraded", False),  # in both arms: whoever serves, the database is slow
        (arm(400, 0.50, 0.50, 0.1, 6), FAST, "critical", True),
        (arm(6, 0.10, 1.00, -1.0, 7), FAST, "healthy", False),  # too few to prove anything
    ],
)
def test_states_count_what_is_proven(ours: Arm, latency: Latency, state: str, acts: bool) -> None:
    health = health_of(Evidence(ours, BEFORE, latency, 0.05))
    assert (health.state, health.must_roll_back) == (state, acts), health
    assert len(health.metrics) == 4 and health.recommendations


def test_no_data_is_no_success() -> None:
    health = health_of(Evidence(Arm(NONE, NONE, NONE.values), None, Latency(), 0.05))
    assert health.state == "healthy" and {m.verdict for m in health.metrics} == {"too_few"}
    assert any("Too few yet" in said for said in health.recommendations)
    assert any("held back" in said for said in health.recommendations)


@pytest.mark.parametrize(("later", "verdict"), [(0.2, "beyond"), (0.8, "ok"), (0.5, "ok")])
def test_without_a_holdback_reward_is_compared_with_its_own_beginning(later: float, verdict: str) -> None:
    reward = np.r_[np.full(200, 0.5), np.full(200, later)] + GOOD.reward * 0.01
    health = health_of(Evidence(Arm(GOOD.empathy, GOOD.false_intervention, reward), None, FAST, 0.05))
    stability = next(m for m in health.metrics if m.name == "reward_stability")
    assert stability.verdict == verdict and stability.value == pytest.approx(later - 0.5, abs=0.01)


@pytest.mark.parametrize(
    ("ours", "theirs", "fires"),
    [
        (minutes(30, 0.6), minutes(30, 0.0), True),
        (minutes(30, 0.6), minutes(30, 0.6), False),  # an incident of the database is in both arms
        (minutes(2_000, 0.0), minutes(2_000, 0.0), False),
        (minutes(4, 0.6), minutes(4, 0.0), False),  # too few minutes to prove it
    ],
)
def test_latency_is_compared_minute_by_minute(ours: Series, theirs: Series, fires: bool) -> None:
    health = health_of(Evidence(GOOD, held(BEFORE.arm, (ours, theirs)), FAST, 0.05))
    trigger = next(t for t in health.triggers if t.name == "latency_over_250_ms")
    assert trigger.fires is fires and health.must_roll_back is fires


def test_a_late_fault_is_seen_because_bets_begin_anew() -> None:
    """Four good days without a slow minute, then an hour in which two of five requests are slow."""
    days = (0, 1_440, 2_880, 4_320, 5_760)
    slow = Series(np.r_[np.zeros(5_760), np.full(60, 0.4)], days)
    for starts, fires in ((days, True), ((0,), False)):
        arms = Series(slow.values, starts), minutes(5_820, 0.0, starts)
        health = health_of(Evidence(GOOD, held(BEFORE.arm, arms), FAST, 0.05))
        assert health.must_roll_back is fires


def test_a_holdback_that_only_waits_is_no_comparison() -> None:
    silent = Arm(NONE, NONE, BEFORE.arm.reward)
    health = health_of(Evidence(arm(400, 0.30, 0.60, 0.5, 3), held(silent), FAST, 0.05))
    assert health.state == "degraded" and not health.must_roll_back
    assert any("has not spoken" in said for said in health.recommendations)


def test_what_is_stored_is_plain() -> None:
    stored = health_of(Evidence(GOOD, BEFORE, FAST, 0.05)).as_json()
    assert set(stored["metrics"][0]) == {"name", "value", "low", "high", "threshold", "n", "minimum_n", "verdict"}
    assert {t["name"] for t in stored["triggers"]} == {"empathy_drop", "false_intervention_rise"}


def test_a_healthy_version_is_hardly_ever_taken_back() -> None:
    """300 deployments with good people, one look at the end. Each metric and trigger may err in 1%; 15 or more: probability 1e-3
    at the bound of five such."""
    taken = sum(
        health_of(
            Evidence(arm(200, 0.85, 0.05, 0.5, 10 + i), held(arm(12, 0.85, 0.05, 0.5, 5_000 + i)), FAST, 0.05)
        ).must_roll_back
        for i in range(300)
    )
    assert taken < 15


def test_what_nobody_dismissed_before_has_no_ratio() -> None:
    """A holdback without a false intervention: worse by .02 of the people has to be proven, and is, when a third dismisses it."""
    spotless = held(Arm(BEFORE.arm.empathy, Series(np.zeros(60)), BEFORE.arm.reward))
    for harm, fires in ((0.35, True), (0.02, False)):
        health = health_of(Evidence(arm(800, 0.85, harm, 0.5, 9), spotless, FAST, 0.05))
        assert next(t for t in health.triggers if t.name == "false_intervention_rise").fires is fires
