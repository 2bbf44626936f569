"""Measure how often a version would have chosen as the app did, and what would have been gained where it would not.

People are the unit. Where both choose alike, nothing would have changed. Where they differ, the reward of the version's action
was not seen, so the gain over all decisions is known within the bounds of a reward alone. Where the app seems to vary by itself
(``own_variation``), an estimate stands beside these limits. It holds if the app chose by chance there, which no log can show.
All of it is about *immediate* rewards in the states that people met under the app's choices.

Source: Manski (1990), "Nonparametric bounds on treatment effects", for what was never tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.arrays import Bools, Floats, Ints
from core.json_safe import json_safe
from deployments.engine.health.metrics import LEAST_SHOWN
from deployments.engine.rollouts.own_variation import varying_parts
from training.engine.intervals.clustered import MIN_DOF, Interval, clustered_interval, ratio_interval

_LEVEL = 0.95


@dataclass(frozen=True)
class OwnDecisions:
    """Hold n decisions in which the app chose itself.

    person (n,): any numbers. action (n,): the app's choice. target (n,): what the version would have chosen. state (n, F).
    reward (n,): in the loop's units, NaN if there is none yet.
    """

    person: Ints
    action: Ints
    target: Ints
    state: Floats
    reward: Floats

    def where(self, rows: Bools) -> OwnDecisions:
        """Return some of the decisions."""
        return OwnDecisions(
            self.person[rows], self.action[rows], self.target[rows], self.state[rows], self.reward[rows]
        )


@dataclass(frozen=True)
class Estimate:
    """Hold a mean or a share with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ImitationShare:
    """Hold how many of the app's choices the version would have made.

    ``people``: who had one, or 0 for fewer than ten. ``rate`` is None for too few people.
    """

    people: int
    rate: Estimate | None


@dataclass(frozen=True)
class Imitation:
    """Hold the share of the app's choices that the version would have made: of all, and of each action by its name."""

    overall: ImitationShare
    by_action: Mapping[str, ImitationShare]

    def as_json(self) -> dict[str, Any]:
        """Return the shares as JSON values."""
        return dict(json_safe(asdict(self)))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Imitation:
        """Read what ``as_json`` returned."""
        return cls(_share(stored["overall"]), {name: _share(share) for name, share in stored["by_action"].items()})


NOBODY_SEEN = Imitation(ImitationShare(0, None), {})


@dataclass(frozen=True)
class ImitationGain:
    """Hold what would have been gained a decision, in units of rewards, or the reason why nothing is known of it.

    ``people``: with a rewarded decision of the app, or 0 for fewer than ten. ``own``: the app's mean reward. ``agreed``: share of
    decisions in which both choose alike, and ``agreed_reward`` their mean reward. ``varied``: share in which they differ and the
    app varies by itself, and ``varied_gain`` the gain in one of them. ``untried``: share in which the version's action was not
    tried. ``low``, ``high``: the gain over all decisions lies between these, with 95%, however the app chose. ``largest``: the
    bound of a reward's size, which they use wherever both differ.
    """

    people: int
    unknown: str = ""
    own: Estimate | None = None
    agreed: float = 0.0
    agreed_reward: Estimate | None = None
    varied: float = 0.0
    varied_gain: Estimate | None = None
    untried: float = 0.0
    low: float | None = None
    high: float | None = None
    largest: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the gain as JSON values."""
        return dict(json_safe(asdict(self)))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ImitationGain:
        """Read what ``as_json`` returned."""
        estimates = {name: _estimate(stored[name]) for name in ("own", "agreed_reward", "varied_gain")}
        return cls(**dict(stored) | estimates)


def imitation_of(own: OwnDecisions, actions: Sequence[str]) -> Imitation:
    """Return how many of the app's choices the version would have made. ``actions``: their names."""
    by_action = {name: _imitated(own.where(own.action == k)) for k, name in enumerate(actions)}
    return Imitation(_imitated(own), by_action)


def gain_of(own: OwnDecisions, largest: float) -> ImitationGain:
    """Return what would have been gained. ``largest``: the declared bound of a reward's size."""
    seen = own.where(np.isfinite(own.reward))
    people = len(np.unique(seen.person))
    if people < LEAST_SHOWN:
        return ImitationGain(0, f"fewer than {LEAST_SHOWN} people have a decision of the app with a reward")
    agrees, parts = seen.action == seen.target, _varying(seen)
    varies, reach = parts >= 0, _gains(seen, parts)
    untried, differs = ~agrees & ~varies, ~agrees & varies
    ends = [
        _mean(seen.person, np.where(agrees, 0.0, end - seen.reward), np.where(agrees, 0.0, 1.0))
        for end in (-largest, largest)
    ]
    own_reward = _mean(seen.person, seen.reward)
    if own_reward is None or ends[0] is None or ends[1] is None:
        return ImitationGain(people, "too few people carry the estimate")
    alike = seen.where(agrees)
    return ImitationGain(
        people=people,
        own=own_reward,
        agreed=float(agrees.mean()),
        agreed_reward=_mean(alike.person, alike.reward),
        varied=float(differs.mean()),
        varied_gain=_mean(seen.person[varies], reach.gain[varies], reach.spread[varies], differs[varies]),
        untried=float(untried.mean()),
        low=ends[0].low,
        high=ends[1].high,
        largest=largest,
    )


def _varying(seen: OwnDecisions) -> Ints:
    """Return the part of contexts (n,) in which the app varies, for the action that the version would choose; otherwise -1."""
    parts = np.full(len(seen.action), -1, dtype=np.int64)
    for action in np.unique(seen.target):
        rows = seen.target == action
        found = varying_parts(seen.person[rows], seen.state[rows], seen.action[rows] == action)
        parts[rows] = np.where(found >= 0, found + parts.max() + 1, -1)
    return parts


@dataclass(frozen=True)
class _Gains:
    """Hold each decision's part (n,) of the gain, 0 outside varying parts, and its squared weight."""

    gain: Floats
    spread: Floats


def _gains(seen: OwnDecisions, parts: Ints) -> _Gains:
    """Compare, in each varying part, the mean reward of the version's action with what the app's choices brought.

    A decision in which the app took it counts w = (decisions) / (those that took it) times. Its part of the gain is
    w (reward - mean) + mean - reward, with the mean over those that took it.
    """
    gain, spread = np.zeros(len(parts)), np.zeros(len(parts))
    for part in range(int(parts.max(initial=-1)) + 1):
        rows = parts == part
        took, reward = seen.action[rows] == seen.target[rows], seen.reward[rows]
        weight, mean = np.where(took, len(took) / took.sum(), 0.0), float(reward[took].mean())
        gain[rows] = weight * (reward - mean) + mean - reward
        spread[rows] = (weight - 1.0) ** 2
    return _Gains(gain, spread)


def _imitated(own: OwnDecisions) -> ImitationShare:
    people, alike = len(np.unique(own.person)), (own.action == own.target).astype(float)
    if people < LEAST_SHOWN:
        return ImitationShare(0, None)
    agreed, made = _sums(own.person, alike), _sums(own.person, np.ones(len(alike)))
    squares = made if 0 < alike.mean() < 1 else made**2  # where nobody differs, people alone say how much was seen
    return ImitationShare(people, _usable(ratio_interval(agreed, made, squares, level=_LEVEL)))


def _mean(person: Ints, value: Floats, spread: Floats | None = None, counted: Bools | None = None) -> Estimate | None:
    """Return the mean of values (n,) over the ``counted`` decisions, clustered by person, or None for too few people."""
    counts = np.ones(len(value)) if counted is None else counted.astype(float)
    if len(np.unique(person)) < LEAST_SHOWN or not counts.any():
        return None
    squares = counts if spread is None else spread
    sums = [_sums(person, column) for column in (value, counts, squares)]
    return _usable(clustered_interval(*sums, level=_LEVEL))


def _sums(person: Ints, column: Floats) -> Floats:
    _, cluster = np.unique(person, return_inverse=True)
    return np.asarray(np.bincount(cluster, weights=column), dtype=np.float64)


def _usable(found: Interval) -> Estimate | None:
    """Return the interval, or None if too few people carry it."""
    numbers = (found.estimate, found.low, found.high)
    return Estimate(*numbers) if found.dof >= MIN_DOF and np.isfinite(numbers).all() else None


def _share(stored: Mapping[str, Any]) -> ImitationShare:
    return ImitationShare(stored["people"], _estimate(stored["rate"]))


def _estimate(stored: Mapping[str, Any] | None) -> Estimate | None:
    return None if stored is None else Estimate(**stored)
