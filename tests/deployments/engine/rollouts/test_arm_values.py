"""What is read of the weeks that people lived: one value of each person, over the weeks of the stage alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InputError
from deployments.engine.health.evidence import LIVED_COLUMNS, LivedWeeks
from deployments.engine.rollouts.arm_values import ArmValues, arm_values, reward_blocks

Row = tuple[int, int, bool, dict[str, float]]


def lived(*rows: Row, closed: int = 4) -> LivedWeeks:
    columns = [[row[i] for row in rows] for i in range(3)]
    sums = np.array([[row[3].get(name, 0.0) for name in LIVED_COLUMNS] for row in rows])
    week, person = (np.array(column, dtype=np.int64) for column in columns[:2])
    return LivedWeeks(week, person, np.array(columns[2], dtype=bool), sums, 1, closed)


def week(**sums: float) -> dict[str, float]:
    return sums


FOUR = lived(
    (0, 7, True, week(rewarded=1, reward_sum=9)),
    (2, 7, True, week(rewarded=1, reward_sum=9)),
    (3, 7, True, week(interventions=2, answered=1, harmful=1, rated=1, empathy_sum=0.8, rewarded=4, reward_sum=2)),
    (4, 7, True, week(interventions=2, answered=2, harmful=0, rated=3, empathy_sum=1.2, rewarded=6, reward_sum=1)),
    (3, 8, True, week(rewarded=2, reward_sum=1)),
    (4, 9, False, week(interventions=1, answered=0, rewarded=2, reward_sum=2)),
    (5, 7, True, week(rewarded=1, reward_sum=9)),
)


def test_a_person_counts_once_with_all_closed_weeks_of_the_stage() -> None:
    ours = arm_values(FOUR, ours=True, first=3, past={7: 0.25})
    assert ours.empathy == pytest.approx([0.5, np.nan], nan_ok=True)
    assert ours.false_intervention == pytest.approx([1 / 3, np.nan], nan_ok=True)
    assert ours.reward == pytest.approx([0.3, 0.5]) and ours.engagement == pytest.approx([5.0, 1.0])
    assert ours.past_reward == pytest.approx([0.25, np.nan], nan_ok=True)
    assert ours.intervention_rate == pytest.approx([0.4, 0.0])


@pytest.mark.parametrize(("silence", "share"), [("unknown", 1 / 3), ("harmless", 1 / 4), ("harmful", 2 / 4)])
def test_silence_counts_as_the_loop_declares(silence: str, share: float) -> None:
    ours = arm_values(FOUR, ours=True, first=3, silence=silence)  # type: ignore[arg-type]
    assert ours.false_intervention[0] == pytest.approx(share)


def test_nobody_has_no_values() -> None:
    nobody = arm_values(LivedWeeks.none(), ours=True, first=1)
    assert nobody.moments.people == 0 and nobody.moments.reward.n == 0


def test_values_of_different_people_are_refused() -> None:
    with pytest.raises(InputError, match=r"\[2, 3\] people"):
        ArmValues(np.zeros(2), np.zeros(3), np.zeros(2))


def test_in_an_ab_test_people_stand_in_joint_order_and_count_once() -> None:
    rows: list[Row] = [
        (w, p, p % 2 == 0, week(rewarded=1, reward_sum=p + 100 * (w - 1))) for w in (1, 2) for p in range(40)
    ]
    blocks = reward_blocks(lived(*rows, closed=2))
    assert blocks.ours.sum() + blocks.theirs.sum() == 40
    assert (blocks.weight * blocks.gap).sum() / blocks.weight.sum() == pytest.approx(-1.0, abs=6.0)


def test_a_longer_tile_tells_more_of_people_who_stay_and_nothing_before_it_is_closed() -> None:
    """200 people who differ by .25 scales and decide ten times a week, with a noise of one scale, for four weeks."""
    rng = np.random.default_rng(1)
    own = rng.normal(0, 0.25, 200)
    rows: list[Row] = [
        (w, p, p % 2 == 0, week(rewarded=10, reward_sum=10 * own[p] + rng.normal(0, np.sqrt(10))))
        for w in (3, 4, 5, 6) for p in range(200)
    ]  # fmt: skip
    spread = [reward_blocks(lived(*rows, closed=6), first=3, tile=n).spread.mean() for n in (1, 4)]
    assert spread == pytest.approx([0.0625 + 0.1, 0.0625 + 0.025], rel=0.25)
    assert len(reward_blocks(lived(*rows, closed=6), first=3, tile=5).gap) == 0


def test_nothing_is_told_of_fewer_than_ten_people() -> None:
    """Moments are stored for good: of one person they would be what that person said."""
    nine, ten = (ArmValues(np.full(n, 0.8), np.zeros(n), np.full(n, 0.3), np.full(n, 0.2)) for n in (9, 10))
    assert (nine.moments.people, nine.moments.empathy.n, nine.moments.reward.n) == (0, 0, 0)
    assert (ten.moments.people, ten.moments.empathy.n, ten.moments.reward.n) == (10, 10, 10)
    rated = ArmValues(np.where(np.arange(50) < 9, 0.8, np.nan), np.zeros(50), np.full(50, 0.3))
    assert (rated.moments.people, rated.moments.empathy.n) == (50, 0)
    past = ArmValues(np.full(50, 0.8), np.zeros(50), np.full(50, 0.3), np.where(np.arange(50) < 9, 0.2, np.nan))
    assert past.moments.reward.of_those_with_past() == (0.0, 0.0, 0.0, 0.0)
