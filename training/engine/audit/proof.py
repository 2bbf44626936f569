"""Prove a lower bound from what an adversary saw of both databases: choose a test on some runs, and count on the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from training.engine.audit.bounds import mu_at_least

_CHOOSING = {True: 8, False: 2}  # one run in so many chooses the test, with and without a matched filter
_SURE = 0.01  # the level at which another test must beat the matched filter on runs that it was not fitted on


@dataclass(frozen=True)
class Proof:
    """Hold a proven lower bound on mu, wrong at most with the false-alarm rate, and the counts behind it.

    ``trials``: runs of each database that were counted. ``test``: what the adversary looked at.
    """

    mu: float
    false_positives: int
    false_negatives: int
    trials: int
    test: str


def prove(without: Floats, within: Floats, *, false_alarm: float, matched: bool = True) -> Proof:
    """Choose a test on some of the runs, and count its errors on the others.

    The matched filter is the best test for independent noise. A linear discriminant replaces it where it is clearly better on
    runs that it was not fitted on, which shows that noise is not as declared. The threshold lies midway between both means.

    Args:
        without, within: looks (n, q) at both databases. The first is the matched filter, if ``matched``.
        false_alarm: probability that the bound lies above the true mu.
    """
    chooses = np.arange(len(without)) % _CHOOSING[matched] == 0
    weights, test = _test(without[chooses], within[chooses], matched)
    first, second = without @ weights, within @ weights
    middle = float(first[chooses].mean() + second[chooses].mean()) / 2
    false_positives, false_negatives = _errors(first[~chooses], second[~chooses], middle)
    trials = int((~chooses).sum())
    mu = max(0.0, mu_at_least(false_positives, false_negatives, trials, false_alarm))
    return Proof(mu, false_positives, false_negatives, trials, test)


def _test(without: Floats, within: Floats, matched: bool) -> tuple[Floats, str]:
    """Return the weights (q,) of the chosen test, and its name."""
    if not matched:
        return _discriminant(without, within), "linear discriminant"
    weights = _discriminant(without[::2], within[::2])
    first, second = without[1::2] @ weights, within[1::2] @ weights
    errors = _errors(first, second, float((without[::2] @ weights).mean() + (within[::2] @ weights).mean()) / 2)
    spread = float(np.r_[without[:, 0] - without[:, 0].mean(), within[:, 0] - within[:, 0].mean()].std())
    usual = float(within[:, 0].mean() - without[:, 0].mean()) / max(spread, 1e-12)
    if mu_at_least(*errors, len(first), _SURE) > usual:
        return weights, "linear discriminant"
    return np.eye(without.shape[1])[0], "matched filter"


def _errors(without: Floats, within: Floats, threshold: float) -> tuple[int, int]:
    return int((without > threshold).sum()), int((within <= threshold).sum())


def _discriminant(without: Floats, within: Floats) -> Floats:
    """Return Fisher's direction (q,). A look without any spread counts in full: it gives the canary away."""
    gap = within.mean(axis=0) - without.mean(axis=0)
    centred = np.concatenate([without - without.mean(axis=0), within - within.mean(axis=0)])
    spread = centred.T @ centred / len(centred)
    ridge = 1e-9 * float(np.trace(spread)) / len(spread) + 1e-12
    return np.asarray(np.linalg.solve(spread + ridge * np.eye(len(spread)), gap))
