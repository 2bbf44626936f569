"""Define logs that lack an action which the loop declares. All arms are equal."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld, plain_text
from benchmarks.worlds.protocol import COLUMNS, WITH_PROPENSITY, WITHOUT_PROPENSITY
from core.arrays import Floats, Ints

_THREE = """
[heads.policy]
actions = ["wait", "ping", "hug"]
reference = "wait"
logging = [0.4, 0.3, 0.3]
"""
_RARE = 0.002


class NeverLoggedWorld(PlainWorld):
    """Draw ``hug`` with a probability of ``rare``, which the loop declares as .3. The other two share the rest equally.

    Without a propensity ``column`` the declared distribution stands for the real one.
    """

    def __init__(self, name: str, *, rare: float, column: bool = True) -> None:
        imports = COLUMNS + (WITH_PROPENSITY if column else WITHOUT_PROPENSITY)
        super().__init__(name, plain_text(name, head=_THREE, imports=imports))
        self._real, self._column = np.array([(1 - rare) / 2, (1 - rare) / 2, rare]), column

    def exploration(self, state: Floats) -> Floats:
        """Return the real distribution of the actions."""
        return np.tile(self._real, (len(state), 1))

    def recorded(self, state: Floats, action: Ints, propensity: Floats) -> Floats:
        """Return the real propensity, or the declared one if the log has no such column."""
        return propensity if self._column else np.array(self.spec.main_head.logging)[action]


def never_logged_world() -> NeverLoggedWorld:
    """Return the world whose log has propensities of .5 for two actions, and no row of the third."""
    return NeverLoggedWorld("never_logged", rare=0.0)


def never_logged_without_column() -> NeverLoggedWorld:
    """Return the world whose log has neither the third action nor propensities."""
    return NeverLoggedWorld("never_logged_no_column", rare=0.0, column=False)


def rarely_logged_world() -> NeverLoggedWorld:
    """Return the world whose log has the third action on one row of 500, with its true propensity."""
    return NeverLoggedWorld("rarely_logged", rare=_RARE)
