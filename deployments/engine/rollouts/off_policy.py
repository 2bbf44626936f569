"""Estimate what a policy would have earned, from decisions whose actions were drawn at random while another policy served.

Each drawn decision counts with the weight w = 1[the policy would choose the drawn action] / propensity. The value is the mean
reward under these weights. The gain is the paired difference to the rival on the same decisions. People are the unit of both.
The estimate is of the *immediate* reward in states that people met under the rival. It cannot see what people would have lived
under the policy itself, because nobody had its actions.

Source: Hajek (1971) for the weighted mean; Kish (1965) for the effective number of people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.arrays import Floats, Ints
from core.json_safe import json_safe
from deployments.engine.health.metrics import LEAST_SHOWN
from training.engine.intervals.clustered import MIN_DOF, Interval, clustered_interval

_LEVEL = 0.95


@dataclass(frozen=True)
class DrawnDecisions:
    """Hold n closed decisions whose actions were drawn at random, each with a reward.

    person (n,): any numbers. action (n,): what was drawn. target, rival (n,): what the policy and its rival would have chosen.
    propensity (n,): of the drawn action. reward (n,): in the loop's units.
    """

    person: Ints
    action: Ints
    target: Ints
    rival: Ints
    propensity: Floats
    reward: Floats


@dataclass(frozen=True)
class OffPolicyValue:
    """Hold an off-policy estimate in units of rewards, or the reason why it is not known.

    ``people``: with a drawn decision. ``effective``: the Kish number of people whose weights carry the value. ``value``: of the
    policy. ``gain``: over its rival. Each has a 95% interval. All numbers but ``people`` are None if the value is not known.
    """

    people: int
    unknown: str = ""
    effective: float | None = None
    value: float | None = None
    value_low: float | None = None
    value_high: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None

    @property
    def sentence(self) -> str:
        """State the estimate, or why there is none."""
        if self.unknown:
            return f"Its value is not known: {self.unknown}."
        return (
            f"By drawn decisions of {self.people:,} people ({self.effective:.0f} effective), it would have earned "
            f"{self.value:.3f} a decision ({self.value_low:.3f} to {self.value_high:.3f}), which is {self.gain:+.3f} against the "
            f"stable version ({self.gain_low:+.3f} to {self.gain_high:+.3f})."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return dict(json_safe(asdict(self)))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> OffPolicyValue:
        """Read what ``as_json`` returned."""
        return cls(**stored)


def off_policy_value(drawn: DrawnDecisions) -> OffPolicyValue:
    """Estimate the value of a policy and its gain over the rival. Too few people or too little overlap: not known."""
    _, person = np.unique(drawn.person, return_inverse=True)
    people = int(person.max()) + 1 if len(person) else 0
    if people < LEAST_SHOWN:
        return OffPolicyValue(people, f"fewer than {LEAST_SHOWN} people have a drawn decision with a reward")
    weight, against = (
        np.where(chosen == drawn.action, 1.0 / drawn.propensity, 0.0) for chosen in (drawn.target, drawn.rival)
    )

    def sums(column: Floats) -> Floats:
        return np.asarray(np.bincount(person, weights=column, minlength=people), dtype=np.float64)

    weights = sums(weight)
    effective = float(weights.sum() ** 2 / np.square(weights).sum()) if weights.any() else 0.0
    if effective < LEAST_SHOWN:
        return OffPolicyValue(people, "too few drawn actions are those that the candidate would choose")
    value = clustered_interval(sums(weight * drawn.reward), weights, sums(weight**2), level=_LEVEL)
    apart, centred = weight - against, drawn.reward - drawn.reward.mean()
    gain = clustered_interval(sums(apart * centred), sums(np.ones(len(person))), sums(apart**2), level=_LEVEL)
    if not (_is_usable(value) and (_is_usable(gain) or not apart.any())):
        return OffPolicyValue(people, "too few people carry the estimate")
    bounds = (gain.estimate, gain.low, gain.high) if apart.any() else (0.0, 0.0, 0.0)
    return OffPolicyValue(people, "", effective, value.estimate, value.low, value.high, *bounds)


def _is_usable(interval: Interval) -> bool:
    return interval.dof >= MIN_DOF and bool(np.isfinite([interval.estimate, interval.low, interval.high]).all())
