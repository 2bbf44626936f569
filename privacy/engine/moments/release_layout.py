"""The public shape of a ``moments`` release: heads, feature map, targets, and which share of the budget each block has.

One joint release serves every head of a loop. ``policy`` decides whether anything is said, so its effects are asked at every
decision point and for every target; the other heads are asked only where they spoke, for one target each, in blocks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.features import FeatureMap
from loops.engine.spec import Head, LoopSpec
from privacy.engine.moments.budget_shares import BUDGET_SHARES, SUB_SHARE

TARGET_CLIP = 8.0  # whitened targets, a row
RESIDUAL_CLIP = 4.0  # whitened residuals, a row
LEFT_SCALE = 0.2
CHANGE_WEIGHT = 0.6  # of a change beside the reward inside the effects block: the reward's effects act at every step
COUNTS_CLIP = 1.5  # sqrt(.5^2 + 1 + 1)


def sub_block(head: str) -> str:
    """Name of a sub-head's block in a release."""
    return f"effects_{head}"


@dataclass(frozen=True)
class ReleaseLayout:
    """Feature map, targets and actions; which rows have a next state; the sub-heads (``subs``) that are asked beside policy."""

    spec: LoopSpec
    phi: FeatureMap
    same_day: bool
    subs: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: LoopSpec, *, hinges: bool, subs: tuple[str, ...] | None = None) -> ReleaseLayout:
        """The layout of a loop; ``subs`` None: all its sub-heads."""
        asked = tuple(h.name for h in spec.sub_heads) if subs is None else subs
        return cls(spec, FeatureMap.of(spec, hinges), spec.imports.next_state.endswith("same_day"), asked)

    def linear(self) -> ReleaseLayout:
        """The same without hinges: its moments are the leading part of these."""
        return replace(self, phi=FeatureMap.of(self.spec, False))

    @property
    def shares(self) -> dict[str, float]:
        """Block -> share of the release's budget."""
        if not self.subs:
            return dict(BUDGET_SHARES)
        main = {name: share * (1.0 - SUB_SHARE) for name, share in BUDGET_SHARES.items()}
        return main | {sub_block(head): SUB_SHARE / len(self.subs) for head in self.subs}

    @property
    def main(self) -> Head:
        return self.spec.main_head

    @property
    def learned(self) -> tuple[int, ...]:
        return self.spec.features_with("learned")

    @property
    def drift_categories(self) -> tuple[int, ...]:
        return tuple(i for i in self.spec.features_with("drift") if self.spec.features[i].is_category)

    @property
    def logs_leaving(self) -> bool:
        return self.spec.imports.left is not None

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets: reward, then the learned features, then ``left`` where logged."""
        names = ("reward", *(self.spec.features[i].name for i in self.learned))
        return (*names, "left") if self.logs_leaving else names

    @property
    def changes(self) -> Bools:
        """Which targets are one-step changes (they need a next state)."""
        return np.array([t not in ("reward", "left") for t in self.targets])

    @property
    def target_weights(self) -> Floats:
        """(m,) scale of each target inside the effects block: what is asked more precisely counts more of the norm."""
        return np.where(self.changes, CHANGE_WEIGHT, 1.0)

    @property
    def alternatives(self) -> tuple[int, ...]:
        """Action indices of policy other than the reference."""
        return alternatives_of(self.main)

    @property
    def logged(self) -> Floats:
        """(K-1,) logging probabilities of policy's alternatives."""
        return np.array(self.main.logging)[list(self.alternatives)]

    @property
    def covariance(self) -> Floats:
        """V = diag(p) - p p' of policy's logging distribution over the alternatives."""
        return covariance_of(self.main)


def alternatives_of(head: Head) -> tuple[int, ...]:
    """Action indices other than the reference."""
    return tuple(k for k in range(len(head.actions)) if k != head.reference_index)


def covariance_of(head: Head) -> Floats:
    """V = diag(p) - p p' of the logging distribution over the alternatives (K-1, K-1)."""
    p = np.array(head.logging)[list(alternatives_of(head))]
    return np.asarray(np.diag(p) - np.outer(p, p))


@dataclass(frozen=True)
class Clips:
    """Public L2 clips of the blocks, a person: block name -> clip."""

    of: dict[str, float]

    def __getitem__(self, block: str) -> float:
        return self.of[block]


@dataclass(frozen=True)
class Counts:
    """What round 0 tells: noised people, decision points a person (rough), reward centre in reward scales."""

    users: float
    decisions: float
    centre: float
