"""Makes moments releases in memory, for tests and benchmarks; the service stores each round before the next."""

from __future__ import annotations

from loops.engine.spec import LoopSpec
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.rounds import (
    NoisyRound,
    ReleasePlan,
    baseline_totals,
    count_totals,
    effect_totals,
    plan_release,
    read_counts,
    read_moments,
    release_baseline,
    release_counts,
    release_effects,
    residual_baseline,
)
from privacy.engine.moments.rows import ReleaseRows


def release_moments(
    spec: LoopSpec, rows: ReleaseRows, sigma: float | None, *, subs: tuple[str, ...] | None = None
) -> Moments:
    """Compute a first release with all three rounds in memory."""
    counts = read_counts(spec, release_counts(spec, count_totals(spec, rows), sigma, subs))
    plan = plan_release(spec, counts, sigma, subs=subs)
    baseline, effects = later_rounds(plan, rows)
    return read_moments(plan, baseline, effects)


def later_rounds(plan: ReleasePlan, rows: ReleaseRows, earlier: Moments | None = None) -> tuple[NoisyRound, NoisyRound]:
    """Compute rounds 1 and 2 over a single shard that holds everybody."""
    baseline = release_baseline(plan, baseline_totals(plan, rows))
    theta = residual_baseline(plan, baseline, earlier)
    return baseline, release_effects(plan, effect_totals(plan, theta, rows))
