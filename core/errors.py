"""Errors a person can act on. Commands print them as one sentence; the API turns them into problem+json."""

from __future__ import annotations


class R3alError(Exception):
    """Base of every expected error. ``str()`` is one sentence that says what was wrong, where, and what to do."""


class InputError(R3alError):
    """The caller gave something that cannot be used; nothing was written."""


class NotFound(R3alError):
    """What was named does not exist."""


class Conflict(R3alError):
    """The state of the world does not allow this now; nothing was written."""


class BudgetExceeded(R3alError):
    """Nobody, or too few people, could be charged for what was asked."""


class InsufficientData(R3alError):
    """There is too little to work with; the message says how much would do."""


class Unauthorized(R3alError):
    """The request does not say who asks, or not credibly."""


class Forbidden(R3alError):
    """Who asks is known, and may not do this."""


class TooLarge(R3alError):
    """The request is larger than anything that is sensible here."""
