"""A trial's guardrails: one sum at the bar that silence lowers, joined with the evaluation before it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.factories.trial_people import SPEC
from training.engine.gates.trial_guardrails import guardrail_judgements, joined_sums

Stored = dict[str, np.ndarray]


def _block(
    metric: str, value: float, weight: float, *, square: float = 1.0, sd: float = 1.0, beyond: float = 0.0
) -> Stored:
    return {
        metric: np.array([value, square, 0.0, beyond, 1_000.0, weight]),
        f"{metric}_sd": sd * np.array([1.0, 0.1, 10.0, 10.0, 20.0, 4.0]),
        f"{metric}_clips": np.array([0.1, 0.4]), f"{metric}_share": np.ones(1),
    }  # fmt: skip


def _trial(harmed: float = -8.0, silent: float = 0.0, beyond: float = 0.0) -> Stored:
    return (
        _block("empathy_deficit", -20.0, 150.0) | _block("false_intervention", harmed, 150.0, beyond=beyond)
        | _block("silence", silent * 200.0, 200.0)
    )  # fmt: skip


def _verdicts(stored: Stored, earlier: Stored | None = None) -> dict[str, str]:
    return {j.name: j.verdict for j in guardrail_judgements(SPEC, stored, earlier)}


def test_shares_below_their_bars_pass_and_shares_proven_beyond_them_fail() -> None:
    assert _verdicts(_trial()) == {"empathy": "pass", "false_intervention": "pass"}
    assert _verdicts(_trial(harmed=0.5))["false_intervention"] == "insufficient"
    assert _verdicts(_trial(harmed=8.0))["false_intervention"] == "fail"


@pytest.mark.parametrize(("harmed", "share"), [(300.0, 1.0), (-300.0, 0.0)])
def test_a_share_beyond_what_a_share_can_be_is_shown_at_its_end(harmed: float, share: float) -> None:
    found = {j.name: j for j in guardrail_judgements(SPEC, _trial(harmed=harmed), None)}["false_intervention"]
    assert found.value == share and 0.0 <= found.low <= found.high <= 1.0


def test_silence_lowers_the_bar() -> None:
    assert _verdicts(_trial(silent=0.2))["false_intervention"] == "pass"
    assert _verdicts(_trial(silent=0.8))["false_intervention"] == "insufficient"


def test_people_beyond_the_clip_keep_it_open_unless_noise_explains_them() -> None:
    """13 people above the clip are 1.3 sd of noise."""
    assert _verdicts(_trial(beyond=13.0))["false_intervention"] == "pass"
    assert _verdicts(_trial(beyond=60.0))["false_intervention"] == "insufficient"


def test_an_evaluation_counts_by_its_precision_and_its_scale_does_not_matter() -> None:
    alone = joined_sums("false_intervention", _trial(), {})
    for scale in (1.0, 3.0):
        earlier = _block("false_intervention", scale * -2.0, scale * 150.0, square=scale**2, sd=scale)
        both = joined_sums("false_intervention", _trial(), earlier)
        assert both.value / both.weight == pytest.approx((-8 - 2) / 300)
        assert both.sd_value / both.weight == pytest.approx(math.sqrt(2) / 300)
        assert both.sd_value / both.weight < alone.sd_value / alone.weight
    vague = _block("false_intervention", -2.0, 150.0, sd=10.0)
    both = joined_sums("false_intervention", _trial(), vague)
    assert both.value / both.weight == pytest.approx(-8 / 150, abs=0.002)


def test_people_of_both_may_be_the_same() -> None:
    """The sampling variance is at least that of independent people, and at most that of the very same ones."""
    both = joined_sums("false_intervention", _trial(), _block("false_intervention", -8.0, 150.0))
    assert 2 < both.square < 4


def test_too_few_known_interventions_are_not_read() -> None:
    stored = _trial() | _block("empathy_deficit", -0.5, 2.0)
    assert _verdicts(stored)["empathy"] == "insufficient"
