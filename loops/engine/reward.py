"""Compute the blueprint's reward: bounded components and their weighted total.

total = .4 sentiment gain + .4 engagement delta + .2 compliance + w_e empathy + w_t timing (+ uptake, weight 0 by default).
An unobserved component is NaN and counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

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
SHOW_NOW = timedelta(minutes=15)  # after this, the state that an action for now was chosen in is out of date
LARGEST_SCALES = 20.0  # reward scales that a bare total may have; a release clips at 8 beyond the centre anyway
BOUNDS = dict.fromkeys(COMPONENTS, (0.0, 1.0)) | {"sentiment": (-2.0, 2.0), "engagement": (-1.0, 1.0)}


def largest_total(spec: LoopSpec) -> float:
    """Return the public bound of a total's size: what weights and component bounds allow, or 20 reward scales if that is more."""
    if spec.reward.limit is not None:
        return spec.reward.limit
    allowed = sum(
        abs(spec.reward.weights.get(c, DEFAULT_WEIGHTS[c])) * max(abs(end) for end in BOUNDS[c]) for c in COMPONENTS
    )
    return float(max(allowed, LARGEST_SCALES * spec.reward.scale))


def reward_total(spec: LoopSpec, components: Floats) -> Floats:
    """Compute the weighted total of the reward components. NaN counts as 0, and all NaN gives NaN.

    Args: components: (..., 6), in the order of ``COMPONENTS``.
    Returns: (...).
    """
    weights = np.array([spec.reward.weights.get(c, DEFAULT_WEIGHTS[c]) for c in COMPONENTS])
    total = np.nan_to_num(components) @ weights
    return np.asarray(np.where(np.isnan(components).all(axis=-1), np.nan, total))


def reward_components(
    spec: LoopSpec, inputs: Mapping[str, float], *, action: str, affect: Mapping[str, float], timing: str | None = None
) -> Floats:
    """Compute the bounded reward components of one decision from its observed outcomes.

    Args: inputs: any of ``INPUTS`` (sentiment in [-1, 1], engagement and rating in [0, 1], consent and privacy 0 or 1, delay
    in seconds). action: the main head's action. affect: numeric features scaled to [0, 1], for the appropriateness table.
    timing: the action that ``best_delay`` names; None where the main head's is.
    Returns: (6,), in the order of ``COMPONENTS``.
    """
    given = {k: float(inputs.get(k, np.nan)) for k in INPUTS}
    out = {
        "sentiment": given["sentiment_after"] - given["sentiment_before"],
        "engagement": given["engagement_after"] - given["engagement_before"],
        "compliance": 0.5 * given["consent"] + 0.5 * given["privacy"],
        "empathy": empathy_of(spec, given["rating"], action, affect),
        "timing": timing_of(spec, given["delay"], action if timing is None else timing),
        "uptake": np.nan,
    }
    return components_bounded(np.array([out[c] for c in COMPONENTS]))


def components_bounded(components: Floats) -> Floats:
    """Clip components (..., 6) to their bounds: sentiment gain [-2, 2], engagement delta [-1, 1], the others [0, 1]."""
    low, high = np.array([BOUNDS[c] for c in COMPONENTS]).T
    return np.asarray(np.clip(components, low, high))


def empathy_of(spec: LoopSpec, rating: float, action: str, affect: Mapping[str, float]) -> float:
    """Return the person's rating, or else how appropriate the action was to their affect. NaN when neither is known."""
    if np.isfinite(rating):
        return rating
    named = spec.reward.appropriateness.get(action)
    if named is None:
        return float("nan")
    value = affect.get(named.removeprefix("-"), float("nan"))
    return 1.0 - value if named.startswith("-") else value


def timing_of(spec: LoopSpec, delay: float, action: str) -> float:
    """Compute exp(-|t - t*| / tau) from the delay t in seconds.

    The loop declares tau, and t* for each action (0 where it declares none).
    """
    best = spec.reward.best_delay_seconds.get(action, 0)
    return float(np.exp(-abs(delay - best) / max(spec.reward.delay_tolerance_seconds, 1)))


def time_to_show(spec: LoopSpec, actions: Mapping[str, str]) -> timedelta:
    """Return how long a decision may be shown: 15 minutes, and twice the ``best_delay`` of its action.

    An action for this evening is thus still good when its evening comes, and as long again after the best moment as before it.

    Args: actions: the chosen action by head.
    """
    when = actions.get(spec.timing_head.name, "")
    return SHOW_NOW + timedelta(seconds=2 * spec.reward.best_delay_seconds.get(when, 0))
