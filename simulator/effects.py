"""What an intervention does to somebody, as a change of mood: the truth that a learner is to find.

breathe helps above a stress threshold; reframe helps low moods; celebrate lifts a good mood and hurts a low one; check_in is
welcome after a gap and a burden when much was sent. Fatigue and the person's receptivity scale what helps, never what harms.
The sub-heads matter a little: the right tone, depth and moment for the state.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.heads import MAIN_HEAD
from simulator.people import InnerState, SimulatedPeople

WAIT, CHECK_IN, BREATHE, REFRAME, CELEBRATE = range(5)
SUB_STRENGTH = 0.12


def mood_effect(people: SimulatedPeople, inner: InnerState, actions: Mapping[str, Ints]) -> Floats:
    """(n,) change of mood that the chosen intervention causes; 0 for wait."""
    mood, stress, _, energy, arousal, gap, load, _ = inner.state.T
    raw = np.choose(
        actions[MAIN_HEAD],
        [
            np.zeros(people.n),
            0.24 * (gap - 0.30) - 0.14 * load,
            0.70 * np.maximum(stress - 0.40, 0) + 0.08 * (arousal - 0.45) - 0.05 - 0.06 * load,
            0.40 * np.maximum(-mood, 0) + 0.10 * (energy - 0.5) - 0.05 - 0.06 * load,
            0.30 * mood * (0.5 + energy) - 0.03 - 0.06 * load,
        ],
    )
    if people.variant == "never":
        return np.where(actions[MAIN_HEAD] == WAIT, 0.0, -0.02 - 0.5 * np.abs(raw))
    matched = 1 + SUB_STRENGTH * sub_match(inner.state, actions)
    helped = raw * matched * people.receptivity * (1 - 0.6 * inner.fatigue)
    return np.asarray(np.where(raw > 0, helped, raw * people.sensitivity))


def sub_match(state: Floats, actions: Mapping[str, Ints]) -> Floats:
    """(n,) how well tone, depth and timing fit, each +1 (right) or -.5, summed over those that the loop has a head for.

    0 where no intervention was made.
    """
    mood, stress, daypart = state[:, 0], state[:, 1], state[:, 7]
    tone = np.where(stress > 0.6, 1, np.where(mood > 0.3, 2, np.where(mood < -0.3, 0, 3)))
    depth = np.where(stress > 0.6, 2, np.where(mood > 0.2, 0, 1))
    timing = np.where(daypart == 1, 1, np.where(daypart == 0, 3, 0))
    total = np.zeros(len(state))
    for head, right in (("tone", tone), ("empathy", depth), ("timing", timing)):
        if head in actions:
            total += np.where(actions[head] == right, 1.0, -0.5)
    return np.where(actions[MAIN_HEAD] == WAIT, 0.0, total)


def welcome(effect: Floats, fatigue: Floats) -> Floats:
    """(n,) in (0, 1): how welcome an intervention was, what ratings and dismissals follow."""
    return np.asarray(1.0 / (1.0 + np.exp(-(effect - 0.12 * fatigue) / 0.03)))
