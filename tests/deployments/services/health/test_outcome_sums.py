"""A person's sums for a health check: one stored number beyond the loop's bounds cannot dominate them."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.services.health.outcome_sums import OutcomeRow, outcome_sums
from loops.engine.reward import COMPONENTS, largest_total
from privacy.engine.sealing import Cipher, about_outcome
from tests.factories.builtin_loops import builtin

SPEC = builtin("r3al")
CIPHER = Cipher(b"k" * 32)
NAN = float("nan")


def row(key: bytes, total: float, empathy: float = NAN, *, harmful: bool | None = None) -> OutcomeRow:
    """An intervention with an outcome, sealed as the platform seals it."""
    values = np.array([total] + [empathy if c == "empathy" else NAN for c in COMPONENTS], dtype="<f8")
    return 1, key, CIPHER.seal(values.tobytes(), about_outcome(7, key)), harmful


def test_totals_and_empathy_are_added_up() -> None:
    rows = [row(b"a", 0.5, 0.25, harmful=True), row(b"b", 0.25, 0.5), (0, b"c", None, None)]
    found = outcome_sums(SPEC, CIPHER, 7, rows, reference=0)
    assert found == {
        "decisions": 3, "interventions": 2, "answered": 1, "harmful": 1, "rated": 2, "rewarded": 2, "empathy_sum": 0.75,
        "reward_sum": 0.75,
    }  # fmt: skip


@pytest.mark.parametrize("total", [1e300, np.inf])
def test_a_total_beyond_the_loops_bound_counts_as_the_bound(total: float) -> None:
    found = outcome_sums(SPEC, CIPHER, 7, [row(b"a", total, 9.0), row(b"b", 0.5)], reference=0)
    assert found["reward_sum"] == largest_total(SPEC) + 0.5 and found["empathy_sum"] == 1.0


def test_what_cannot_be_opened_is_left_out() -> None:
    found = outcome_sums(SPEC, CIPHER, 7, [(1, b"a", b"damaged", None), row(b"b", 0.5)], reference=0)
    assert (found["decisions"], found["rewarded"], found["reward_sum"]) == (2, 1, 0.5)
