"""One decision point of n simulated people: availability, what an action leads to, and the next state.

Reward components look at the hours after a decision: sentiment and engagement gains are what the action did, a part of how
the state moved anyway, and error of measurement. Silence is judged too, by the pulse that asks how the hours were: it
gets the empathy and timing of an ordinary moment. Without that (an absent component counts 0) any intervention would
gain more than one standard deviation of reward for nothing but having happened.

Randomness is drawn in one order and number whatever is done, so that worlds with one seed differ by actions alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loops.engine.dynamics import advance_known
from loops.engine.reward import COMPONENTS
from training.engine.simulator.effects import Effects, effects
from training.engine.simulator.layout import KINDS, Floats, Ints, Layout
from training.engine.simulator.people import People

Bools = npt.NDArray[np.bool_]

LABELS = ("", "liked", "opened", "dismissed", "not_now", "bad")
SILENCE_EMPATHY = 0.70
SILENCE_TIMING = 0.62
_MEASURED_DRIFT = 0.3  # share of the state's own movement that falls into the hours a component looks at
_SENTIMENT_ERROR, _ENGAGEMENT_ERROR = 0.20, 0.03
_FATIGUE_STAY = 0.985  # a decision point: half is left after 46, eleven days
_NORMALS, _UNIFORMS = 9, 8
# Daily rhythm around a person's levels: morning, midday, evening, night.
_RHYTHM = {
    "mood": np.array([-0.04, 0.0, 0.06, -0.02]),
    "stress": np.array([0.0, 0.06, 0.0, -0.06]),
    "energy": np.array([0.05, 0.04, -0.02, -0.07]),
    "arousal": np.array([-0.02, 0.05, 0.02, -0.05]),
}
_PULL = {"mood": 0.25, "stress": 0.25, "engagement": 0.07, "energy": 0.35, "arousal": 0.45}
_SHOCK = {"mood": 0.14, "stress": 0.09, "engagement": 0.04, "energy": 0.045, "arousal": 0.07}
_POINT_MINUTES = np.array([8 * 60 + 30, 12 * 60 + 45, 17 * 60 + 30, 21 * 60 + 45])
_PRESENT = np.array([0.94, 0.94, 0.94, 0.86])


@dataclass(frozen=True)
class Shocks:
    """All chance of one decision point: normals (n, 9) and uniforms (n, 8)."""

    normal: Floats
    uniform: Floats

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Shocks:
        return cls(rng.standard_normal((n, _NORMALS)), rng.random((n, _UNIFORMS)))


@dataclass(frozen=True)
class Step:
    """What followed: components (n, 6), label codes (n,) into ``LABELS``, next states (n, F) and fatigue (n,)."""

    components: Floats
    label: Ints
    states: Floats
    fatigue: Floats


def initial_states(layout: Layout, people: People, rng: np.random.Generator) -> Floats:
    """(n, F) states at a first morning: around people's own levels; nobody was spoken to yet."""
    n = len(people)
    states = np.zeros((n, len(layout.spec.features)))
    spread = {"mood": 0.2, "stress": 0.12, "engagement": 0.1, "energy": 0.06, "arousal": 0.08}
    for name, sd in spread.items():
        states[:, layout.column[name]] = getattr(people, name) + sd * rng.standard_normal(n)
    states[:, layout.column["gap"]] = 1.0
    return bounded(layout, states)


def bounded(layout: Layout, states: Floats) -> Floats:
    """States with every number inside its bounds."""
    for i, f in enumerate(layout.spec.features):
        if f.bounds is not None:
            states[:, i] = np.clip(states[:, i], *f.bounds)
    return states


def present(layout: Layout, people: People, states: Floats, shocks: Shocks) -> tuple[Bools, Ints]:
    """Who can be spoken to (n,), and the local minute of the day (n,). Nobody in the loop's quiet hours."""
    daypart = layout.daypart(states)
    minute = _POINT_MINUTES[daypart] + people.chronotype + np.clip(18 * shocks.normal[:, 7], -45, 45)
    here = shocks.uniform[:, 0] < _PRESENT[daypart] + people.presence
    quiet = layout.spec.availability.quiet_hours
    if quiet is not None:
        here &= ~_within(minute, *(60 * int(q[:2]) + int(q[3:]) for q in quiet))
    return here, minute.astype(np.int64)


def _within(minute: Floats, start: int, end: int) -> Bools:
    inside = (minute >= start, minute < end)
    return np.asarray(inside[0] & inside[1] if start <= end else inside[0] | inside[1])


def advance(
    layout: Layout, people: People, states: Floats, fatigue: Floats, actions: dict[str, Ints], shocks: Shocks
) -> Step:
    """One decision point under actions (meanings: indices into ``KINDS`` and so on; where policy waits the others are idle)."""
    done = effects(layout, people, states, fatigue, actions)
    spoke = actions["policy"] != KINDS.index("wait")
    moved = advance_known(layout.spec, states, spoke)
    drift = _drift(layout, people, states, fatigue, shocks)
    for name, change in drift.items():
        moved[:, layout.column[name]] += change
    for name in ("mood", "stress", "engagement"):
        moved[:, layout.column[name]] += getattr(done, name)
    label = _labels(people, fatigue, done, spoke, shocks)
    components = _components(layout, people, states, fatigue, actions, done, drift, label, shocks)
    excess = np.maximum(layout.get(moved, "load") - 0.32, 0.0)
    tired = _FATIGUE_STAY * fatigue + spoke * (1 - fatigue) * 0.12 * people.sensitivity * excess
    return Step(components, label, bounded(layout, moved), np.clip(tired, 0.0, 1.0))


def _drift(layout: Layout, people: People, states: Floats, fatigue: Floats, shocks: Shocks) -> dict[str, Floats]:
    """How each number moves by itself towards its level of the daypart, which fatigue lowers for engagement."""
    daypart = layout.daypart(states)
    strain = layout.get(states, "stress") - 0.47
    extra = {"mood": -0.12 * strain, "engagement": -0.35 * _PULL["engagement"] * fatigue}
    out = {}
    for i, (name, pull) in enumerate(_PULL.items()):
        level = getattr(people, name)
        if name in _RHYTHM:
            level = level + people.rhythm * _RHYTHM[name][(daypart + 1) % 4]
        size = _SHOCK[name] * (people.reactivity if name in ("mood", "stress") else 1.0)
        out[name] = pull * (level - layout.get(states, name)) + size * shocks.normal[:, i] + extra.get(name, 0.0)
    return out


def _labels(people: People, fatigue: Floats, done: Effects, spoke: Bools, shocks: Shocks) -> Ints:
    """How an intervention was answered; nothing where there was none, and often nothing where there was one."""
    harm = np.clip((0.11 - 0.10 * done.gain + 0.22 * fatigue) * people.irritability, 0.004, 0.8)
    liked = np.clip(0.15 + 0.3 * done.gain, 0.02, 0.6)
    draw, which = shocks.uniform[:, 1], shocks.uniform[:, 2]
    harmful = np.where(which < 0.5, 3, np.where(which < 0.85, 4, 5))
    kind = np.where(which < liked, 1, np.where(which < liked + 0.45, 2, 0))
    return np.asarray(np.where(spoke, np.where(draw < harm, harmful, kind), 0), dtype=np.int64)


def _components(
    layout: Layout,
    people: People,
    states: Floats,
    fatigue: Floats,
    actions: dict[str, Ints],
    done: Effects,
    drift: dict[str, Floats],
    label: Ints,
    shocks: Shocks,
) -> Floats:
    """(n, 6) in the order of ``COMPONENTS``, each inside its bounds."""
    spoke = actions["policy"] != KINDS.index("wait")
    error = shocks.normal[:, 5]
    late = done.lateness * people.lateness * -np.log1p(-shocks.uniform[:, 3])
    values = {
        "sentiment": np.clip(done.mood + _MEASURED_DRIFT * drift["mood"] + _SENTIMENT_ERROR * error, -2.0, 2.0),
        "engagement": np.clip(
            done.engagement + _MEASURED_DRIFT * drift["engagement"] + _ENGAGEMENT_ERROR * shocks.normal[:, 8], -1.0, 1.0
        ),
        "compliance": np.ones(len(states)),
        "empathy": np.where(spoke, _empathy(layout, people, states, fatigue, actions, done, shocks), SILENCE_EMPATHY),
        "timing": np.where(spoke, np.exp(-late * 60 / layout.spec.reward.delay_tolerance_seconds), SILENCE_TIMING),
        "uptake": np.where(spoke, (label == 1) | (label == 2), 0.0),
    }
    return np.column_stack([values[c] for c in COMPONENTS])


def _empathy(
    layout: Layout,
    people: People,
    states: Floats,
    fatigue: Floats,
    actions: dict[str, Ints],
    done: Effects,
    shocks: Shocks,
) -> Floats:
    """The rating of an intervention where the person gave one, else the loop's appropriateness table."""
    rating = 0.73 + 0.24 * done.gain - 0.2 * fatigue + people.leniency + 0.12 * shocks.normal[:, 6]
    if people.variant == "never":
        rating = rating - 0.03
    rated = shocks.uniform[:, 4] < people.rating_rate
    return np.where(rated, np.clip(rating, 0.0, 1.0), _table(layout, states, actions["policy"]))


def _table(layout: Layout, states: Floats, kind: Ints) -> Floats:
    """Appropriateness of each action taken to the affect, by the loop's own declaration; silence's where it has none."""
    out = np.full(len(states), SILENCE_EMPATHY)
    for code, action in enumerate(KINDS):
        named = layout.spec.reward.appropriateness.get(action, "").removeprefix("-")
        rows = np.flatnonzero(kind == code)
        if not named or not rows.size:
            continue
        low, high = layout.spec.feature(named).bounds or (0.0, 1.0)
        affect = (layout.get(states, named)[rows] - low) / (high - low)
        minus = layout.spec.reward.appropriateness[action].startswith("-")
        out[rows] = 1.0 - affect if minus else affect
    return out
