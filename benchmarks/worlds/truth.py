"""Measure what a policy is truly worth in a world, by letting fresh people live under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.worlds.month import Month
from benchmarks.worlds.population import Population
from benchmarks.worlds.protocol import World
from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy

TRUTH_PEOPLE, TRUTH_DAYS, TRUTH_SEED = 2_000, 60, 977


@dataclass(frozen=True)
class Truth:
    """Hold the true figures of one policy.

    value: mean reward a decision in reward scales; decisions after leaving count 0. per_person (U,): the same by person.
    intervened: share of decisions. empathy, false_intervention: over interventions, answered or not. answered: share of
    interventions with a label.
    """

    value: float
    per_person: Floats
    intervened: float
    empathy: float
    false_intervention: float
    answered: float


def truth_of(
    world: World, policy: LinearPolicy | None, *, people: int = TRUTH_PEOPLE, days: int = TRUTH_DAYS,
    seed: int = TRUTH_SEED, exploration: float = 0.0,
) -> Truth:  # fmt: skip
    """Simulate fresh people under a policy (None: the reference). Equal seeds meet the same people and the same chance."""
    month = Population(world, people, np.random.default_rng(seed)).live(days, (policy,), exploration)
    return truth_of_month(world, month)


def truth_of_month(world: World, month: Month) -> Truth:
    """Return the true figures of what people lived in a month."""
    reward = np.where(month.decided, month.reward, 0.0).sum(axis=1) / world.spec.reward.scale
    spoken = month.decided & (month.action != world.spec.main_head.reference_index)
    per_person = reward / np.maximum(month.available.sum(axis=1), 1)
    some = bool(spoken.any())
    return Truth(
        value=float(reward.sum() / month.available.sum()),
        per_person=per_person,
        intervened=float(spoken.sum() / month.decided.sum()),
        empathy=float(np.nanmean(month.empathy[spoken])) if some else float("nan"),
        false_intervention=float(month.harmed[spoken].mean()) if some else float("nan"),
        answered=float((month.harmful[spoken] >= 0).mean()) if some else float("nan"),
    )


def gain(world: World, policy: LinearPolicy | None, **options: int) -> float:
    """Return the true value of a policy minus that of the reference, in reward scales a decision."""
    return truth_of(world, policy, **options).value - truth_of(world, None, **options).value
