"""Released moments of a population: means per person with the noise on each, from one release or from several pooled.

Releases are pooled by precision, block by block, with weights proportional to 1 / (noise^2 + sampling^2) (inverse-variance
weighting). Later releases subtract the effects known before (``known``) from their targets, so each release also carries how
much was subtracted. With q the share of each action and theta fitted to the pooled targets, the reference's coefficients are
theta + offset - sum_k q_k tau_k.

A baseline that was logged while a policy served counts a tenth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from core.arrays import Floats
from loops.engine.spec import Head
from privacy.engine.moments.action_shares import ActionShares, pool_effects, pool_shares
from privacy.engine.moments.clipping import PublicFacts, nominal_decisions, public_facts
from privacy.engine.moments.contributions import gram_from_upper
from privacy.engine.moments.gram_matrix import Gram, estimate_gram
from privacy.engine.moments.release_layout import Counts, ReleaseLayout, alternatives_of, covariance_of

# Correlation of a person's whitened targets between decision points, beyond what the features explain.
CLUSTERING_LEVEL, CLUSTERING_CHANGE = 0.1, 0.02
FULLY_EXPLORED = 0.999
# Weight of a baseline that was logged while a policy served, relative to a fully explored one. Errors of the known effects are
# read as baseline exactly where that policy acts: with full weight, later candidates looked better than they were.
SERVED_WEIGHT = 0.1
_MEAN_SQUARE = 0.4  # rough mean square of a column of phi: a uniform number has 1/3, the intercept 1


@dataclass(frozen=True)
class SubMoments:
    """A sub-head's block on linear features.

    effects (K_h-1, d) in reward scales. ``sd``: noise on an entry. ``rows``: rows behind the block. ``variance``: residual
    variance of the sub-head's target. ``shares``: how often each alternative was taken.
    """

    effects: Floats
    sd: float
    rows: float
    variance: float
    shares: ActionShares


@dataclass(frozen=True)
class Moments:
    """Moments of one release, or of several pooled.

    gram (d, d) of all rows, and gram_next (d, d) of rows with a next state. targets (d, m). effects (K-1, d, m).
    variances (m,): residual variances. stays (s,): probabilities that a drifting category stays.
    ``sd``: noise on an entry of gram, targets, effects and variances.
    ``sampling`` (level, change): variance of a target's mean residual per unit of gram.
    ``rows``: decision points behind the effects.
    actions (K-1,): share q of each action among all rows. ``shares``: among explored rows, None before round 2.
    offset (d, m): what was subtracted from the targets, averaged over the actions.
    ``sizes``: (noise^2 + sampling^2) of each block, whose inverse is its weight in pooling.
    """

    layout: ReleaseLayout
    counts: Counts
    users: float
    gram: Floats
    gram_next: Floats
    targets: Floats
    sd: dict[str, float]
    sampling: tuple[float, float]
    actions: Floats
    offset: Floats
    sizes: dict[str, float]
    effects: Floats = field(default_factory=lambda: np.zeros(0))
    shares: ActionShares | None = None
    rows: float = 0.0
    variances: Floats = field(default_factory=lambda: np.zeros(0))
    stays: Floats = field(default_factory=lambda: np.zeros(0))
    subs: Mapping[str, SubMoments] = field(default_factory=dict)
    releases: int = 1

    def with_actions(self, shares: ActionShares, explored_share: float, known: Floats | None) -> Moments:
        """Return these moments with the action shares that round 2 released.

        Before a policy was ever learned, decisions that were not explored took the reference.
        """
        taken = shares.share * (explored_share if known is None else 1.0)
        alternatives = list(self.layout.alternatives)
        offset = self.offset if known is None else np.tensordot(taken, known[alternatives], axes=1)
        return replace(self, shares=shares, actions=taken, offset=np.asarray(offset))

    @property
    def without_evidence(self) -> tuple[int, ...]:
        """Return policy's action indices that were hardly ever logged, so that no policy may choose them."""
        return _without_evidence(self.layout.main, self.shares)

    def sub_without_evidence(self, head: str) -> tuple[int, ...]:
        """Return a sub-head's action indices that were hardly ever logged."""
        return _without_evidence(self.layout.spec.head(head), self.subs[head].shares)

    def with_effects(
        self, *, effects: Floats, sd_effects: float, rows: float, variances: Floats, stays: Floats, sd_variances: float,
        subs: Mapping[str, SubMoments],
    ) -> Moments:  # fmt: skip
        """Return these moments with the effects, variances and sub-heads that round 2 released."""
        sampling = _typical(variances) * float(np.diag(self.layout.covariance).mean()) * _MEAN_SQUARE / max(rows, 1.0)
        return replace(
            self,
            effects=effects,
            rows=rows,
            variances=variances,
            stays=stays,
            subs=subs,
            sd=self.sd | {"effects": sd_effects, "variances": sd_variances},
            sizes=self.sizes
            | {"effects": sd_effects**2 + sampling, "variances": sd_variances**2 + 1.0 / max(self.users, 1.0)},
        )

    @cached_property
    def level_gram(self) -> Gram:
        """Return the estimate of ``gram``, for targets that every row has."""
        parts = 2.0 if self.layout.same_day else 1.0  # released as two sums: rows with a next state, and rows without
        return estimate_gram(self.layout, self.gram, parts * self.sd["gram"] ** 2, self._null_gram)

    @cached_property
    def change_gram(self) -> Gram:
        """Return the estimate of ``gram_next``, for targets that need a next state."""
        return estimate_gram(self.layout, self.gram_next, self.sd["gram"] ** 2, self._null_gram)

    @property
    def residual_variances(self) -> Floats:
        """Return the residual variances (m,) of whitened targets over the rows that have the target.

        The released variances average over all rows, and a change without a next state counts as 0.
        """
        seen = np.where(self.layout.changes, max(float(self.gram_next[0, 0]), 1e-3), 1.0)
        return np.asarray(np.minimum(self.variances / seen, 16.0))

    @property
    def _null_gram(self) -> Floats:
        decisions = nominal_decisions(self.layout.spec, self.counts.decisions)
        return public_facts(self.layout, decisions).gram

    def linear(self) -> Moments:
        """Return the moments without hinge features: the leading part of every block."""
        layout = self.layout.linear()
        d = layout.phi.width
        return replace(
            self,
            layout=layout,
            gram=self.gram[:d, :d],
            gram_next=self.gram_next[:d, :d],
            targets=self.targets[:d],
            offset=self.offset[:d],
            effects=self.effects[:, :d] if self.effects.size else self.effects,
        )


def baseline_moments(
    layout: ReleaseLayout, counts: Counts, facts: PublicFacts, baseline: Mapping[str, np.ndarray], explored_share: float
) -> Moments:
    """Return the moments that round 1 alone gives."""
    gram, gram_next, users = grams(layout, baseline)
    d, m = layout.phi.width, len(layout.targets)
    sd = {name: float(baseline[f"{name}_sd"][0]) / users for name in ("gram", "targets")}
    sampling = [
        (1.0 + c * counts.decisions) / (users * counts.decisions) for c in (CLUSTERING_LEVEL, CLUSTERING_CHANGE)
    ]
    known = baseline.get("known")
    offset = (
        np.zeros((d, m)) if known is None else np.tensordot(layout.logged, known[list(layout.alternatives)], axes=1)
    )
    entries = {"gram": d * (d + 1) / 2, "targets": d * m}
    counted = 1.0 if explored_share >= FULLY_EXPLORED else SERVED_WEIGHT
    return Moments(
        layout=layout,
        counts=counts,
        users=users,
        gram=gram,
        gram_next=gram_next,
        targets=baseline["targets"].reshape(d, m) / users,
        sd=sd,
        sampling=(sampling[0], sampling[1]),
        actions=layout.logged,
        offset=offset,
        sizes={n: (sd[n] ** 2 + facts.clips[n] ** 2 / (entries[n] * max(users, 1.0))) / counted for n in sd},
    )


def grams(layout: ReleaseLayout, baseline: Mapping[str, np.ndarray]) -> tuple[Floats, Floats, float]:
    """Return the gram of all rows, the gram of rows with a next state (both d, d), and the effective number of people.

    Both grams are divided by the number of people.
    """
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


def pool(rounds: Sequence[Moments]) -> Moments:
    """Pool the moments of several releases. Blocks that one lacks (effects, before round 2) are pooled over the others."""
    if len(rounds) == 1:
        return rounds[0]
    if len({r.layout.phi.width for r in rounds}) > 1:
        rounds = [r.linear() for r in rounds]
    gram, targets = _weights(rounds, "gram"), _weights(rounds, "targets")
    full = [r for r in rounds if r.effects.size]
    pooled_baseline = replace(
        rounds[-1],
        users=float(sum(r.users for r in rounds)),
        gram=_mean(gram, [r.gram for r in rounds]),
        gram_next=_mean(gram, [r.gram_next for r in rounds]),
        targets=_mean(targets, [r.targets for r in rounds]),
        actions=_mean(targets, [r.actions for r in rounds]),
        offset=_mean(targets, [r.offset for r in rounds]),
        sampling=tuple(float((targets**2) @ np.array([r.sampling[i] for r in rounds])) for i in (0, 1)),  # type: ignore[arg-type]
        sd={"gram": _sd(gram, rounds, "gram"), "targets": _sd(targets, rounds, "targets")},
        sizes={n: 1.0 / sum(1.0 / r.sizes[n] for r in rounds) for n in ("gram", "targets")},
        releases=sum(r.releases for r in rounds),
    )
    return _with_pooled_effects(pooled_baseline, full) if full else pooled_baseline


def _with_pooled_effects(pooled_baseline: Moments, rounds: Sequence[Moments]) -> Moments:
    weights, spread = _weights(rounds, "effects"), _weights(rounds, "variances")
    shares, by_action = pool_shares([r.shares for r in rounds if r.shares is not None], weights)
    layout = pooled_baseline.layout
    pooled = replace(pooled_baseline, shares=shares).with_effects(
        effects=pool_effects([r.effects for r in rounds], layout.covariance, by_action),
        sd_effects=_sd(weights, rounds, "effects"),
        rows=1.0 / float((weights**2) @ np.array([1.0 / max(r.rows, 1e-9) for r in rounds])),
        variances=_mean(spread, [r.variances for r in rounds]),
        stays=_mean(spread, [r.stays for r in rounds]),
        sd_variances=_sd(spread, rounds, "variances"),
        subs={
            head: _pooled_sub(layout.spec.head(head), [r.subs[head] for r in rounds if head in r.subs])
            for head in layout.subs
        },
    )
    sizes = {n: 1.0 / sum(1.0 / r.sizes[n] for r in rounds) for n in ("effects", "variances")}
    return replace(pooled, sizes=pooled.sizes | sizes)


def _without_evidence(head: Head, shares: ActionShares | None) -> tuple[int, ...]:
    if shares is None:
        return ()
    return tuple(k for k, supported in zip(alternatives_of(head), shares.supported, strict=True) if not supported)


def _pooled_sub(head: Head, parts: Sequence[SubMoments]) -> SubMoments:
    weights = np.array([1.0 / (s.sd**2 + s.variance / max(s.rows, 1e-9)) for s in parts])
    weights /= weights.sum()
    shares, by_action = pool_shares([s.shares for s in parts], weights)
    return SubMoments(
        effects=pool_effects([s.effects for s in parts], covariance_of(head), by_action),
        sd=float(np.sqrt((weights**2) @ np.array([s.sd**2 for s in parts]))),
        rows=1.0 / float((weights**2) @ np.array([1.0 / max(s.rows, 1e-9) for s in parts])),
        variance=float(weights @ np.array([s.variance for s in parts])),
        shares=shares,
    )


def _weights(rounds: Sequence[Moments], block: str) -> Floats:
    weights = np.array([1.0 / r.sizes[block] for r in rounds])
    return np.asarray(weights / weights.sum())


def _mean(weights: Floats, values: Sequence[Floats]) -> Floats:
    return np.asarray(np.tensordot(weights, np.stack(values), axes=1))


def _sd(weights: Floats, rounds: Sequence[Moments], block: str) -> float:
    return float(np.sqrt((weights**2) @ np.array([r.sd[block] ** 2 for r in rounds])))


def _typical(variances: Floats) -> float:
    return float(np.clip(variances, 0.05, 16.0).mean())
