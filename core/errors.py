"""Define the errors that a user can act on. Commands print them as one sentence. The API returns them as problem+json.

A class of its own, and so a type of problem of its own (``core.problem_json``), is for what a client handles in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class R3alError(Exception):
    """Base class of every expected error. ``str()`` is one sentence that states what was wrong, where, and what to do."""


class InputError(R3alError):
    """Report invalid input from the caller. Nothing was written.

    Args: field: the API's name of the field that does not fit. The problem document lists the reason under it.
    """

    def __init__(self, reason: str, *, field: str = "") -> None:
        super().__init__(reason)
        self.members: dict[str, Any] = {"errors": {field: [reason]}} if field else {}


class KeyReused(InputError):
    """Report a key or an identifier of a request that was used before with other content. Nothing was written.

    This is the rule of every door: other content under a known key is never a conflict that could end by itself.
    """


class NotFound(R3alError):
    """Report that a named object does not exist."""


class Conflict(R3alError):
    """Report that the current state does not allow the operation. Nothing was written."""


class NothingToShow(Conflict):
    """Report that a decision was made for a person who was not available, so that its action was never to be shown."""


class TooManyRewards(Conflict):
    """Report that a decision has as many rewards as it may have."""


class BudgetExceeded(R3alError):
    """Report that too few people have enough privacy budget left to be charged for the request."""


class InsufficientData(R3alError):
    """Report too little data. The message states how much would be enough."""


class Unauthorized(R3alError):
    """Report a request without valid credentials."""


class Forbidden(R3alError):
    """Report that the authenticated caller lacks the permission for this operation."""


class NoConsent(Forbidden):
    """Report that the person has not consented to what the request would do."""


class RefusedElsewhere(Forbidden):
    """Report that the person refused purposes on a device of another app, which alone may undo that."""

    def __init__(self, message: str, purposes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.members = {"errors": {purpose: ["was refused on a device of another app"] for purpose in purposes}}


class TooLarge(R3alError):
    """Report a request above the size limit."""
