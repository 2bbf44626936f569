"""The explored share before anything serves falls when exploring costs people or turns decide nothing. It never rises."""

from __future__ import annotations

import pytest

from deployments.models import ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.candidate_arm import candidate_stop
from deployments.services.rollouts.exploration import SettledExploration, exploration_settle
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned, undecided

pytestmark = pytest.mark.django_db
COSTS, GAINS, UNKNOWN = (0.2, 0.1, 0.3), (-0.2, -0.3, -0.1), (0.2, -0.1, 0.5)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def shares(loop: LoopVersion) -> set[float]:
    return {slot.exploration_bp / 10_000 for slot in ServingSlot.objects.filter(loop=loop.loop)}


def test_it_falls_when_the_posterior_says_that_exploring_costs_people(loop: LoopVersion) -> None:
    assert exploration_settle(loop_version=loop, undecided=1, cost=COSTS) == SettledExploration(1.0, 0.2, "costs")
    assert shares(loop) == {0.2}


@pytest.mark.parametrize("cost", [GAINS, UNKNOWN, None])
def test_it_stays_while_that_is_not_known(loop: LoopVersion, cost: tuple[float, float, float] | None) -> None:
    assert exploration_settle(loop_version=loop, undecided=1, cost=cost) == SettledExploration(1.0, 1.0)
    assert shares(loop) == {1.0}


def test_after_two_undecided_turns_it_falls_whatever_it_costs(loop: LoopVersion) -> None:
    assert loop.spec.logging_rounds == 2
    assert exploration_settle(loop_version=loop, undecided=2, cost=GAINS) == SettledExploration(1.0, 0.2, "undecided")


def test_it_falls_once(loop: LoopVersion) -> None:
    exploration_settle(loop_version=loop, undecided=1, cost=COSTS)
    assert exploration_settle(loop_version=loop, undecided=9, cost=COSTS) == SettledExploration(0.2, 0.2)


def test_it_never_rises(loop: LoopVersion) -> None:
    ServingSlot.objects.update(exploration_bp=500)
    for cost in (GAINS, COSTS, None):
        assert exploration_settle(loop_version=loop, undecided=1, cost=cost).share == 0.05
    trial_start(version=undecided(learned(loop, "policy", ALWAYS_WALK)), actor="turn 1", reason="undecided")
    assert shares(loop) == {0.05}


def test_after_a_trial_it_stays_low(loop: LoopVersion) -> None:
    trial_start(version=undecided(learned(loop, "policy", ALWAYS_WALK)), actor="turn 1", reason="undecided")
    slot = slot_for(loop.loop, "policy")
    candidate_stop(slot=slot, actor="turn 2", reason="no better", automatic=True, harmful=False)
    assert exploration_settle(loop_version=loop, undecided=1, cost=GAINS).share == 0.2
