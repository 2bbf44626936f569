"""The three noised rounds of the ``moments`` release, each a pure function of rows and of earlier rounds' noised output.

A round is a dict of arrays: noisy sums over people and the standard deviation of the noise on each. Rounds are stored by
the service as they are made; ``Moments`` reads them back. Nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loops.engine.spec import LoopSpec
from privacy.engine.baseline import baseline_posterior
from privacy.engine.clips import nominal_decisions, pick_hinges, public_clips
from privacy.engine.mechanisms import noisy_sum
from privacy.engine.moments import (
    CENTRE_RANGE,
    COUNT_CAP,
    COUNT_WEIGHT,
    COUNTS_CLIP,
    SHARES,
    Clips,
    Counts,
    Layout,
    baseline_contributions,
    count_contributions,
    effect_contributions,
    grams,
)
from privacy.engine.rows import Floats, Rows

Round = dict[str, np.ndarray]


@dataclass(frozen=True)
class Moments:
    """A finished release, as means a person with the noise's standard deviation on each mean.

    gram, gram_next (d, d): all rows, rows with a next state; targets (d, m); effects (K-1, d, m); variances (m,); stays (s,).
    """

    layout: Layout
    counts: Counts
    users: float
    gram: Floats
    gram_next: Floats
    targets: Floats
    effects: Floats
    variances: Floats
    stays: Floats
    sd: dict[str, float]
    clips: Clips


def release_counts(spec: LoopSpec, rows: Rows, sigma: float | None) -> Round:
    """Round 0."""
    return _noised("counts", count_contributions(spec, rows), COUNTS_CLIP, sigma)


def read_counts(spec: LoopSpec, counts: Mapping[str, np.ndarray]) -> Counts:
    """Public constants where the loop declares them, else what round 0 released, shrunk by its noise.

    Priors: log decisions ~ N(log of 14 days, 1), centre ~ N(0, 3^2) reward scales; so a small cohort is not thrown about.
    """
    total, logs, centre = (float(x) for x in counts["counts"])
    users = max(total / COUNT_WEIGHT, 1.0)
    noise = float(counts["counts_sd"][0]) / users
    span = float(np.log1p(COUNT_CAP))
    usual = float(np.log1p(14.0 * spec.decisions_per_day))
    log_decisions = _shrunk(logs / users * span, noise * span, usual, 1.0)
    return Counts(
        users=float(spec.moments.nominal_users or users),
        decisions=float(spec.moments.nominal_decisions or np.expm1(np.clip(log_decisions, np.log(2.0), span))),
        centre=_shrunk(centre / users * CENTRE_RANGE, noise * CENTRE_RANGE, 0.0, 3.0),
    )


def _shrunk(value: float, noise: float, prior: float, prior_sd: float) -> float:
    """Posterior mean of a normal with known noise under a normal prior."""
    weight = prior_sd**2 / (prior_sd**2 + noise**2)
    return prior + weight * (value - prior)


def plan(spec: LoopSpec, head: str, counts: Counts, sigma: float | None) -> tuple[Layout, Clips]:
    """Feature set and clips by the public rules; post-processing of round 0."""
    decisions = nominal_decisions(spec, counts.decisions)
    hinges = pick_hinges(spec, head, users=counts.users, decisions=decisions, sigma=sigma)
    layout = Layout.of(spec, head, hinges=hinges)
    return layout, public_clips(layout, decisions)


def release_baseline(layout: Layout, clips: Clips, rows: Rows, centre: float, sigma: float | None) -> Round:
    """Round 1."""
    gram, targets = baseline_contributions(layout, rows, centre)
    return _noised("gram", gram, clips.gram, sigma) | _noised("targets", targets, clips.targets, sigma)


def release_effects(
    layout: Layout, clips: Clips, rows: Rows, counts: Counts, baseline: Mapping[str, np.ndarray], sigma: float | None
) -> Round:
    """Round 2: residuals against the baseline that round 1's noised output implies."""
    theta = baseline_posterior(layout, clips, counts, baseline).mean
    effects, variances = effect_contributions(layout, rows, counts.centre, theta)
    return _noised("effects", effects, clips.effects, sigma) | _noised("variances", variances, clips.variances, sigma)


def read_moments(
    layout: Layout, clips: Clips, counts: Counts, baseline: Mapping[str, np.ndarray], effects: Mapping[str, np.ndarray]
) -> Moments:
    """Means a person from the noisy sums, with the number of people that the noised gram itself implies."""
    d, m = layout.phi.width, len(layout.targets)
    gram, gram_next, users = grams(layout, baseline)
    spread = np.maximum(effects["variances"] / users, 0.0)
    return Moments(
        layout=layout,
        counts=counts,
        users=users,
        gram=gram,
        gram_next=gram_next,
        targets=baseline["targets"].reshape(d, m) / users,
        effects=effects["effects"].reshape(len(layout.alternatives), d, m) / users / layout.target_weights,
        variances=spread[:m],
        stays=spread[m:],
        sd={
            name: float(source[f"{name}_sd"][0]) / users
            for name, source in (
                ("gram", baseline),
                ("targets", baseline),
                ("effects", effects),
                ("variances", effects),
            )
        },
        clips=clips,
    )


def release_moments(spec: LoopSpec, head: str, rows: Rows, sigma: float | None) -> Moments:
    """All three rounds in memory (benchmarks and tests; the service stores each round before the next)."""
    counts = read_counts(spec, release_counts(spec, rows, sigma))
    layout, clips = plan(spec, head, counts, sigma)
    baseline = release_baseline(layout, clips, rows, counts.centre, sigma)
    effects = release_effects(layout, clips, rows, counts, baseline, sigma)
    return read_moments(layout, clips, counts, baseline, effects)


def _noised(name: str, contributions: Floats, clip: float, sigma: float | None) -> Round:
    block = noisy_sum(contributions, clip=clip, sigma=sigma, share=SHARES[name])
    return {
        name: block.values,
        f"{name}_sd": np.array([block.sd]),
        f"{name}_rho": np.array([block.rho]),
    }
