"""What health checks write down about a version for its gates: on real tables, and only what is alike."""

from __future__ import annotations

import pytest

from deployments.models import HealthCheck
from deployments.services.health.check import health_check
from loops.models import LoopVersion
from tests.deployments.services.health.test_check import live, slot, swap
from tests.factories.calibration import estimated
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned
from training.models import LIVED, ModelVersion
from training.selectors.calibration import calibration_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def lived_of(version: ModelVersion) -> dict[str, tuple[float | None, float | None]]:
    """Each lived metric with its value and its people."""
    return {m.name: (m.value, m.users) for m in version.metrics.filter(source=LIVED)}


def test_what_people_lived_stands_beside_the_gates_interval(loop: LoopVersion) -> None:
    """Both arms' people live alike, so a gate that promised .3 more is found to have missed."""
    before = learned(loop, "policy", ALWAYS_WALK)
    version = learned(loop, "policy", ALWAYS_WALK, parent=before)
    estimated(version, "improvement", (0.3, 0.25, 0.35))
    estimated(version, "empathy", (0.9, 0.8, 0.95))
    swap(before)
    swap(version)
    live(80, walk_is="good")
    made = health_check(slot=slot(loop))
    found = {m["name"]: m for m in made.metrics}
    told = lived_of(version)
    assert told["improvement"][0] == found["reward_stability"]["value"]
    assert told["empathy"][0] == found["empathy"]["value"] and 40 <= (told["empathy"][1] or 0) <= 80
    assert (told["empathy"][1] or 0) % 10 == 0, "people are rounded"
    states = {row.comparison.metric: row.comparison.state for row in calibration_of("care").rows}
    assert states["empathy"] == "held" and states["improvement"] in ("missed", "contradicted")


def test_a_version_that_did_harm_and_was_taken_back_keeps_what_was_lived(loop: LoopVersion) -> None:
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
    live(80, walk_is="good")
    health_check(slot=slot(loop))
    assert set(lived_of(version)) == {"empathy", "false_intervention"}


def test_a_few_people_are_not_written_down(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    live(15, walk_is="good")
    health_check(slot=slot(loop))
    assert HealthCheck.objects.exists() and lived_of(version) == {}


def test_in_a_trial_its_own_sums_speak(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    swap(version)
    live(60, walk_is="good")
    made = slot(loop)
    made.candidate, made.weight_bp = learned(loop, "policy", ALWAYS_WALK), 5_000
    made.save()
    health_check(slot=made)
    assert lived_of(version) == {} and lived_of(made.candidate) == {}
