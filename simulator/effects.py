"""Define the true effect of an intervention on a person's mood, which a learner has to discover.

"breathe" helps above a stress threshold. "reframe" helps low moods. "celebrate" lifts a good mood and lowers a low one.
"check_in" helps after a gap and burdens a person with a high recent load. Fatigue and the person's receptivity scale positive
effects only. The sub-heads have a small effect, when tone, depth and timing fit the state.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.heads import MAIN_HEAD
from simulator.people import InnerState, SimulatedPeople

WAIT, CHECK_IN, BREATHE, REFRAME, CELEBRATE = range(5)
SUB_STRENGTH = 0.12
CONTRARY_LIFT, CONTRARY_STRENGTH = 0.05, 1.0  # of the people whom the opposite helps


def mood_effect(people: SimulatedPeople, inner: InnerState, actions: Mapping[str, Ints]) -> Floats:
    """Return the (n,) change of mood caused by the chosen interventions, 0 for wait."""
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
    if people.variant == "contrary":
        raw = np.where(actions[MAIN_HEAD] == WAIT, 0.0, CONTRARY_LIFT - CONTRARY_STRENGTH * raw)
    matched = 1 + SUB_STRENGTH * sub_match(inner.state, actions)
    benefit = raw * matched * people.receptivity * (1 - 0.6 * inner.fatigue)
    return np.asarray(np.where(raw > 0, benefit, raw * people.sensitivity))


def sub_match(state: Floats, actions: Mapping[str, Ints]) -> Floats:
    """Return the (n,) sum of +1 (fits the state) or -.5 over those of tone, depth and timing that the loop has a head for.

    The sum is 0 without an intervention.
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
    """Return (n,) values in (0, 1) of how welcome an intervention was. Ratings and dismissals depend on them."""
    return np.asarray(1.0 / (1.0 + np.exp(-(effect - 0.12 * fatigue) / 0.03)))
