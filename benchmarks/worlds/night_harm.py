"""Define worlds in which a message helps by day and hurts everybody at night. The app does not know when a person's night is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.worlds.plain import PlainWorld, plain_text
from benchmarks.worlds.protocol import Answer, Hidden
from core.arrays import Bools, Floats, Ints

POINTS_A_DAY, NIGHT = 5, 4  # decision points, of which the last is at night
RESTS = 0.98  # share of lost sleep that stays to the next point


@dataclass(frozen=True)
class NightEffect:
    """Hold what a message does, in reward scales: by day, at night, and by the sleep that it costs at night for days after."""

    by_day: float
    at_night: float
    sleep: float


class NightWorld(PlainWorld):
    """Let people live in their own time zones. Messages at night are unwelcome, and may cost sleep that later rewards need."""

    def __init__(self, name: str, does: NightEffect) -> None:
        text = plain_text(name).replace("decisions_per_day = 4", f"decisions_per_day = {POINTS_A_DAY}")
        super().__init__(name, text)
        self.does = does

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw rested people, each at an hour of their own."""
        hour = rng.integers(POINTS_A_DAY, size=people).astype(np.float64)
        return super().begin(people, rng) | {"hour": hour, "tired": np.zeros(people)}

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return the help by day or the hurt at night, less what people lack in sleep."""
        now = np.where(at_night(hidden), self.does.at_night, self.does.by_day)
        return np.where(action == 0, 0.0, now) - hidden["tired"]

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer as in the plain world, and let the day go on."""
        woken = at_night(hidden) & (action != 0)
        out = super().answer(hidden, state, action, rng)
        hidden["tired"] = RESTS * hidden["tired"] + self.does.sleep * woken
        hidden["hour"] = (hidden["hour"] + 1) % POINTS_A_DAY
        return out


def at_night(hidden: Hidden) -> Bools:
    """Return for whom (n,) it is night."""
    return np.asarray(hidden["hour"] == NIGHT)


def night_harm_world() -> NightWorld:
    """Return the world in which messages at night cost more sleep than messages by day are worth."""
    return NightWorld("night_harm", NightEffect(by_day=0.30, at_night=-0.60, sleep=0.036))


def night_cost_world() -> NightWorld:
    """Return the world in which messages at night hurt in that moment alone, less than the others help."""
    return NightWorld("night_cost", NightEffect(by_day=0.30, at_night=-0.60, sleep=0.0))
