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
    """A first release, all three rounds in memory."""
    counts = read_counts(spec, release_counts(spec, count_totals(spec, rows), sigma, subs))
    made = plan_release(spec, counts, sigma, subs=subs)
    baseline, effects = later_rounds(made, rows)
    return read_moments(made, baseline, effects)


def later_rounds(made: ReleasePlan, rows: ReleaseRows, earlier: Moments | None = None) -> tuple[NoisyRound, NoisyRound]:
    """Rounds 1 and 2 over one shard that is everybody."""
    baseline = release_baseline(made, baseline_totals(made, rows))
    theta = residual_baseline(made, baseline, earlier)
    return baseline, release_effects(made, effect_totals(made, theta, rows))
