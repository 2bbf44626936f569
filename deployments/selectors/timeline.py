"""Read what happened to a slot, newest first: deployments, acts on rollouts, rollouts that ended, and incidents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from core.errors import InputError
from deployments.engine.rollouts.strategies import BESIDE, FULL_ROLLOUT
from deployments.models import Deployment, DeploymentState, Incident, RolloutAct, ServingSlot

PAGE = 30
_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_PLACE = 19  # digits


@dataclass(frozen=True)
class TimelineEntry:
    """Hold one thing that happened. ``row``: a Deployment, a RolloutAct or an Incident. ``kind``: its table."""

    at: datetime
    kind: str
    row: Any

    @property
    def place(self) -> tuple[datetime, int, int]:
        """Return where the entry stands: no two have the same place."""
        return self.at, _ORDER[self.kind], self.row.pk

    @property
    def cursor(self) -> str:
        """Return the place as text, for the address of the page that comes after."""
        at, order, pk = self.place
        return f"{(at - _START) // _MICROSECOND}-{order}-{pk}"


@dataclass(frozen=True)
class TimelinePage:
    """Hold the entries of one page, and where the older ones begin; an empty text on the last page."""

    entries: list[TimelineEntry]
    older: str


def timeline_of(slot: ServingSlot, before: str = "", size: int = PAGE) -> TimelinePage:
    """Return one page of a slot's timeline. ``before``: the ``older`` of the page before. Raises InputError for anything else."""
    place = _place(before) if before else None
    entries = [entry for kind in _TABLES for entry in _newest(kind, slot, place, size + 1)]
    entries.sort(key=lambda entry: entry.place, reverse=True)
    page = entries[:size]
    return TimelinePage(page, page[-1].cursor if len(entries) > size else "")


def _place(text: str) -> tuple[datetime, int, int]:
    parts = text.split("-")
    if len(parts) != 3 or not all(p.isascii() and p.isdecimal() and len(p) <= _LONGEST_PLACE for p in parts):
        raise InputError(f"{text[:60]!r} is no place in a timeline; open the timeline from the dashboard")
    at, order, pk = (int(part) for part in parts)
    try:
        return _START + at * _MICROSECOND, order, pk
    except OverflowError:
        raise InputError(f"{text[:60]!r} is no time; open the timeline from the dashboard") from None


def _newest(kind: str, slot: ServingSlot, place: tuple[datetime, int, int] | None, count: int) -> list[TimelineEntry]:
    rows = _TABLES[kind](slot)
    if place is not None:
        at, order, pk = place
        same = (
            Q(happened=at, pk__lt=pk)
            if _ORDER[kind] == order
            else Q(happened=at)
            if _ORDER[kind] < order
            else Q(pk__in=[])
        )
        rows = rows.filter(Q(happened__lt=at) | same)
    return [TimelineEntry(row.happened, kind, row) for row in rows.order_by("-happened", "-pk")[:count]]


def _deployments(slot: ServingSlot) -> QuerySet[Any]:
    found = Deployment.objects.filter(slot=slot).select_related(
        "version__loop_version__loop", "previous__loop_version__loop", "rollback_of__version__loop_version__loop"
    )
    return found.annotate(happened=F("created_at"))


def _ends(slot: ServingSlot) -> QuerySet[Any]:
    """Return rollouts that ended with neither a promotion nor an incident, as one does whose reference was taken back.

    One whose version only decided beside others promotes nothing when it succeeds.
    """
    ended = Q(state__in=(DeploymentState.ABORTED, DeploymentState.ROLLED_BACK, DeploymentState.FAILED))
    ended |= Q(state=DeploymentState.SUCCEEDED, strategy__in=BESIDE)
    found = Deployment.objects.filter(ended, slot=slot, incident__isnull=True).exclude(strategy=FULL_ROLLOUT)
    return found.select_related("version__loop_version__loop").annotate(happened=F("finished_at"))


def _acts(slot: ServingSlot) -> QuerySet[Any]:
    found = RolloutAct.objects.filter(deployment__slot=slot)
    return found.select_related("deployment__version__loop_version__loop").annotate(happened=F("created_at"))


def _incidents(slot: ServingSlot) -> QuerySet[Any]:
    found = Incident.objects.filter(slot=slot).select_related("version__loop_version__loop", "deployment")
    return found.annotate(happened=F("created_at"))


_TABLES: dict[str, Callable[[ServingSlot], QuerySet[Any]]] = {
    "deployment": _deployments, "act": _acts, "end": _ends, "incident": _incidents,
}  # fmt: skip
_ORDER = {kind: order for order, kind in enumerate(_TABLES)}
