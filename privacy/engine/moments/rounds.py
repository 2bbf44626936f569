"""Compute the three noised rounds of a ``moments`` release from summed rows and from the noised output of earlier rounds.

Unit: user; neighbouring relation: add or remove one. Every person contributes averages over their own decision points,
L2-clipped per block to public constants. Contributions are summed as integers over shards of whole people, in any process, and
noised once (privacy.engine.dp.mechanisms). One reservation covers three rounds. Each reads only the noised output of those
before it:

0. ``counts``: 1 for each person; the logarithm of their number of decision points; their mean reward;
1. ``baseline``: gram of phi, and phi times the whitened targets, minus the action effects known from earlier releases;
2. ``effects``: phi times the action-centred residual for each action except the reference, one block per head; residual
   variances; P(stay) of drifting categories; how often each action was taken.

A round is a dict of arrays: noisy sums over people, and the standard deviation of the noise on each. The service stores each
round before the next one. ``read_moments`` reads them back. These functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from privacy.engine.dp.mechanisms import Totals, integer_sum, noisy_total
from privacy.engine.moments.action_shares import ActionShares
from privacy.engine.moments.baseline import baseline_posterior
from privacy.engine.moments.budget_shares import BUDGET_SHARES, SUB_SHARE
from privacy.engine.moments.clipping import (
    HINGE_ERROR,
    PublicFacts,
    effect_error,
    nominal_decisions,
    pick_hinges,
    public_facts,
)
from privacy.engine.moments.continuation_value import continuation_slope, continuation_spread
from privacy.engine.moments.contributions import (
    CENTRE_RANGE,
    COUNT_CAP,
    COUNT_WEIGHT,
    baseline_contributions,
    count_contributions,
    effect_contributions,
)
from privacy.engine.moments.pooled import Moments, SubMoments, baseline_moments, pool
from privacy.engine.moments.release_layout import (
    COUNTS_CLIP,
    SHARES_BLOCK,
    SUB_SHARES_BLOCK,
    Counts,
    ReleaseLayout,
    alternatives_of,
    logged_of,
    sub_block,
)
from privacy.engine.moments.rows import ReleaseRows

NoisyRound = dict[str, np.ndarray]


@dataclass(frozen=True)
class ReleasePlan:
    """The plan of rounds 1 and 2, fixed by public facts and round 0.

    ``explored_share``: public share of decisions that were explored. ``sigma``: noise multiplier, None for no noise.
    """

    layout: ReleaseLayout
    facts: PublicFacts
    counts: Counts
    explored_share: float
    sigma: float | None
    known: Floats | None  # (K, d, m) effects from earlier releases, in this layout


def count_totals(spec: LoopSpec, rows: ReleaseRows) -> Totals:
    """Sum one shard for round 0."""
    return Totals({"counts": integer_sum(count_contributions(spec, rows), clip=COUNTS_CLIP)})


def release_counts(
    spec: LoopSpec, totals: Totals, sigma: float | None, subs: tuple[str, ...] | None = None
) -> NoisyRound:
    """Add noise to the totals of round 0. ``subs``: the sub-heads of the release, all of the loop's if None."""
    heads = spec.sub_heads if subs is None else subs
    share = BUDGET_SHARES["counts"] * (1.0 - SUB_SHARE if heads else 1.0)
    return _noised("counts", totals, COUNTS_CLIP, share, sigma)


def read_counts(spec: LoopSpec, counts: Mapping[str, np.ndarray], earlier: Moments | None = None) -> Counts:
    """Return the counts: public constants where the loop declares them, else round 0's values, shrunk by their noise.

    Priors: log decisions ~ N(log of 14 days, 1), centre ~ N(0, 3^2) reward scales. They stabilise small cohorts. The centre of
    an earlier release is reused, so that releases can be pooled.
    """
    total, logs, centre = (float(x) for x in counts["counts"])
    users = max(total / COUNT_WEIGHT, 1.0)
    noise = float(counts["counts_sd"][0]) / users
    span = float(np.log1p(COUNT_CAP))
    usual = float(np.log1p(14.0 * spec.decisions_per_day))
    log_decisions = _shrunk(logs / users * span, noise * span, usual, 1.0)
    fresh = _shrunk(centre / users * CENTRE_RANGE, noise * CENTRE_RANGE, 0.0, 3.0)
    return Counts(
        users=float(spec.moments.nominal_users or users),
        decisions=float(spec.moments.nominal_decisions or np.expm1(np.clip(log_decisions, np.log(2.0), span))),
        centre=fresh if earlier is None else earlier.counts.centre,
    )


def _shrunk(value: float, noise: float, prior: float, prior_sd: float) -> float:
    """Return the posterior mean of a normal value with known noise under a normal prior."""
    weight = prior_sd**2 / (prior_sd**2 + noise**2)
    return prior + weight * (value - prior)


def plan_release(
    spec: LoopSpec,
    counts: Counts,
    sigma: float | None,
    *,
    explored_share: float = 1.0,
    subs: tuple[str, ...] | None = None,
    earlier: Moments | None = None,
    known: Floats | None = None,
) -> ReleasePlan:
    """Choose feature set and clips by the public rules. Post-processing of round 0 and of earlier releases.

    ``known`` are effects (K, d, m) in the layout of ``earlier``. Hinge features of earlier releases are included again.
    """
    decisions = nominal_decisions(spec, counts.decisions)
    hinges = pick_hinges(spec, users=counts.users, decisions=decisions, sigma=sigma, explored_share=explored_share)
    layout = ReleaseLayout.of(spec, hinges=hinges or (earlier is not None and earlier.layout.phi.hinges), subs=subs)
    facts = public_facts(layout, decisions, explored_share)
    return ReleasePlan(layout, facts, counts, explored_share, sigma, _widened(known, layout))


def _widened(known: Floats | None, layout: ReleaseLayout) -> Floats | None:
    """Return known effects (K, d, m) in a layout that may have additional hinge features, whose effects are 0."""
    if known is None:
        return None
    wide = np.zeros((known.shape[0], layout.phi.width, known.shape[2]))
    wide[:, : known.shape[1]] = known
    return wide


def baseline_totals(plan: ReleasePlan, rows: ReleaseRows) -> Totals:
    """Sum one shard for round 1."""
    gram, targets = baseline_contributions(plan.layout, rows, plan.counts.centre, plan.known)
    return _totals(plan, {"gram": gram, "targets": targets})


def release_baseline(plan: ReleasePlan, totals: Totals) -> NoisyRound:
    """Add noise to the totals of round 1. ``known`` is stored with them, so that reading needs no earlier release."""
    out = _release(plan, totals)
    return out if plan.known is None else out | {"known": plan.known}


def effect_totals(plan: ReleasePlan, theta: Floats, rows: ReleaseRows) -> Totals:
    """Sum one shard for round 2, with residuals against the baseline ``theta`` (d, m) from ``residual_baseline``."""
    return _totals(plan, effect_contributions(plan.layout, rows, plan.counts.centre, theta))


def release_effects(plan: ReleasePlan, totals: Totals) -> NoisyRound:
    """Add noise to the totals of round 2."""
    return _release(plan, totals)


def residual_baseline(plan: ReleasePlan, baseline: Mapping[str, np.ndarray], earlier: Moments | None) -> Floats:
    """Return the baseline coefficients (d, m) for round 2's residuals, from round 1 and the earlier releases pooled."""
    fresh = baseline_moments(plan.layout, plan.counts, plan.facts, baseline, plan.explored_share)
    if earlier is None or earlier.layout.phi.width != plan.layout.phi.width:
        return baseline_posterior(fresh).mean
    return baseline_posterior(pool([earlier, fresh])).mean


def read_moments(
    plan: ReleasePlan,
    baseline: Mapping[str, np.ndarray],
    effects: Mapping[str, np.ndarray],
    earlier: Moments | None = None,
) -> Moments:
    """Turn noisy sums into means per person. The number of people comes from the noised gram itself."""
    layout, facts = plan.layout, plan.facts
    first = baseline_moments(layout, plan.counts, facts, baseline, plan.explored_share)
    d, m = layout.phi.width, len(layout.targets)
    spread = np.maximum(effects["variances"] / first.users, 0.0)
    weight = first.users * facts.weights["effects"]
    shares = _action_shares(plan, effects, first.users)
    slope = continuation_slope(layout, residual_baseline(plan, baseline, earlier))
    return first.with_actions(shares[layout.main.name], plan.explored_share, plan.known).with_effects(
        effects=effects["effects"].reshape(len(layout.alternatives), d, m) / weight / layout.target_weights,
        sd_effects=float(effects["effects_sd"][0]) / weight,
        rows=first.users * facts.rows["effects"],
        variances=spread[:m],
        stays=spread[m:],
        sd_variances=float(effects["variances_sd"][0]) / first.users,
        subs={h: _sub_moments(plan, effects, h, shares[h], first.users, slope, spread[:m]) for h in layout.subs},
    )


def _action_shares(plan: ReleasePlan, effects: Mapping[str, np.ndarray], users: float) -> dict[str, ActionShares]:
    """Return the released action shares of every head. They were measured in units of the root of the declared ones."""
    heads, weights, spec = plan.layout.subs, plan.facts.weights, plan.layout.spec
    blocks = [(plan.layout.main, effects[SHARES_BLOCK], effects[f"{SHARES_BLOCK}_sd"], weights["effects"])]
    if heads:
        ends = np.cumsum([len(alternatives_of(spec.head(h))) for h in heads])[:-1]
        parts, sd = np.split(effects[SUB_SHARES_BLOCK], ends), effects[f"{SUB_SHARES_BLOCK}_sd"]
        blocks += [(spec.head(h), part, sd, weights[sub_block(h)]) for h, part in zip(heads, parts, strict=True)]
    out = {}
    for head, taken, sd, weight in blocks:
        declared = logged_of(head)
        unit = np.sqrt(declared) / (users * weight)
        out[head.name] = ActionShares.of(declared, taken * unit, float(sd[0]) * unit)
    return out


def _sub_moments(
    plan: ReleasePlan, effects: Mapping[str, np.ndarray], head: str, shares: ActionShares, users: float, slope: Floats,
    variances: Floats,
) -> SubMoments:  # fmt: skip
    """Return a sub-head's block in reward scales. It was measured in units of the target's own standard deviation."""
    block, spread = sub_block(head), continuation_spread(slope)
    weight = users * plan.facts.weights[block]
    shape = (len(alternatives_of(plan.layout.spec.head(head))), plan.layout.linear().phi.width)
    return SubMoments(
        effects=effects[block].reshape(shape) / weight * spread,
        sd=float(effects[f"{block}_sd"][0]) / weight * spread,
        rows=users * plan.facts.rows[block],
        variance=float(variances[0] + (slope**2) @ variances),
        shares=shares,
    )


def fit_in_memory(moments: Moments, facts: PublicFacts) -> Moments:
    """Drop the hinge features where the expected error of an effect is above .2, unless the loop declares its features."""
    layout = moments.layout
    if not layout.phi.hinges or layout.spec.moments.features is not None:
        return moments
    return moments if effect_error(layout, facts, moments.sizes["effects"]) <= HINGE_ERROR else moments.linear()


def _totals(plan: ReleasePlan, blocks: Mapping[str, Floats]) -> Totals:
    return Totals({name: integer_sum(block, clip=plan.facts.clips[name]) for name, block in blocks.items()})


def _release(plan: ReleasePlan, totals: Totals) -> NoisyRound:
    out: NoisyRound = {}
    for name in totals.blocks:
        out |= _noised(name, totals, plan.facts.clips[name], plan.layout.shares[name], plan.sigma)
    return out


def _noised(name: str, totals: Totals, clip: float, share: float, sigma: float | None) -> NoisyRound:
    block = noisy_total(totals.blocks[name], clip=clip, sigma=sigma, share=share)
    return {
        name: block.values,
        f"{name}_sd": np.array([block.sd]),
        f"{name}_rho": np.array([block.rho]),
    }
