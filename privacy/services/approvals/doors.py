"""The doors through which approved acts are done. Each floor registers its own when Django starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from core.errors import Conflict
from privacy.models import Approval
from privacy.services.approvals.second_operator import OperatorAccount


def _nothing_around(parameters: Mapping[str, Any]) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class ApprovedDoor:
    """One service that does what was asked for and approved.

    Args:
        permissions: what both operators need.
        carry_out: does it with the frozen parameters, who asked for it, and why. Returns the record that it wrote.
        around: entered outside the transaction of the approval.
        is_queued: whether ``carry_out`` only queues it for the workers.
    """

    name: str
    permissions: tuple[str, ...]
    carry_out: Callable[[Mapping[str, Any], OperatorAccount, str], Model]
    around: Callable[[Mapping[str, Any]], AbstractContextManager[None]] = _nothing_around
    is_queued: bool = False


_DOORS: dict[str, ApprovedDoor] = {}


def door_register(door: ApprovedDoor) -> None:
    """Add a door. Raises ValueError for a name that is taken."""
    if door.name in _DOORS:
        raise ValueError(f"two doors for approved acts are called {door.name}")
    _DOORS[door.name] = door


def door_named(name: str) -> ApprovedDoor:
    """Return a door. Raises Conflict for one that this version of the platform no longer has."""
    if name not in _DOORS:
        raise Conflict(f"this version of the platform has no act {name!r}; decline the request and ask again")
    return _DOORS[name]


def done_how(approval: Approval) -> str:
    """Return what happens to an act once it is approved."""
    return "queued for the workers" if door_named(approval.door).is_queued else "done"
