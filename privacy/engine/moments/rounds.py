"""The three noised rounds of the ``moments`` release, each a pure function of summed rows and of earlier rounds' noised output.

Unit: user; neighbouring relation: add or remove one. Every person contributes averages over their own decision points,
L2-clipped per block to public constants, summed as integers over shards of whole people that any process may sum, and noised
once (privacy.engine.dp.mechanisms). Three rounds under one reservation, each reading only the noised output of those before it:

0. ``counts``: a person counts 1; logarithm of their number of decision points; a centre of their reward;
1. ``baseline``: gram of phi, and phi times the whitened targets (less what earlier releases know of the actions' effects);
2. ``effects``: for each action but the reference, phi times the action-centred residual, a block a head; variances; P(stay).

A round is a dict of arrays: noisy sums over people and the standard deviation of the noise on each. Rounds are stored by
the service as they are made; ``read_moments`` reads them back. Nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from privacy.engine.dp.mechanisms import Totals, integer_sum, noisy_total
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
    Counts,
    ReleaseLayout,
    alternatives_of,
    sub_block,
)
from privacy.engine.moments.rows import ReleaseRows

NoisyRound = dict[str, np.ndarray]


@dataclass(frozen=True)
class ReleasePlan:
    """What a release will ask, fixed by public facts and round 0."""

    layout: ReleaseLayout
    facts: PublicFacts
    counts: Counts
    explored_share: float
    sigma: float | None
    known: Floats | None  # (K, d, m) effects that earlier releases know, in this layout


def count_totals(spec: LoopSpec, rows: ReleaseRows) -> Totals:
    """What round 0 sums over a shard."""
    return Totals({"counts": integer_sum(count_contributions(spec, rows), clip=COUNTS_CLIP)})


def release_counts(
    spec: LoopSpec, totals: Totals, sigma: float | None, subs: tuple[str, ...] | None = None
) -> NoisyRound:
    """Round 0."""
    asked = spec.sub_heads if subs is None else subs
    share = BUDGET_SHARES["counts"] * (1.0 - SUB_SHARE if asked else 1.0)
    return _noised("counts", totals, COUNTS_CLIP, share, sigma)


def read_counts(spec: LoopSpec, counts: Mapping[str, np.ndarray], earlier: Moments | None = None) -> Counts:
    """Public constants where the loop declares them, else what round 0 released, shrunk by its noise.

    Priors: log decisions ~ N(log of 14 days, 1), centre ~ N(0, 3^2) reward scales; so a small cohort is not thrown about.
    The centre of an earlier release is kept, so that rounds can be pooled.
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
    """Posterior mean of a normal with known noise under a normal prior."""
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
    """Feature set and clips by the public rules; post-processing of round 0 and of earlier releases.

    ``known`` are the effects (K, d, m) in the layout of ``earlier``. Hinges that earlier rounds carry are carried on.
    """
    decisions = nominal_decisions(spec, counts.decisions)
    hinges = pick_hinges(spec, users=counts.users, decisions=decisions, sigma=sigma, explored_share=explored_share)
    layout = ReleaseLayout.of(spec, hinges=hinges or (earlier is not None and earlier.layout.phi.hinges), subs=subs)
    facts = public_facts(layout, decisions, explored_share)
    return ReleasePlan(layout, facts, counts, explored_share, sigma, _widened(known, layout))


def _widened(known: Floats | None, layout: ReleaseLayout) -> Floats | None:
    """Known effects in a layout that may have hinges beyond theirs: of those nothing is known yet."""
    if known is None:
        return None
    wide = np.zeros((known.shape[0], layout.phi.width, known.shape[2]))
    wide[:, : known.shape[1]] = known
    return wide


def baseline_totals(made: ReleasePlan, rows: ReleaseRows) -> Totals:
    """What round 1 sums over a shard."""
    gram, targets = baseline_contributions(made.layout, rows, made.counts.centre, made.known)
    return _totals(made, {"gram": gram, "targets": targets})


def release_baseline(made: ReleasePlan, totals: Totals) -> NoisyRound:
    """Round 1. ``known`` is kept beside what was asked, so that the round can be read without the earlier ones."""
    out = _release(made, totals)
    return out if made.known is None else out | {"known": made.known}


def effect_totals(made: ReleasePlan, theta: Floats, rows: ReleaseRows) -> Totals:
    """What round 2 sums over a shard: residuals against ``theta``, the baseline that rounds up to 1 imply (residual_baseline)."""
    return _totals(made, effect_contributions(made.layout, rows, made.counts.centre, theta))


def release_effects(made: ReleasePlan, totals: Totals) -> NoisyRound:
    """Round 2."""
    return _release(made, totals)


def residual_baseline(made: ReleasePlan, baseline: Mapping[str, np.ndarray], earlier: Moments | None) -> Floats:
    """(d, m) coefficients that round 2 takes its residuals against: what rounds up to this one say of the baseline."""
    fresh = baseline_moments(made.layout, made.counts, made.facts, baseline)
    if earlier is None or earlier.layout.phi.width != made.layout.phi.width:
        return baseline_posterior(fresh).mean
    return baseline_posterior(pool([earlier, fresh])).mean


def read_moments(
    made: ReleasePlan,
    baseline: Mapping[str, np.ndarray],
    effects: Mapping[str, np.ndarray],
    earlier: Moments | None = None,
) -> Moments:
    """Means a person from the noisy sums, with the number of people that the noised gram itself implies."""
    layout, facts = made.layout, made.facts
    first = baseline_moments(layout, made.counts, facts, baseline)
    d, m = layout.phi.width, len(layout.targets)
    spread = np.maximum(effects["variances"] / first.users, 0.0)
    asked = first.users * facts.weights["effects"]
    slope = continuation_slope(layout, residual_baseline(made, baseline, earlier))
    return first.with_effects(
        effects=effects["effects"].reshape(len(layout.alternatives), d, m) / asked / layout.target_weights,
        sd_effects=float(effects["effects_sd"][0]) / asked,
        rows=first.users * facts.rows["effects"],
        variances=spread[:m],
        stays=spread[m:],
        sd_variances=float(effects["variances_sd"][0]) / first.users,
        subs={h: _sub_moments(made, effects, h, first.users, slope, spread[:m]) for h in layout.subs},
    )


def _sub_moments(
    made: ReleasePlan, effects: Mapping[str, np.ndarray], head: str, users: float, slope: Floats, variances: Floats
) -> SubMoments:
    """A sub-head's block in reward scales (its target was asked in units of its own spread)."""
    block, spread = sub_block(head), continuation_spread(slope)
    asked = users * made.facts.weights[block]
    shape = (len(alternatives_of(made.layout.spec.head(head))), made.layout.linear().phi.width)
    return SubMoments(
        effects=effects[block].reshape(shape) / asked * spread,
        sd=float(effects[f"{block}_sd"][0]) / asked * spread,
        rows=users * made.facts.rows[block],
        variance=float(variances[0] + (slope**2) @ variances),
    )


def fit_in_memory(moments: Moments, facts: PublicFacts) -> Moments:
    """The moments with the features that they can carry: without hinges where the expected error of an effect is above .2."""
    layout = moments.layout
    if not layout.phi.hinges or layout.spec.moments.features is not None:
        return moments
    return moments if effect_error(layout, facts, moments.sizes["effects"]) <= HINGE_ERROR else moments.linear()


def _totals(made: ReleasePlan, blocks: Mapping[str, Floats]) -> Totals:
    return Totals({name: integer_sum(block, clip=made.facts.clips[name]) for name, block in blocks.items()})


def _release(made: ReleasePlan, totals: Totals) -> NoisyRound:
    out: NoisyRound = {}
    for name in totals.blocks:
        out |= _noised(name, totals, made.facts.clips[name], made.layout.shares[name], made.sigma)
    return out


def _noised(name: str, totals: Totals, clip: float, share: float, sigma: float | None) -> NoisyRound:
    block = noisy_total(totals.blocks[name], clip=clip, sigma=sigma, share=share)
    return {
        name: block.values,
        f"{name}_sd": np.array([block.sd]),
        f"{name}_rho": np.array([block.rho]),
    }
