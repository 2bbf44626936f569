"""One head's choice in a served decision, stored as a row of ``decision_choices`` and included in the answer."""

from __future__ import annotations

from typing import NamedTuple


class HeadChoice(NamedTuple):
    """The choice of one head. The last three fields appear in the answer and are not stored.

    ``propensity`` is that of the action given the flag ``explored``; ``marginal_propensity`` averages over the flag.
    ``eligible`` is a bit mask of the allowed actions (None: all). ``values`` (K,) are action values, including the reference's
    margin, in the order of ``actions``.
    """

    head: str
    action: int
    propensity: float
    marginal_propensity: float
    explored: bool
    learnable: bool
    version: int
    generation: int
    eligible: int | None
    fallback: str
    values: tuple[float, ...]
    actions: tuple[str, ...]
    reference: int

    @property
    def intervenes(self) -> bool:
        """Return whether the action differs from the reference."""
        return self.action != self.reference
