"""Judge from released action frequencies which alternatives of a head were logged at all, and how informative they are.

Effects assume that actions were drawn as the loop declares. A file may hold an action that was never taken, or taken far less
often. Such an action has no evidence: its effect keeps its prior, and no learned policy may choose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats

# A never-logged action passes in at most 2.5% of releases of any size, and one logged as declared in 95% from some 150 people on
# (two actions, epsilon 1).
LEAST_SHARE = 0.25  # of the declared probability
_CONFIDENT = 2.0  # noise sds
_LEAST_COUNTED = 0.1  # of the declared probability: bounds the variance of an action that is hardly ever taken


@dataclass(frozen=True)
class ActionShares:
    """Released shares (K-1,) of a head's alternatives among explored rows, their noise ``sd`` (K-1,), and what is declared.

    ``declared`` (K-1,): logging probabilities. ``evidence`` (K-1,): the part of the pooled releases' weight in which the action
    occurred, 1 for one release.
    """

    declared: Floats
    share: Floats
    sd: Floats
    evidence: Floats

    @classmethod
    def of(cls, declared: Floats, share: Floats, sd: Floats) -> ActionShares:
        """Return the shares of one release."""
        return cls(declared, np.clip(share, 0.0, 1.0), sd, np.ones(len(declared)))

    @property
    def supported(self) -> Bools:
        """Return which alternatives (K-1,) were taken: more often than a quarter of what is declared, and clear of the noise."""
        return np.asarray(self.share > np.maximum(LEAST_SHARE * self.declared, _CONFIDENT * self.sd))

    @property
    def present(self) -> Bools:
        """Return which alternatives (K-1,) were not credibly taken less often than a quarter of what is declared."""
        return np.asarray(self.share + _CONFIDENT * self.sd > LEAST_SHARE * self.declared)

    @property
    def contrasts(self) -> Floats:
        """Return diag(1/q) + 1/q_ref (K-1, K-1): the variance of the contrasts with the reference, a unit of residual variance.

        q is the released share, at most the declared one, so that noise never makes an effect surer than the design.
        """
        taken = np.clip(self.share, _LEAST_COUNTED * self.declared, self.declared)
        declared = 1.0 - float(self.declared.sum())
        reference = float(np.clip(1.0 - self.share.sum(), _LEAST_COUNTED * declared, declared))
        return np.asarray(np.diag(1.0 / taken) + 1.0 / reference)


def pool_shares(parts: Sequence[ActionShares], weights: Floats) -> tuple[ActionShares, Floats]:
    """Pool the shares of several releases with these weights (R,), and return the weights (R, K-1) of each alternative.

    A release in which an action was absent says nothing about its effect, so that action is pooled from the others alone.
    """
    counted = weights[:, None] * np.stack([p.evidence * p.present for p in parts])
    evidence = counted.sum(axis=0)
    by_action = np.where(evidence > 0.0, counted / np.maximum(evidence, 1e-12), weights[:, None])
    shares = ActionShares(
        declared=parts[-1].declared,
        share=np.einsum("rk,rk->k", by_action, np.stack([p.share for p in parts])),
        sd=np.sqrt(np.einsum("rk,rk->k", by_action**2, np.stack([p.sd**2 for p in parts]))),
        evidence=np.where(evidence > 0.0, evidence, 1.0),
    )
    return shares, by_action


def pool_effects(effects: Sequence[Floats], covariance: Floats, by_action: Floats) -> Floats:
    """Pool effects blocks (K-1, ...) of several releases, each alternative with its own weights ``by_action`` (R, K-1).

    A block holds V times the contrasts with the reference, so V is taken out, the contrasts are pooled, and V is put back.
    """
    flat = np.stack([e.reshape(len(covariance), -1) for e in effects])
    contrasts = np.linalg.solve(covariance, flat)
    pooled = covariance @ np.einsum("rk,rkj->kj", by_action, contrasts)
    return np.asarray(pooled.reshape(effects[0].shape))
