"""Hold what the people of one arm lived in a stage: one value of each person over all its closed whole weeks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from core.arrays import Floats, Ints
from core.errors import InputError
from deployments.engine.evidence.fixed_time import RewardMoments, ValueMoments
from deployments.engine.evidence.normal_mixture import MixtureBlocks, mixture_blocks
from deployments.engine.health.evidence import LIVED_COLUMNS, LivedWeeks
from deployments.engine.health.metrics import LEAST_SHOWN
from loops.engine.spec import Silence


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class ArmMoments:
    """Hold the moments of an arm's values, which are all that a verdict reads and all of them that is stored.

    ``people``: number of people with any value.
    """

    people: int
    empathy: ValueMoments
    false_intervention: ValueMoments
    reward: RewardMoments
    engagement: ValueMoments
    intervention_rate: ValueMoments

    @property
    def moments(self) -> ArmMoments:
        """Return the moments themselves, as ``ArmValues`` does."""
        return self

    def as_json(self) -> dict[str, Any]:
        """Return the moments as JSON values."""
        return {
            "people": self.people,
            "empathy": self.empathy.as_json(),
            "false_intervention": self.false_intervention.as_json(),
            "reward": self.reward.as_json(),
            "engagement": self.engagement.as_json(),
            "intervention_rate": self.intervention_rate.as_json(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ArmMoments:
        """Read what ``as_json`` returned."""
        return cls(
            stored["people"],
            ValueMoments.from_json(stored["empathy"]),
            ValueMoments.from_json(stored["false_intervention"]),
            RewardMoments.from_json(stored["reward"]),
            ValueMoments.from_json(stored["engagement"]),
            ValueMoments.from_json(stored["intervention_rate"]),
        )


@dataclass(frozen=True)
class ArmValues:
    """Hold one value of each person of an arm, all (people,) and in one order; NaN for none. An empty array is all NaN.

    ``empathy``, ``false_intervention``: shares in [0, 1]. ``reward``: mean reward of a decision, in the loop's units, and
    ``past_reward``: the same before the rollout. ``engagement``: decisions a week. ``intervention_rate``: share of decisions with
    an intervention.
    """

    empathy: Floats
    false_intervention: Floats
    reward: Floats
    past_reward: Floats = field(default_factory=_none)
    engagement: Floats = field(default_factory=_none)
    intervention_rate: Floats = field(default_factory=_none)

    def __post_init__(self) -> None:
        """Raise InputError if the arrays are not about the same people."""
        sizes = {len(column) for column in self._columns if len(column)}
        if len(sizes) > 1:
            raise InputError(f"the values of an arm are of {sorted(sizes)} people; give one of each person, or NaN")

    @property
    def _columns(self) -> tuple[Floats, ...]:
        return (
            self.empathy, self.false_intervention, self.reward, self.past_reward, self.engagement, self.intervention_rate,
        )  # fmt: skip

    @property
    def moments(self) -> ArmMoments:
        """Return the moments of all values. Fewer than ten people have none, because moments are stored for good."""
        people = max(len(column) for column in self._columns)
        columns = [np.asarray(c, dtype=float) if len(c) else np.full(people, np.nan) for c in self._columns]
        empathy, harm, reward, past, engagement, rate = columns
        some = int((~np.isnan(np.stack([empathy, harm, reward])).all(axis=0)).sum())
        if np.isfinite(past).sum() < LEAST_SHOWN:
            past = np.full(people, np.nan)
        return ArmMoments(
            some if some >= LEAST_SHOWN else 0,
            _of_enough(ValueMoments.of(empathy)),
            _of_enough(ValueMoments.of(harm)),
            _of_enough(RewardMoments.of(reward, past)),
            _of_enough(ValueMoments.of(engagement)),
            _of_enough(ValueMoments.of(rate)),
        )


def people_of_one_arm(weeks: LivedWeeks, first: int) -> tuple[LivedWeeks, int]:
    """Return the weeks from ``first`` on of the people who met one arm alone in them, and how many people met both."""
    within = weeks.week >= first
    ours, theirs = (np.unique(weeks.person[within & (weeks.ours == arm)]) for arm in (True, False))
    both = np.intersect1d(ours, theirs)
    keep = within & ~np.isin(weeks.person, both)
    alone = replace(
        weeks, week=weeks.week[keep], person=weeks.person[keep], ours=weeks.ours[keep], sums=weeks.sums[keep]
    )
    return alone, len(both)


def arm_values(
    weeks: LivedWeeks, *, ours: bool, first: int, silence: Silence = "unknown", past: Mapping[int, float] | None = None
) -> ArmValues:
    """Return one arm's values over the closed weeks ``first``..``weeks.closed``.

    Args: past: mean reward before the rollout by person, of those who have one.
    """
    rows = (weeks.week >= first) & (weeks.week <= weeks.closed) & (weeks.ours == ours)
    people, which = np.unique(weeks.person[rows], return_inverse=True)
    sums: dict[str, Floats] = {
        name: np.bincount(which.reshape(-1), column, len(people)).astype(float)
        for name, column in zip(LIVED_COLUMNS, weeks.sums[rows].T, strict=True)
    }
    answered, shown = sums["answered"], sums["interventions"]
    harmful = sums["harmful"] if silence != "harmful" else shown - answered + sums["harmful"]
    of = answered if silence == "unknown" else shown
    return ArmValues(
        _ratio(sums["empathy_sum"], sums["rated"]),
        _ratio(harmful, of),
        _ratio(sums["reward_sum"], sums["rewarded"]),
        _past(people, past or {}),
        sums["rewarded"] / max(weeks.closed - first + 1, 1),
        _ratio(shown, sums["rewarded"]),
    )


def reward_blocks(
    weeks: LivedWeeks, past: Mapping[int, float] | None = None, *, first: int = 1, tile: int = 1
) -> MixtureBlocks:
    """Return the joint blocks of people's mean rewards, in the order of time and hash.

    A person enters once, with their mean over the first whole tile of ``tile`` weeks that they lived, counted from week ``first``
    on. Longer tiles tell more of people who stay, and nothing before they are closed.
    """
    _, person, ours, values = weeks.reward.in_tiles(tile, first, weeks.closed)
    _, entry = np.unique(person, return_index=True)
    entry.sort()
    return mixture_blocks(values[entry, 0], ours[entry], _past(person[entry], past) if past else None)


_M = TypeVar("_M", ValueMoments, RewardMoments)


def _of_enough(moments: _M) -> _M:
    """Return moments, or those of nobody for fewer than ten people."""
    return moments if moments.n >= LEAST_SHOWN else type(moments)(0)


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def _past(people: Ints, past: Mapping[int, float]) -> Floats:
    return np.array([past.get(person, np.nan) for person in people.tolist()], dtype=float)
