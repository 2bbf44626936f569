"""Where the simulator's quantities sit in a loop's arrays: its columns by name, its actions by meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from loops.engine.spec import LoopSpec
from r3al_project.common.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEATURES = ("mood", "stress", "engagement", "energy", "arousal", "gap", "load", "daypart")
KINDS = ("wait", "check_in", "breathe", "reframe", "celebrate")
DELAYS = ("now", "in_30_minutes", "in_2_hours", "this_evening")
TONES = ("warm", "calm", "playful", "direct")
DEPTHS = ("light", "moderate", "deep")
DAYPARTS = ("morning", "midday", "evening", "night")
MEANINGS = {"policy": KINDS, "timing": DELAYS, "tone": TONES, "empathy": DEPTHS}
SUB_HEADS = ("timing", "tone", "empathy")


@dataclass(frozen=True)
class Layout:
    """Columns of a state array by feature name, and for each head the meaning (index above) of each of its actions."""

    spec: LoopSpec
    column: dict[str, int]
    meaning: dict[str, Ints]
    dayparts: Ints

    @classmethod
    def of(cls, spec: LoopSpec) -> Layout:
        """Raises InputError when the loop lacks a feature, head or action that is simulated, or knows others."""
        names = list(spec.feature_names)
        _same(spec, "features", FEATURES, names)
        _same(spec, "heads", tuple(MEANINGS), [h.name for h in spec.heads])
        for head, known in MEANINGS.items():
            _same(spec, f"actions of head {head}", known, list(spec.head(head).actions))
        categories = spec.feature("daypart").categories
        _same(spec, "dayparts", DAYPARTS, list(categories))
        return cls(
            spec=spec,
            column={n: names.index(n) for n in FEATURES},
            meaning={h: _codes(known, spec.head(h).actions) for h, known in MEANINGS.items()},
            dayparts=_codes(DAYPARTS, categories),
        )

    def get(self, states: Floats, feature: str) -> Floats:
        """One column of states (n, F)."""
        return cast(Floats, states[:, self.column[feature]])

    def daypart(self, states: Floats) -> Ints:
        """Index into ``DAYPARTS``, (n,)."""
        return cast(Ints, self.dayparts[self.get(states, "daypart").astype(np.int64)])

    @property
    def wait(self) -> int:
        """Index of the action that is no intervention."""
        return self.spec.head("policy").actions.index("wait")


def _codes(known: tuple[str, ...], names: tuple[str, ...]) -> Ints:
    return np.array([known.index(n) for n in names], dtype=np.int64)


def _same(spec: LoopSpec, what: str, known: tuple[str, ...], found: list[str]) -> None:
    if sorted(known) != sorted(found):
        raise InputError(
            f"the simulator cannot stand in for loop {spec.name!r}: its {what} are {', '.join(found)}; "
            f"simulated are {', '.join(known)}"
        )
