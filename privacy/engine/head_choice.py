"""One head's choice in a served decision, stored as a row of ``decision_choices`` and included in the answer."""

from __future__ import annotations

from typing import NamedTuple

OWN_CHOICE = "app"  # what ``fallback`` says of a choice that the app made itself


class HeadChoice(NamedTuple):
    """The choice of one head. The last three fields appear in the answer and are not stored.

    ``propensity`` is that of the action given the flag ``explored``; ``marginal_propensity`` averages over the flag. Both are
    None, and so is ``version``, for a choice that the app made itself: nobody knows how else it could have chosen. Then
    ``fallback`` is "app". Otherwise it is the policy that answered in place of the deployed one, or empty.
    ``eligible`` is a bit mask of the allowed actions (None: all). ``values`` (K,) are action values, including the reference's
    margin, in the order of ``actions``.
    """

    head: str
    action: int
    propensity: float | None
    marginal_propensity: float | None
    explored: bool
    learnable: bool
    version: int | None
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

    @property
    def is_the_apps(self) -> bool:
        """Return whether the app made the choice itself."""
        return self.fallback == OWN_CHOICE
