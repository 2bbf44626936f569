"""What health checks write down about a version for its gates: on real tables, and only what is alike."""

from __future__ import annotations

import pytest

from deployments.models import HealthCheck, ServingSlot
from deployments.services.health.check import health_check
from deployments.services.rollouts.trial import trial_start
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.models import LoopVersion
from loops.services import loop_add
from tests.deployments.services.health.test_check import live, slot, swap
from tests.factories.calibration import Figure, estimated
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, undecided
from training.models import LIVED, ModelVersion
from training.selectors.calibration import calibration_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def lived_of(version: ModelVersion) -> dict[str, tuple[float | None, float | None]]:
    """Each lived metric with its value and its people."""
    return {m.name: (m.value, m.users) for m in version.metrics.filter(source=LIVED)}


@pytest.mark.parametrize(("claim", "states"), [
    ((0.0, -0.05, 0.05), {"held"}), ((0.3, 0.25, 0.35), {"missed", "contradicted"}),
])  # fmt: skip
def test_what_people_lived_stands_beside_the_gates_interval(loop: LoopVersion, claim: Figure, states: set[str]) -> None:
    """People of both arms live alike in the week that is closed, so the improvement is 0."""
    before = learned(loop, "policy", ALWAYS_WALK)
    version = learned(loop, "policy", ALWAYS_WALK, parent=before)
    estimated(version, "improvement", claim)
    estimated(version, "silence", (0.1, 0.0, 0.2))
    swap(before)
    swap(version)
    live(80, walk_is="good", days_ago=9)
    shown = {m["name"]: m for m in health_check(slot=slot(loop)).metrics}
    told = lived_of(version)
    assert told["empathy"][0] == shown["empathy"]["value"] and told["silence"][0] == 0.0
    assert told["improvement"][0] == pytest.approx(0.0, abs=0.02)
    assert all((users or 1) % 10 == 0 for _, users in told.values()), "people are rounded"
    rows = {row.comparison.metric: row.comparison.state for row in calibration_of("care").rows}
    assert rows["improvement"] in states and rows["silence"] == "held"


def test_a_version_that_did_harm_and_was_taken_back_keeps_what_was_lived(loop: LoopVersion) -> None:
    """Also when nothing but first days was lived: else the worst versions would be missing among the gates' misses."""
    good, harmful = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    estimated(harmful, "empathy", (0.9, 0.8, 0.95))
    swap(good)
    swap(harmful)
    live(120, walk_is="bad")
    assert health_check(slot=slot(loop)).acted and slot(loop).stable == good
    (row,) = calibration_of("care").rows
    assert row.version == harmful and row.comparison.state == "contradicted"


def test_a_reward_beside_another_policy_than_the_gates_rival_is_not_its_improvement(loop: LoopVersion) -> None:
    """The version was judged against the reference and deployed over another learned version."""
    swap(learned(loop, "policy", ALWAYS_WALK))
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    live(80, walk_is="good", days_ago=9)
    health_check(slot=slot(loop))
    assert set(lived_of(version)) == {"empathy", "false_intervention", "silence"}


def test_a_version_beside_its_own_first_weeks_has_no_improvement(loop: LoopVersion) -> None:
    before = learned(loop, "policy", ALWAYS_WALK)
    version = learned(loop, "policy", ALWAYS_WALK, parent=before)
    swap(before)
    swap(version, holdback_bp=300)
    live(60, walk_is="good", days_ago=23)
    health_check(slot=slot(loop))
    assert set(lived_of(version)) == {"empathy", "false_intervention", "silence"}


@pytest.mark.parametrize(("gates", "shares"), [("unknown", set()), ("harmless", {"false_intervention"})])
def test_false_interventions_are_shares_of_the_same_interventions_or_not_compared(
    loop: LoopVersion, gates: str, shares: set[str]
) -> None:
    """The loop serves under a version that declares silence harmless; the gate judged under this one."""
    harmless = loop.source.replace("[reward]", '[reward]\nsilence = "harmless"')
    version = learned(loop, "policy", ALWAYS_WALK)
    loop_add(text=harmless.replace("version = 1", "version = 2"), source="care.toml")
    if gates == "harmless":
        LoopVersion.objects.filter(pk=loop.pk).update(source=harmless)
    swap(version)
    live(40, walk_is="good")
    health_check(slot=slot(loop))
    assert set(lived_of(version)) == {"empathy", "silence"} | shares


def test_a_few_people_are_not_written_down(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    live(15, walk_is="good")
    health_check(slot=slot(loop))
    assert HealthCheck.objects.exists() and lived_of(version) == {}


def trial(loop: LoopVersion, *, walk_is: str) -> tuple[ModelVersion, ModelVersion]:
    """The stable version and the one on trial, after a day of both."""
    stable, candidate = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    swap(stable, holdback_bp=0)
    undecided(candidate, z=2.0)
    candidate.metrics.filter(name="improvement").delete()
    estimated(candidate, "improvement", (0.05, -0.05, 0.15), verdict="insufficient", needed_users=900.0)
    trial_start(version=candidate, actor="test", reason="open", override="the reference is gone")
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    live(120, walk_is=walk_is)
    return stable, candidate


def test_in_a_trial_its_own_sums_speak(loop: LoopVersion) -> None:
    stable, candidate = trial(loop, walk_is="good")
    assert not health_check(slot=slot(loop)).acted
    assert lived_of(stable) == {} and lived_of(candidate) == {}


def test_a_trial_that_is_stopped_for_harm_leaves_a_trace(loop: LoopVersion) -> None:
    stable, candidate = trial(loop, walk_is="bad")
    assert health_check(slot=slot(loop)).acted
    assert lived_of(stable) == {} and (lived_of(candidate)["empathy"][0] or 1.0) < 0.4
