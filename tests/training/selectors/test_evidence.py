"""What a version was trained and judged on: evidence before and after a moment, and whether it leaves the version open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loops.models import LoopVersion
from privacy.models import Release
from tests.factories.care import care_loop
from tests.factories.releases import new_release
from tests.factories.versions import ALWAYS_WALK, judged, learned, undecided
from training.models import OUTCOME_GATE, ModelMetric, ModelVersion
from training.selectors.evidence import evidence_around, training_states, trial_is_wanted

pytestmark = pytest.mark.django_db
NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def released(loop: LoopVersion, day: int, people: float = 1_000.0, explored: float = 1.0) -> Release:
    made = new_release(loop, at=NOON + day * DAY)
    Release.objects.filter(pk=made.pk).update(noisy_users=people, parameters={"explored_share": explored})
    return made


def trained(loop: LoopVersion, *releases: Release) -> ModelVersion:
    version = learned(loop, "policy", ALWAYS_WALK)
    version.releases.set(releases)
    return version


class TestEvidenceAround:
    def test_releases_before_and_after(self, loop: LoopVersion) -> None:
        version = trained(loop, released(loop, 0), released(loop, 30), released(loop, 60))
        assert evidence_around(version, NOON + 30 * DAY) == pytest.approx((2_000, 1_000))
        assert evidence_around(version, NOON + 90 * DAY) == pytest.approx((3_000, 0))

    def test_a_release_that_spans_the_moment_counts_on_both_sides(self, loop: LoopVersion) -> None:
        version = trained(loop, released(loop, 0), released(loop, 30))
        assert evidence_around(version, NOON + 10 * DAY) == pytest.approx((1_000 + 1_000 / 3, 2_000 / 3))

    def test_people_count_by_the_share_that_explored(self, loop: LoopVersion) -> None:
        version = trained(loop, released(loop, 0), released(loop, 30, explored=0.1))
        assert evidence_around(version, NOON) == pytest.approx((1_000, 100))

    def test_evaluations_without_a_count_are_left_out(self, loop: LoopVersion) -> None:
        assert evidence_around(trained(loop, new_release(loop)), NOON) == (0, 0)


def test_without_a_pool_the_null_population_stands_in(loop: LoopVersion) -> None:
    states = training_states(learned(loop, "policy", ALWAYS_WALK))
    assert states.shape[1] == 3 and len(states) > 1_000


class TestTrialIsWanted:
    def judged(self, loop: LoopVersion, verdict: str, **metrics: tuple[str, float]) -> ModelVersion:
        version = judged(learned(loop, "policy", ALWAYS_WALK), verdict)
        version.verdicts.update(release=new_release(loop))
        ModelMetric.objects.create(
            version=version, source="model_gate", name="model_gate_z", value=2.0, threshold=1.3, verdict="pass"
        )
        for name, (answer, high) in metrics.items():
            given: dict[str, Any] = {"value": 0.0, "low": None, "high": high, "threshold": 0.0, "verdict": answer}
            ModelMetric.objects.create(version=version, source=OUTCOME_GATE, name=name, **given)
        return version

    def test_what_the_model_gate_holds_back_is_tried(self, loop: LoopVersion) -> None:
        assert trial_is_wanted(undecided(learned(loop, "policy", ALWAYS_WALK)))

    def test_a_first_policy_that_passed_is_tried_unless_the_loop_says_otherwise(self, loop: LoopVersion) -> None:
        first = self.judged(loop, "pass", improvement=("pass", 0.1))
        assert trial_is_wanted(first)
        over = judged(learned(loop, "policy", ALWAYS_WALK, parent=first))
        assert not trial_is_wanted(over)

    def test_what_was_never_judged_is_not(self, loop: LoopVersion) -> None:
        assert not trial_is_wanted(learned(loop, "policy", ALWAYS_WALK))

    def test_the_outcome_gates_stored_metrics_are_read(self, loop: LoopVersion) -> None:
        assert trial_is_wanted(self.judged(loop, "insufficient", improvement=("insufficient", 0.1)))
        assert not trial_is_wanted(self.judged(loop, "insufficient", improvement=("insufficient", -0.1)))
        assert not trial_is_wanted(self.judged(loop, "fail", improvement=("fail", 0.1)))
        assert not trial_is_wanted(
            self.judged(loop, "insufficient", improvement=("insufficient", 0.1), support=("insufficient", 0.4))
        )
