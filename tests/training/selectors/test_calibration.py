"""Every version's gates beside what was lived: which sides are compared, what makes no claim, and whose loop is asked."""

from __future__ import annotations

import pytest

from loops.models import LoopVersion
from loops.services import loop_add
from tests.factories.calibration import estimated, gated, lived
from tests.factories.care import TOML, care_loop
from training.models import LIVED, MODEL_GATE, OUTCOME_GATE, TRIAL_GATE, ModelVersion
from training.selectors.calibration import CalibrationRow, calibration_of

pytestmark = pytest.mark.django_db
CLAIM = (0.1, 0.02, 0.18)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def states() -> list[tuple[str, str, str, str]]:
    """Metric, gate, where the lived value comes from, and result, of each row."""
    return [(r.comparison.metric, r.gate_source, r.lived_source, r.comparison.state) for r in calibration_of().rows]


def only() -> CalibrationRow:
    (row,) = calibration_of().rows
    return row


class TestTheGatesSide:
    def test_a_version_that_never_served_is_not_lived(self, loop: LoopVersion) -> None:
        version = gated(loop, improvement=CLAIM)
        row = only()
        assert (row.version, row.lived_source, row.users, row.comparison.state) == (version, "", None, "not lived")

    def test_each_metric_is_compared_with_its_own(self, loop: LoopVersion) -> None:
        version = gated(loop, improvement=CLAIM, empathy=(0.9, 0.85, 0.95), false_intervention=(0.02, 0.0, 0.05))
        lived(version, improvement=(0.06, 0.01, 0.11), empathy=(0.7, 0.65, 0.75))
        assert states() == [
            ("improvement", OUTCOME_GATE, LIVED, "held"),
            ("empathy", OUTCOME_GATE, LIVED, "contradicted"),
            ("false_intervention", OUTCOME_GATE, "", "not lived"),
        ]

    def test_what_excludes_nothing_is_no_claim(self, loop: LoopVersion) -> None:
        gated(loop, improvement=(0.1, None, None), empathy=(0.9, 0.0, 1.0), silence=(0.5, 0.0, 1.0))
        assert states() == []

    def test_where_the_log_hardly_tried_it_the_gate_claims_nothing(self, loop: LoopVersion) -> None:
        version = lived(gated(loop, improvement=CLAIM), improvement=CLAIM)
        assert states() == [("improvement", OUTCOME_GATE, LIVED, "held")]
        estimated(version, "support", (0.3, 0.2, 0.4), verdict="insufficient")
        assert states() == []

    def test_what_is_measured_otherwise_is_left_out(self, loop: LoopVersion) -> None:
        version = gated(loop, stability=CLAIM, latency_ms=(3.0, 1.0, 9.0), improvement_tone=CLAIM)
        estimated(version, "model_gate_z", (2.0, 0.4, 3.6), source=MODEL_GATE)
        assert states() == []


class TestTheLivedSide:
    def test_people_are_told_rounded(self, loop: LoopVersion) -> None:
        lived(gated(loop, improvement=CLAIM), improvement=CLAIM, users=1_234)
        assert only().users == 1_200

    def test_a_lived_interval_that_excludes_nothing_is_too_early(self, loop: LoopVersion) -> None:
        lived(
            gated(loop, improvement=CLAIM, empathy=(0.9, 0.8, 0.95)),
            improvement=(0.1, None, 0.3),
            empathy=(0.9, 0.0, 1.0),
        )
        assert [state for *_, state in states()] == ["too early", "too early"]
        assert calibration_of().overall.intervals == 0

    def test_what_was_lived_without_a_claim_is_no_row(self, loop: LoopVersion) -> None:
        lived(gated(loop), improvement=CLAIM)
        assert states() == []


class TestTrials:
    def test_a_trial_is_lived_evidence_on_the_outcome_gate_and_a_claim_of_its_own(self, loop: LoopVersion) -> None:
        version = gated(loop, improvement=CLAIM)
        estimated(version, "improvement", (0.0, -0.05, 0.05), source=TRIAL_GATE, users=438.9)
        assert states() == [
            ("improvement", OUTCOME_GATE, TRIAL_GATE, "missed"),
            ("improvement", TRIAL_GATE, "", "not lived"),
        ]
        lived(version, improvement=(0.04, -0.02, 0.1))
        assert states() == [("improvement", OUTCOME_GATE, LIVED, "held"), ("improvement", TRIAL_GATE, LIVED, "held")]

    def test_a_trial_that_could_not_be_read_is_neither(self, loop: LoopVersion) -> None:
        version = gated(loop, improvement=CLAIM)
        estimated(version, "improvement", (0.0, -0.05, 0.05), source=TRIAL_GATE, verdict="insufficient")
        assert states() == [("improvement", OUTCOME_GATE, "", "not lived")]

    def test_a_trial_that_decided_nothing_yet_was_still_lived(self, loop: LoopVersion) -> None:
        version = gated(loop, improvement=CLAIM)
        undecided = {"verdict": "insufficient", "needed_users": 900.0}
        estimated(version, "improvement", (0.05, -0.05, 0.15), source=TRIAL_GATE, **undecided)
        assert states()[0] == ("improvement", OUTCOME_GATE, TRIAL_GATE, "held")


class TestSummaries:
    def planted(self, loop: LoopVersion, truths: list[float]) -> list[ModelVersion]:
        """Versions of which the gate estimated the same, and people lived these improvements."""
        return [lived(gated(loop, improvement=CLAIM), improvement=(t, t - 0.01, t + 0.01)) for t in truths]

    def test_the_newest_version_comes_first(self, loop: LoopVersion) -> None:
        made = self.planted(loop, [0.1, 0.1, 0.1])
        assert [row.version for row in calibration_of().rows] == made[::-1]

    def test_seven_of_eight_held(self, loop: LoopVersion) -> None:
        self.planted(loop, [0.05, 0.15, 0.08, 0.12, 0.1, 0.03, 0.17, -0.2])
        found = calibration_of()
        assert found.overall.sentence == "7 of 8 intervals held (47% to 100%)"
        assert found.overall.contradicted == 1 and found.overall.tendency == "neither is shown"

    def test_a_gate_that_always_promises_too_much_is_called_optimistic(self, loop: LoopVersion) -> None:
        self.planted(loop, [0.07, 0.05, 0.06, 0.04, 0.03, 0.08, 0.05])
        found = calibration_of().overall
        assert found.held == 7 and found.tendency == "optimistic" and (found.mean_shortfall or 0) > 0.5

    def test_each_gate_and_metric_has_its_own(self, loop: LoopVersion) -> None:
        self.planted(loop, [0.1] * 5)
        gated(loop, empathy=(0.9, 0.8, 0.95))
        found = calibration_of().by_metric
        assert list(found) == [(OUTCOME_GATE, "empathy"), (OUTCOME_GATE, "improvement")]
        assert [s.intervals for s in found.values()] == [0, 5]

    def test_one_loop_or_all(self, loop: LoopVersion) -> None:
        self.planted(loop, [0.1])
        other, _ = loop_add(
            text=TOML.replace("RULES", "").replace("DEADLINE", "24h").replace('"care"', '"other"'), source="o"
        )
        self.planted(other, [0.1, 0.1])
        assert [len(calibration_of(name).rows) for name in ("care", "other", None, "none")] == [1, 2, 3, 0]
