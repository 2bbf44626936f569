"""The public layout of a ``moments`` release: heads, feature map, targets, and each block's share of the privacy budget.

One joint release covers every head of a loop. The main head, ``policy``, decides whether to intervene, so its effects are
measured at every decision point and for every target. The other heads (sub-heads) are measured only where they made a choice,
for one target each, in blocks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.features import FeatureMap
from loops.engine.spec import Head, LoopSpec
from loops.engine.state.support import known_support
from privacy.engine.moments.budget_shares import BUDGET_SHARES, SUB_ACTIONS_SHARE, SUB_SHARE

TARGET_CLIP = 8.0  # of a row's whitened targets
RESIDUAL_CLIP = 4.0  # of a row's whitened residuals
LEFT_SCALE = 0.2  # public scale of the target ``left``
# Scale of a change relative to the reward inside the effects block. The reward's effects act at every step.
CHANGE_WEIGHT = 0.6
SHARES_BLOCK, SUB_SHARES_BLOCK = "shares", "shares_of_heads"
COUNTS_CLIP = 1.5  # sqrt(.5^2 + 1 + 1)


def sub_block(head: str) -> str:
    """Return the name of a sub-head's block in a release."""
    return f"effects_{head}"


@dataclass(frozen=True)
class ReleaseLayout:
    """The layout of one release: its loop, feature map and sub-heads (``subs``).

    ``same_day``: next states do not cross the end of a person's day.
    """

    spec: LoopSpec
    phi: FeatureMap
    same_day: bool
    subs: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: LoopSpec, *, hinges: bool, subs: tuple[str, ...] | None = None) -> ReleaseLayout:
        """Return the layout of a loop, with all its sub-heads if ``subs`` is None."""
        names = tuple(h.name for h in spec.sub_heads) if subs is None else subs
        phi = FeatureMap.of(spec, hinges, known_support(spec))
        return cls(spec, phi, spec.imports.next_state.endswith("same_day"), names)

    def linear(self) -> ReleaseLayout:
        """Return the layout without hinge features. Its moments are the leading part of this layout's."""
        return replace(self, phi=FeatureMap.of(self.spec, False, self.phi.support))

    @property
    def shares(self) -> dict[str, float]:
        """Return each block's share of the release's budget."""
        if not self.subs:
            return dict(BUDGET_SHARES)
        main = {name: share * (1.0 - SUB_SHARE) for name, share in BUDGET_SHARES.items()}
        each = (SUB_SHARE - SUB_ACTIONS_SHARE) / len(self.subs)
        return main | {sub_block(head): each for head in self.subs} | {SUB_SHARES_BLOCK: SUB_ACTIONS_SHARE}

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
        """Return the names of the targets: reward, then the learned features, then ``left`` where the loop logs it."""
        names = ("reward", *(self.spec.features[i].name for i in self.learned))
        return (*names, "left") if self.logs_leaving else names

    @property
    def changes(self) -> Bools:
        """Return which targets (m,) are one-step changes, which need a next state."""
        return np.array([t not in ("reward", "left") for t in self.targets])

    @property
    def target_weights(self) -> Floats:
        """Return the scale (m,) of each target inside the effects block. A larger scale means relatively less noise."""
        return np.where(self.changes, CHANGE_WEIGHT, 1.0)

    @property
    def alternatives(self) -> tuple[int, ...]:
        """Return policy's action indices except the reference."""
        return alternatives_of(self.main)

    @property
    def logged(self) -> Floats:
        """Return the logging probabilities (K-1,) of policy's alternatives."""
        return logged_of(self.main)

    @property
    def covariance(self) -> Floats:
        """Return V = diag(p) - p p' (K-1, K-1) of policy's logging distribution p over the alternatives."""
        return covariance_of(self.main)


def alternatives_of(head: Head) -> tuple[int, ...]:
    """Return a head's action indices except the reference."""
    return tuple(k for k in range(len(head.actions)) if k != head.reference_index)


def logged_of(head: Head) -> Floats:
    """Return the logging probabilities (K-1,) of a head's alternatives."""
    return np.array(head.logging)[list(alternatives_of(head))]


def covariance_of(head: Head) -> Floats:
    """Return V = diag(p) - p p' (K-1, K-1) of a head's logging distribution p over the alternatives."""
    p = logged_of(head)
    return np.asarray(np.diag(p) - np.outer(p, p))


@dataclass(frozen=True)
class Clips:
    """Public L2 clips of a person's contribution, by block name."""

    of: dict[str, float]

    def __getitem__(self, block: str) -> float:
        return self.of[block]


@dataclass(frozen=True)
class Counts:
    """The result of round 0: noised number of people, rough decision points per person, and reward centre in reward scales."""

    users: float
    decisions: float
    centre: float
