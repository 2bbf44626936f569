"""The reward of the blueprint: bounded components and their weighted total.

total = .4 sentiment gain + .4 engagement delta + .2 compliance + w_e empathy + w_t timing (+ uptake, weight 0 by default).
A component that was not observed is NaN and counts 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec

COMPONENTS = ("sentiment", "engagement", "compliance", "empathy", "timing", "uptake")
INPUTS = (
    "sentiment_before", "sentiment_after", "engagement_before", "engagement_after", "consent", "privacy", "rating", "delay",
)  # fmt: skip
DEFAULT_WEIGHTS = {
    "sentiment": 0.4, "engagement": 0.4, "compliance": 0.2, "empathy": 0.1, "timing": 0.1, "uptake": 0.0,
}  # fmt: skip
BOUNDS = dict.fromkeys(COMPONENTS, (0.0, 1.0)) | {"sentiment": (-2.0, 2.0), "engagement": (-1.0, 1.0)}


def reward_total(spec: LoopSpec, components: Floats) -> Floats:
    """Weighted total of components (..., 6) in the order of ``COMPONENTS``; NaN counts 0, all NaN gives NaN."""
    weights = np.array([spec.reward.weights.get(c, DEFAULT_WEIGHTS[c]) for c in COMPONENTS])
    total = np.nan_to_num(components) @ weights
    return np.asarray(np.where(np.isnan(components).all(axis=-1), np.nan, total))


def reward_components(
    spec: LoopSpec, inputs: Mapping[str, float], *, action: str, affect: Mapping[str, float]
) -> Floats:
    """(6,) bounded components of one decision from what was observed.

    inputs: any of ``INPUTS`` (sentiment in [-1, 1], engagement, rating in [0, 1], consent and privacy 0 or 1, delay in
    seconds). action: what the main head did. affect: numeric features scaled to [0, 1], for the appropriateness table.
    """
    given = {k: float(inputs.get(k, np.nan)) for k in INPUTS}
    out = {
        "sentiment": given["sentiment_after"] - given["sentiment_before"],
        "engagement": given["engagement_after"] - given["engagement_before"],
        "compliance": 0.5 * given["consent"] + 0.5 * given["privacy"],
        "empathy": empathy_of(spec, given["rating"], action, affect),
        "timing": timing_of(spec, given["delay"], action),
        "uptake": np.nan,
    }
    return components_bounded(np.array([out[c] for c in COMPONENTS]))


def components_bounded(components: Floats) -> Floats:
    """Components (..., 6) within their bounds: sentiment gain [-2, 2], engagement delta [-1, 1], the others [0, 1]."""
    low, high = np.array([BOUNDS[c] for c in COMPONENTS]).T
    return np.asarray(np.clip(components, low, high))


def empathy_of(spec: LoopSpec, rating: float, action: str, affect: Mapping[str, float]) -> float:
    """The person's rating where there is one, else how appropriate the action is to the affect; NaN where neither is known."""
    if np.isfinite(rating):
        return rating
    named = spec.reward.appropriateness.get(action)
    if named is None:
        return float("nan")
    value = affect.get(named.removeprefix("-"), float("nan"))
    return 1.0 - value if named.startswith("-") else value


def timing_of(spec: LoopSpec, delay: float, action: str) -> float:
    """exp(-|t - t*| / tau), t* of the action (0 where the loop declares none) and tau from the loop."""
    best = spec.reward.best_delay_seconds.get(action, 0)
    return float(np.exp(-abs(delay - best) / max(spec.reward.delay_tolerance_seconds, 1)))
