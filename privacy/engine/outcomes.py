"""From the words that came back about a decision to its one outcome: total first, then the six components, NaN where silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.arrays import Floats
from loops.engine.reward import BOUNDS, COMPONENTS, DEFAULT_WEIGHTS, components_bounded, reward_components, reward_total
from loops.engine.spec import LoopSpec, RewardAggregate

LARGEST_SCALES = 20.0  # a bare total may be so many reward scales; a release clips at 8 beyond the centre anyway


def largest_total(spec: LoopSpec) -> float:
    """The public bound of a total: what the weights and the components' bounds allow, or 20 reward scales if that is more."""
    allowed = sum(
        abs(spec.reward.weights.get(c, DEFAULT_WEIGHTS[c])) * max(abs(end) for end in BOUNDS[c]) for c in COMPONENTS
    )
    return float(max(allowed, LARGEST_SCALES * spec.reward.scale))


def payload_of_total(total: float) -> Floats:
    """(7,) an event that gives the total alone."""
    return np.concatenate([[total], np.full(len(COMPONENTS), np.nan)])


def payload_of_components(spec: LoopSpec, given: Mapping[str, float]) -> Floats:
    """(7,) an event that gives components: each within its bounds, the total their weighted sum."""
    components = components_bounded(np.array([float(given.get(c, np.nan)) for c in COMPONENTS]))
    return np.concatenate([[float(reward_total(spec, components))], components])


def payload_of_inputs(spec: LoopSpec, inputs: Mapping[str, float], *, state: Floats, action: int | None) -> Floats:
    """(7,) an event that gives what was observed; without a rating, empathy is how the action suited the state (F,)."""
    name = "" if action is None else spec.main_head.actions[action]
    components = reward_components(spec, inputs, action=name, affect=affect_of(spec, state))
    return np.concatenate([[float(reward_total(spec, components))], components])


def affect_of(spec: LoopSpec, state: Floats) -> dict[str, float]:
    """Numeric features scaled to [0, 1]."""
    scaled = {}
    for feature, value in zip(spec.features, state, strict=True):
        if not feature.is_category:
            low, high = feature.range
            scaled[feature.name] = float(np.clip((value - low) / (high - low), 0.0, 1.0))
    return scaled


def aggregate(spec: LoopSpec, payloads: Sequence[Floats], *, available: bool = True) -> Floats:
    """(7,) one outcome from the events that were in time, in the order of their arrival, by the loop's rule, column by column.

    Where every event gave components, the total is their weighted sum; where nothing gave a total it is the loop's default, but
    only of an ``available`` decision. However many events came, the outcome stays within the bounds of a single one.
    """
    rule = spec.reward.aggregate
    if not payloads:
        out = np.full(1 + len(COMPONENTS), np.nan)
    else:
        events = np.stack(payloads)
        out = np.array([_column(events[:, j], rule) for j in range(events.shape[1])])
        with_total = events[np.isfinite(events[:, 0])]
        if len(with_total) and np.isfinite(with_total[:, 1:]).any(axis=1).all():
            out[0] = float(reward_total(spec, components_bounded(out[1:])))
        out = _bounded(spec, out)
    if available and np.isnan(out[0]) and spec.reward.default is not None:
        out[0] = spec.reward.default
    return out


def _bounded(spec: LoopSpec, payload: Floats) -> Floats:
    largest = largest_total(spec)
    return np.concatenate([np.clip(payload[:1], -largest, largest), components_bounded(payload[1:])])


def _column(values: Floats, rule: RewardAggregate) -> float:
    heard = values[np.isfinite(values)]
    if not heard.size:
        return float("nan")
    return float({"earliest": heard[0], "latest": heard[-1], "sum": heard.sum(), "mean": heard.mean()}[rule])


def harms(spec: LoopSpec, label: str) -> bool:
    """Whether a label is one of the loop's harmful ones; case and blanks around it do not matter, as in an import."""
    return label.strip().lower() in {word.strip().lower() for word in spec.reward.harmful_labels}


def harmful_of(labels: Sequence[bool | None]) -> bool | None:
    """Whether an outcome is harmful: any harmful label; False where there were only others; None without one."""
    heard = [label for label in labels if label is not None]
    return any(heard) if heard else None
