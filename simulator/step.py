"""Simulate one decision point of all people: effects, reward components, labels, and the next state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from core.durations import HOUR
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import reward_total
from loops.engine.spec import LoopSpec
from loops.engine.state.dynamics import advance_known
from simulator.effects import WAIT, mood_effect, welcome
from simulator.people import InnerState, SimulatedPeople

LABELS = ("", "opened", "liked", "dismissed", "not_now", "bad")
SHOCKS = 12  # standard normals per person and step
_DELAYS = np.array([0.0, 1800.0, 7200.0, 21600.0])  # of the timing head's actions, in seconds
_ENERGY_BY_DAYPART = np.array([0.04, 0.06, -0.02, -0.10])
_STRESS_BY_DAYPART = np.array([0.0, 0.06, 0.0, -0.06])


@dataclass(frozen=True)
class SimulatedStep:
    """Hold the result of one step: components (n, 6), reward (n,), label codes (n,), and the next state."""

    components: Floats
    reward: Floats
    label: Ints
    after: InnerState


def step(
    spec: LoopSpec, people: SimulatedPeople, inner: InnerState, actions: Mapping[str, Ints], shocks: Floats
) -> SimulatedStep:
    """Simulate one decision point.

    Args: actions: (n,) action indices by head. shocks: (n, 12) standard normals; reuse them to compare policies with common
    random numbers.
    """
    effect = mood_effect(people, inner, actions)
    intervened = actions[MAIN_HEAD] != WAIT
    welcomed = np.where(intervened, welcome(effect, inner.fatigue), 0.0)
    engagement = _engagement(people, inner, effect, shocks[:, 1])
    components = np.column_stack(
        [
            np.clip(effect + 0.10 * (people.mood - inner.state[:, 0]) + 0.14 * shocks[:, 0], -2, 2),
            engagement - inner.state[:, 2],
            np.ones(people.n),
            _empathy(people, inner, actions[MAIN_HEAD], welcomed, shocks),
            _timing(actions, intervened, shocks[:, 4]),
            np.where(intervened, (_uniform(shocks[:, 5]) < 0.2 + 0.6 * welcomed).astype(float), np.nan),
        ]
    )
    label = _labels(welcomed, intervened, inner.fatigue, shocks)
    return SimulatedStep(
        components,
        reward_total(spec, components),
        label,
        _next(spec, people, inner, effect, engagement, intervened, shocks),
    )


def _engagement(people: SimulatedPeople, inner: InnerState, effect: Floats, shock: Floats) -> Floats:
    """Return (n,) engagement: slow mean reversion, and negative effects and fatigue weigh more than positive effects."""
    level = inner.state[:, 2]
    pull = 0.06 * (people.engagement * (1 - 0.35 * inner.fatigue) - level)
    return np.asarray(np.clip(level + pull + np.where(effect > 0, 0.12, 0.3) * effect + 0.04 * shock, 0, 1))


def _empathy(people: SimulatedPeople, inner: InnerState, policy: Ints, welcomed: Floats, shocks: Floats) -> Floats:
    """Return (n,) ratings in [0, 1] of the people who rate, and for the others the appropriateness of the action."""
    mood, stress, gap = (inner.state[:, 0] + 1) / 2, inner.state[:, 1], inner.state[:, 5]
    wait_rating = 0.70 + 0.10 * (0.5 - stress)
    rating = np.where(policy == WAIT, wait_rating, 0.46 + 0.46 * welcomed) + 0.08 * shocks[:, 2]
    table = np.choose(policy, [1 - stress, gap, stress, 1 - mood, mood])
    return np.where(_uniform(shocks[:, 3]) < people.rates, np.clip(rating, 0, 1), table)


def _timing(actions: Mapping[str, Ints], intervened: Bools, shock: Floats) -> Floats:
    """Return (n,) exp(-|delay - t*| / one hour), where the delay is a random lateness of the phone. A wait scores 1."""
    lateness = np.abs(600.0 * shock)
    return np.where(intervened, np.exp(-lateness / HOUR), 1.0)


def _labels(welcomed: Floats, intervened: Bools, fatigue: Floats, shocks: Floats) -> Ints:
    harm = np.clip(0.015 + 0.24 * (1 - welcomed) ** 1.5 + 0.10 * fatigue, 0, 1)
    draw, which = _uniform(shocks[:, 6]), _uniform(shocks[:, 7])
    bad = np.where(which < 0.6, 3, np.where(which < 0.85, 4, 5))
    good = np.where(which < 0.5, 0, np.where(which < 0.8, 1, 2))
    return np.where(intervened, np.where(draw < harm, bad, good), 0)


def _next(
    spec: LoopSpec,
    people: SimulatedPeople,
    inner: InnerState,
    effect: Floats,
    engagement: Floats,
    intervened: Bools,
    shocks: Floats,
) -> InnerState:
    mood, stress, _, energy, arousal, _, load, daypart = inner.state.T
    part = daypart.astype(int)
    after = advance_known(spec, inner.state, intervened)
    stress_relief = 0.35 * np.maximum(effect, 0.0) * (stress > 0.45)
    base_mood = people.mood - 0.10 * inner.fatigue
    after[:, 0] = np.clip(
        mood + 0.18 * (base_mood - mood) - 0.10 * (stress - people.stress) + 0.35 * effect + 0.14 * shocks[:, 8], -1, 1
    )
    base_stress = people.stress + _STRESS_BY_DAYPART[part]
    after[:, 1] = np.clip(stress + 0.22 * (base_stress - stress) - stress_relief + 0.085 * shocks[:, 9], 0, 1)
    after[:, 2] = engagement
    base_energy = people.energy + _ENERGY_BY_DAYPART[part]
    after[:, 3] = np.clip(energy + 0.2 * (base_energy - energy) + 0.05 * shocks[:, 10], 0, 1)
    after[:, 4] = np.clip(arousal + 0.15 * (0.45 - arousal) + 0.07 * shocks[:, 11], 0, 1)
    burden = 0.05 * np.maximum(load - 0.2, 0.0) / 0.8 * intervened * people.sensitivity
    fatigue = np.clip(0.985 * inner.fatigue + burden, 0, 1)
    return InnerState(after, fatigue)


def _uniform(normal: Floats) -> Floats:
    """Convert standard normals to uniforms, so that one kind of shock drives everything."""
    from scipy.special import ndtr

    return np.asarray(ndtr(normal))
