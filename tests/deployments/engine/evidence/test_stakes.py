"""What each bet sees, and that its shares are whole."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engine.evidence.stakes import (
    ANSWERED_BET,
    EMPATHY_BETS,
    FALSE_INTERVENTION_BETS,
    LATENCY_BET,
    NOT_GOOD_BET,
    Stakes,
)


@pytest.mark.parametrize("bet", [*EMPATHY_BETS, *FALSE_INTERVENTION_BETS, ANSWERED_BET, NOT_GOOD_BET, LATENCY_BET])
def test_the_shares_of_a_bets_stakes_sum_to_one(bet: Stakes) -> None:
    assert sum(bet.weights) == pytest.approx(1.0) and len(bet.weights) == len(bet.grid)
    assert 0 < bet.prior < 1


def test_the_floored_half_takes_deep_harm_for_half_and_stretches_the_rest() -> None:
    values = np.array([0.0, 0.2, 0.4, 0.5, 0.75, 1.0])
    assert EMPATHY_BETS[0].seen(values).tolist() == values.tolist()
    assert EMPATHY_BETS[1].seen(values).tolist() == [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]
    assert FALSE_INTERVENTION_BETS[1].seen(values) == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 1.0])
