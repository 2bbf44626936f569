"""Compute a decision's outcome from its reward events. Both are payloads (7,): total, then six components; NaN: not given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.arrays import Floats
from loops.engine.reward import BOUNDS, COMPONENTS, components_bounded, largest_total, reward_components, reward_total
from loops.engine.spec import LoopSpec, RewardAggregate


def payload_of_total(total: float) -> Floats:
    """Return the payload (7,) of a reward event that gives the total alone."""
    return np.concatenate([[total], np.full(len(COMPONENTS), np.nan)])


def components_beyond(given: Mapping[str, float]) -> tuple[str, ...]:
    """Return the names of the given components that lie outside their bounds."""
    return tuple(c for c in COMPONENTS if c in given and not BOUNDS[c][0] <= given[c] <= BOUNDS[c][1])


def payload_of_components(spec: LoopSpec, given: Mapping[str, float]) -> Floats:
    """Return the payload (7,) of a reward event that gives components, each clipped to its bounds.

    The total is their weighted sum.
    """
    components = components_bounded(np.array([float(given.get(c, np.nan)) for c in COMPONENTS]))
    return np.concatenate([[float(reward_total(spec, components))], components])


def payload_of_inputs(
    spec: LoopSpec, inputs: Mapping[str, float], *, state: Floats, action: int | None, timing: int | None = None
) -> Floats:
    """Return the payload (7,) of a reward event that gives observed inputs.

    Without an empathy rating, empathy is computed from how well the action suits the state (F,).

    Args:
        action: index of the main head's action. None if it did not choose.
        timing: index of the timing head's action. None if it did not choose, or if the main head is the timing head.
    """
    name = "" if action is None else spec.main_head.actions[action]
    when = None if timing is None else spec.timing_head.actions[timing]
    components = reward_components(spec, inputs, action=name, affect=affect_of(spec, state), timing=when)
    return np.concatenate([[float(reward_total(spec, components))], components])


def affect_of(spec: LoopSpec, state: Floats) -> dict[str, float]:
    """Return numeric features by name, scaled from their bounds to [0, 1]."""
    scaled = {}
    for feature, value in zip(spec.features, state, strict=True):
        if not feature.is_category:
            low, high = feature.range
            scaled[feature.name] = float(np.clip((value - low) / (high - low), 0.0, 1.0))
    return scaled


def aggregate(spec: LoopSpec, payloads: Sequence[Floats], *, available: bool = True) -> Floats:
    """Aggregate timely reward events, in order of arrival, into one outcome (7,), column by column, by the loop's rule.

    Where every event that has a total also has components, the total is the components' weighted sum. Where no event has a
    total, an ``available`` decision gets the loop's default. Events and the outcome stay within the bounds of
    a single event.
    """
    rule = spec.reward.aggregate
    if not payloads:
        out = np.full(1 + len(COMPONENTS), np.nan)
    else:
        events = outcomes_bounded(spec, np.stack(payloads))
        out = np.array([_column(events[:, j], rule) for j in range(events.shape[1])])
        with_total = events[np.isfinite(events[:, 0])]
        if len(with_total) and np.isfinite(with_total[:, 1:]).any(axis=1).all():
            out[0] = float(reward_total(spec, components_bounded(out[1:])))
        out = outcomes_bounded(spec, out)
    if available and np.isnan(out[0]) and spec.reward.default is not None:
        out[0] = spec.reward.default
    return out


def outcomes_bounded(spec: LoopSpec, payloads: Floats) -> Floats:
    """Clip payloads (..., 7) to the bounds of a total and of components. NaN stays NaN."""
    largest = largest_total(spec)
    return np.concatenate(
        [np.clip(payloads[..., :1], -largest, largest), components_bounded(payloads[..., 1:])], axis=-1
    )


def _column(values: Floats, rule: RewardAggregate) -> float:
    given = values[np.isfinite(values)]
    if not given.size:
        return float("nan")
    return float({"earliest": given[0], "latest": given[-1], "sum": given.sum(), "mean": given.mean()}[rule])


def harms(spec: LoopSpec, label: str) -> bool:
    """Return whether a label is one of the loop's harmful ones, ignoring case and surrounding blanks, as an import does."""
    return label.strip().lower() in {word.strip().lower() for word in spec.reward.harmful_labels}


def harmful_of(labels: Sequence[bool | None]) -> bool | None:
    """Return whether an outcome is harmful: True with any harmful label, False with other labels only, None without labels."""
    given = [label for label in labels if label is not None]
    return any(given) if given else None
