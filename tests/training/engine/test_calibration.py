"""Gates against what was lived: one comparison read by hand, and planted gates whose honesty is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.engine.calibration import GateComparison, IntervalEstimate, summarise_calibration

GATE = IntervalEstimate(0.10, 0.02, 0.18)
Z90 = 1.6449


def compared(lived: IntervalEstimate | None, metric: str = "improvement") -> GateComparison:
    return GateComparison(metric, GATE, lived)


class TestOneComparison:
    def test_a_lived_value_in_the_interval_held(self) -> None:
        found = compared(IntervalEstimate(0.06, 0.0, 0.12))
        assert (found.state, found.held, found.overlaps) == ("held", True, True)
        assert found.shortfall == pytest.approx(0.5), "half of a half-width worse than estimated"

    def test_a_value_outside_whose_interval_overlaps_is_missed_but_not_contradicted(self) -> None:
        found = compared(IntervalEstimate(0.0, -0.05, 0.05))
        assert (found.state, found.held, found.overlaps) == ("missed", False, True)

    def test_intervals_apart_contradict(self) -> None:
        found = compared(IntervalEstimate(-0.1, -0.15, -0.05))
        assert (found.state, found.held, found.overlaps) == ("contradicted", False, False)
        assert found.shortfall == pytest.approx(2.5)

    @pytest.mark.parametrize("end", [GATE.low, GATE.high])
    def test_the_ends_belong_to_the_interval(self, end: float) -> None:
        assert compared(IntervalEstimate(end, end, end)).held

    def test_better_than_estimated_is_a_negative_shortfall(self) -> None:
        assert compared(IntervalEstimate(0.14, 0.1, 0.2)).shortfall == pytest.approx(-0.5)

    @pytest.mark.parametrize("metric", ["false_intervention", "silence"])
    def test_of_harm_less_is_better(self, metric: str) -> None:
        assert compared(IntervalEstimate(0.14, 0.1, 0.2), metric).shortfall == pytest.approx(0.5)

    def test_what_was_not_lived_says_nothing(self) -> None:
        found = compared(None)
        assert (found.state, found.held, found.overlaps, found.shortfall) == ("not lived", None, None, None)

    def test_what_excludes_nothing_is_too_early_even_in_the_interval(self) -> None:
        found = compared(IntervalEstimate(0.1, -math.inf, math.inf))
        assert (found.state, found.held, found.overlaps, found.shortfall) == ("too early", None, None, None)


def planted(versions: int, *, overstated: float = 0.0, claimed: float = 1.0, seed: int = 0) -> list[GateComparison]:
    """Versions whose gates have standard error .05, overstate by so many of these, and claim so much of their 90% interval."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(0.1, 0.1, versions)
    estimates = truths + 0.05 * (rng.normal(size=versions) + overstated)
    radius = claimed * Z90 * 0.05
    return [
        GateComparison(
            "improvement",
            IntervalEstimate(float(estimate), float(estimate - radius), float(estimate + radius)),
            IntervalEstimate(float(truth), float(truth) - 0.01, float(truth) + 0.01),
        )
        for truth, estimate in zip(truths, estimates, strict=True)
    ]


class TestPlantedGates:
    def test_right_gates_hold_in_nine_of_ten(self) -> None:
        found = summarise_calibration(planted(400))
        assert found.held_range is not None and found.held_range[0] < 0.9 < found.held_range[1]
        assert found.tendency == "neither is shown" and abs(found.mean_shortfall or 0.0) < 0.1

    def test_gates_that_claim_half_of_their_interval_are_found_out(self) -> None:
        found = summarise_calibration(planted(400, claimed=0.5))
        assert found.held_range is not None and found.held_range[1] < 0.9

    @pytest.mark.parametrize(("overstated", "tendency"), [(1.0, "optimistic"), (-1.0, "pessimistic")])
    def test_gates_that_lean_are_found_out(self, overstated: float, tendency: str) -> None:
        found = summarise_calibration(planted(60, overstated=overstated))
        assert found.tendency == tendency
        assert found.mean_shortfall == pytest.approx(overstated / Z90, abs=0.2)

    def test_choosing_what_looked_good_alone_makes_lived_values_fall_short(self) -> None:
        """The reason why a small shortfall is no fault: right gates, of which only the promising versions are deployed."""
        chosen = [c for c in planted(2_000) if c.gate.low > 0.1]
        found = summarise_calibration(chosen)
        assert len(chosen) > 100 and found.tendency == "optimistic"

    def test_right_gates_are_rarely_called_leaning(self) -> None:
        leaning = [summarise_calibration(planted(20, seed=s)).tendency != "neither is shown" for s in range(200)]
        assert sum(leaning) <= 16, "at most 5%, with room for chance"


class TestSummary:
    def test_seven_of_eight(self) -> None:
        inside, outside = IntervalEstimate(0.1, 0.0, 0.2), IntervalEstimate(-0.1, -0.2, 0.0)
        found = summarise_calibration([compared(inside)] * 7 + [compared(outside)])
        assert found.sentence == "7 of 8 intervals held (47% to 100%)"
        assert (found.held, found.contradicted, found.worse) == (7, 1, 1)

    @pytest.mark.parametrize(("number", "noun"), [(1, "interval"), (4, "intervals")])
    def test_below_five_the_share_is_not_told(self, number: int, noun: str) -> None:
        found = summarise_calibration([compared(IntervalEstimate(0.1, 0.0, 0.2))] * number)
        assert found.held_range is None and found.tendency == "too few to tell"
        assert found.sentence == f"{number} of {number} {noun} held (too few to tell)"

    def test_what_was_not_lived_counts_neither_for_nor_against(self) -> None:
        unknown = [compared(None), compared(IntervalEstimate(0.1, -math.inf, math.inf))]
        found = summarise_calibration(unknown)
        assert (found.intervals, found.held, found.held_range, found.mean_shortfall) == (0, 0, None, None)
        assert found.sentence.startswith("No interval can be compared yet")
