"""The ``moments`` release: what one head of a loop needs to know about a population, as bounded user-level averages.

Unit: user; neighbouring relation: add or remove one. Every person contributes averages over their own decision points,
L2-clipped per block to public constants, summed as integers, and noised once (privacy.engine.mechanisms). Three rounds
under one reservation, each reading only the noised output of those before it:

0. ``counts``: a person counts 1; logarithm of their number of decision points; a centre of their reward;
1. ``baseline``: gram of phi, and phi times the whitened targets;
2. ``effects``: for each action but the reference, phi times the action-centred residual; residual variances; P(stay).

Targets: the whitened reward, the one-step change of each learned feature, and ``left`` where the loop logs it.
The clips follow from null users (privacy.engine.null_users), the feature set from a public size rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from loops.engine.features import FeatureMap
from loops.engine.spec import LoopSpec
from privacy.engine.rows import Bools, Floats, Rows, person_sums

SHARES = {"counts": 0.03, "gram": 0.25, "targets": 0.10, "effects": 0.58, "variances": 0.0395}
COUNT_CAP = 10_000  # decision points a person; beyond it the logarithm is capped
CENTRE_RANGE = 10.0  # reward centre a person, in reward scales
COUNTS_CLIP = 1.5  # sqrt(.5^2 + 1 + 1)
COUNT_WEIGHT = 0.5  # the number of people is asked less precisely than the other two counts: the gram tells it again
TARGET_CLIP = 8.0  # whitened targets, a row
RESIDUAL_CLIP = 4.0  # whitened residuals, a row
LEFT_SCALE = 0.2
CHANGE_WEIGHT = 0.6  # of a change beside the reward inside the effects block: the reward's effects act at every step
FULL_WEIGHT_ROWS = 8  # a person with fewer decision points counts in proportion
PROPENSITY_FLOOR = 0.5  # of the smallest logging probability
_CHUNK_USERS = 512


@dataclass(frozen=True)
class Layout:
    """Public shape of the release for one head: feature map, targets, actions, and which rows have a next state."""

    spec: LoopSpec
    head: str
    phi: FeatureMap
    same_day: bool

    @classmethod
    def of(cls, spec: LoopSpec, head: str, *, hinges: bool) -> Layout:
        return cls(spec, head, FeatureMap.of(spec, hinges), spec.imports.next_state.endswith("same_day"))

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
        """Action indices other than the reference."""
        head = self.spec.head(self.head)
        return tuple(k for k in range(len(head.actions)) if k != head.reference_index)

    @property
    def covariance(self) -> Floats:
        """V = diag(p) - p p' of the logging distribution over the alternatives."""
        p = np.array(self.spec.head(self.head).logging)[list(self.alternatives)]
        return np.diag(p) - np.outer(p, p)


def user_weights(rows: Rows) -> tuple[Floats, Floats]:
    """Per-person number of rows, and the weight of each row in its person's average (n,)."""
    counts = np.bincount(rows.person, minlength=rows.users).astype(np.float64)
    weight = np.minimum(1.0, counts / FULL_WEIGHT_ROWS) / np.maximum(counts, 1.0)
    return counts, weight[rows.person]


def whitened_targets(layout: Layout, rows: Rows, centre: float) -> Floats:
    """(n, m) targets in units of their public scales, clipped at +-8; a change without a next state is 0 and masked."""
    spec = layout.spec
    columns = [rows.reward / spec.reward.scale - centre]
    for i in layout.learned:
        columns.append((rows.next_state[:, i] - rows.state[:, i]) / (spec.features[i].scale or 1.0))
    if layout.logs_leaving:
        columns.append(rows.left / LEFT_SCALE)
    targets = np.clip(np.column_stack(columns), -TARGET_CLIP, TARGET_CLIP)
    targets[np.ix_(~rows.has_next, layout.changes)] = 0.0
    return targets


def count_contributions(spec: LoopSpec, rows: Rows) -> Floats:
    """(U, 3): .5, log(1 + decisions) over its cap, the mean reward in scales over its range; L2 norm at most 1.5."""
    counts, _ = user_weights(rows)
    reward = person_sums(rows.person, rows.reward[:, None], rows.users)[:, 0] / np.maximum(counts, 1.0)
    return np.column_stack(
        [
            np.full(rows.users, COUNT_WEIGHT),
            np.log1p(np.minimum(counts, COUNT_CAP)) / np.log1p(COUNT_CAP),
            np.clip(reward / spec.reward.scale / CENTRE_RANGE, -1.0, 1.0),
        ]
    )


def baseline_contributions(layout: Layout, rows: Rows, centre: float) -> tuple[Floats, Floats]:
    """Per-person gram (U, g) and targets block (U, d*m), before clipping.

    The gram is the upper triangle with off-diagonals times sqrt 2 (so that its L2 norm is the Frobenius norm). Where the
    loop's next state ends with the day, rows with and without one are kept apart, because changes are seen only in the former.
    """
    grams, targets = [], []
    for part in _chunks(rows):
        phi = layout.phi.phi(part.state)
        weight = user_weights(part)[1][:, None]
        upper = _upper(phi) * weight
        if layout.same_day:
            upper = np.hstack([upper * part.has_next[:, None], upper * ~part.has_next[:, None]])
        grams.append(person_sums(part.person, upper, part.users))
        y = whitened_targets(layout, part, centre)
        outer = (phi[:, :, None] * y[:, None, :]).reshape(len(y), -1)
        targets.append(person_sums(part.person, outer * weight, part.users))
    return np.vstack(grams), np.vstack(targets)


def effect_contributions(layout: Layout, rows: Rows, centre: float, theta: Floats) -> tuple[Floats, Floats]:
    """Per-person effects block (U, K-1 * d * m) and variances block (U, m + stays), before clipping.

    Effects: V z phi residual with z_k = 1[a=k]/p - 1[a=ref]/p_ref, averaged over explored rows. With constant propensities this
    is the action-centred form (1[a=k] - p_k) phi residual; with others its expectation is the same, so rows mix freely.
    """
    effects, variances = [], []
    for part in _chunks(rows):
        phi = layout.phi.phi(part.state)
        seen = np.where(layout.changes[None, :], part.has_next[:, None], True)
        residual = np.clip(whitened_targets(layout, part, centre) - phi @ theta, -RESIDUAL_CLIP, RESIDUAL_CLIP) * seen
        centred = _centred_actions(layout, part)
        weighted = residual * layout.target_weights
        outer = np.einsum("nk,nd,nm->nkdm", centred, phi, weighted).reshape(len(phi), -1)
        effects.append(_explored_average(part, outer))
        weight = user_weights(part)[1][:, None]
        spread = np.hstack([residual**2, _stays(layout, part)])
        variances.append(person_sums(part.person, spread * weight, part.users))
    return np.vstack(effects), np.vstack(variances)


def _centred_actions(layout: Layout, rows: Rows) -> Floats:
    head = layout.spec.head(layout.head)
    p = np.maximum(rows.propensity, PROPENSITY_FLOOR * min(head.logging))
    z = (rows.action[:, None] == np.array(layout.alternatives)) / p[:, None]
    z = z - ((rows.action == head.reference_index) / p)[:, None]
    return np.asarray(z @ layout.covariance)


def _explored_average(rows: Rows, values: Floats) -> Floats:
    counts = np.bincount(rows.person, weights=rows.explored, minlength=rows.users)
    weight = np.minimum(1.0, counts / FULL_WEIGHT_ROWS) / np.maximum(counts, 1.0)
    return person_sums(rows.person, values * (weight[rows.person] * rows.explored)[:, None], rows.users)


def _stays(layout: Layout, rows: Rows) -> Floats:
    columns = [(rows.next_state[:, i] == rows.state[:, i]) * rows.has_next for i in layout.drift_categories]
    return np.column_stack(columns).astype(np.float64) if columns else np.empty((len(rows.state), 0))


def _upper(phi: Floats) -> Floats:
    """(n, d(d+1)/2) products phi_i phi_j, i <= j, off-diagonals times sqrt 2."""
    i, j = np.triu_indices(phi.shape[1])
    return phi[:, i] * phi[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def gram_from_upper(upper: npt.NDArray[np.float64], width: int) -> Floats:
    """The symmetric matrix whose scaled upper triangle this is: inverse of the packing above."""
    i, j = np.triu_indices(width)
    gram = np.zeros((width, width))
    gram[i, j] = upper / np.where(i == j, 1.0, np.sqrt(2.0))
    return gram + np.triu(gram, 1).T


def _chunks(rows: Rows) -> Iterator[Rows]:
    """Parts of at most 512 people, so that memory stays bounded whatever the population."""
    if rows.users <= _CHUNK_USERS:
        yield rows
        return
    for first in range(0, rows.users, _CHUNK_USERS):
        yield rows.of_people(first, min(first + _CHUNK_USERS, rows.users))


@dataclass(frozen=True)
class Clips:
    """Public L2 clips of the blocks, a person."""

    counts: float
    gram: float
    targets: float
    effects: float
    variances: float

    def as_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in SHARES}

    def override(self, clips: dict[str, float]) -> Clips:
        return replace(self, **clips)


@dataclass(frozen=True)
class Counts:
    """What round 0 tells: noised people, decision points a person (rough), reward centre in reward scales."""

    users: float
    decisions: float
    centre: float


def grams(layout: Layout, baseline: Mapping[str, np.ndarray]) -> tuple[Floats, Floats, float]:
    """(gram, gram of rows with a next state, effective people): the first two divided by the third."""
    upper = baseline["gram"]
    width = layout.phi.width
    if not layout.same_day:
        gram = gram_from_upper(upper, width)
        users = max(float(gram[0, 0]), 1.0)
        return gram / users, gram / users, users
    half = upper.size // 2
    seen, unseen = gram_from_upper(upper[:half], width), gram_from_upper(upper[half:], width)
    users = max(float(seen[0, 0] + unseen[0, 0]), 1.0)
    return (seen + unseen) / users, seen / users, users
