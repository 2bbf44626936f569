"""What one head chose in a served decision: one record, stored as a row of ``decision_choices`` and shown in the answer."""

from __future__ import annotations

from typing import NamedTuple


class HeadChoice(NamedTuple):
    """The choice of one head. The answer also shows what the row does not hold: the last three.

    ``propensity``: of the action given the flag ``explored``; ``marginal_propensity``: over the flag. ``eligible``: mask of the
    allowed actions (None: all). ``values`` (K,): action values, the reference's margin included, in the order of ``actions``.
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
        """Whether it does something else than the reference action."""
        return self.action != self.reference
