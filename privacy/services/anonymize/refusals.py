"""Give each loop few permits a day for anonymisations that may be refused because of people's records.

Such a refusal costs nobody anything and follows from exact numbers, so each one tells something. Asked often enough, with other
fields each time, they would tell who has which records. A permit is therefore taken before records are read. It is free again
when the release has ended without a refusal. A refusal, or a process that dies before the charge, uses it up for a day.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from core import clock
from core.durations import CLOCK_TOLERANCE
from core.errors import BudgetExceeded, Conflict, InsufficientData
from loops.models import Loop, LoopVersion
from privacy.models import RefusalPermit, Release, ReleaseState, VaultKind
from privacy.services.vault.append import vault_append

REFUSALS_A_DAY = 10  # of one loop
_DAY = timedelta(days=1)


@contextlib.contextmanager
def refusal_permit(loop_version: LoopVersion, key: str) -> Iterator[None]:
    """Hold a permit while the release with this key is charged; afterwards the release holds it.

    A release that exists needs none: its people are charged. Raises Conflict if no permit is left. Enter it outside a
    transaction, so that a refused charge rolls back alone.
    """
    if Release.objects.filter(key=key).exists():
        yield
        return
    _date_back()
    permit = _take(loop_version, key)
    try:
        yield
    except (BudgetExceeded, InsufficientData):
        refusal_record(loop_version, key)
        raise
    except BaseException:
        with contextlib.suppress(DatabaseError):  # then it stays taken for a day
            permit.delete()
        raise


def _date_back() -> None:
    """Let permits of a clock that was set back last for a day from now, not until their time has come."""
    now = clock.now()
    RefusalPermit.objects.filter(at__gt=now + CLOCK_TOLERANCE).update(at=now)


@transaction.atomic
def _take(loop_version: LoopVersion, key: str) -> RefusalPermit:
    """Take a permit. The lock on the loop's row makes two processes count one after the other."""
    loop, now = Loop.objects.select_for_update(no_key=True).get(pk=loop_version.loop_id), clock.now()
    taken = RefusalPermit.objects.filter(loop=loop)
    taken.exclude(pk__in=_counting(taken, now).values("pk")).delete()
    times = list(taken.order_by("at").values_list("at", flat=True))
    if len(times) >= REFUSALS_A_DAY:
        raise Conflict(
            f"{REFUSALS_A_DAY} anonymisations of loop {loop.name!r} are under way or were refused within a day because of "
            "people's records, and each refusal tells something about them; ask again when those under way have ended, or "
            f"after {times[0] + _DAY:%Y-%m-%d %H:%M} UTC"
        )
    return RefusalPermit.objects.create(loop=loop, release_key=key, at=now)


def _counting(permits: QuerySet[RefusalPermit], now: datetime) -> QuerySet[RefusalPermit]:
    """Filter the permits of releases that are under way, and those of the last day that no release holds."""
    held_by = Release.objects.filter(key=OuterRef("release_key"))
    under_way, of_no_release = Exists(held_by.filter(state=ReleaseState.RESERVED)), ~Exists(held_by)
    return permits.filter(Q(under_way) | Q(of_no_release, at__gt=now - _DAY))


def refusal_record(loop_version: LoopVersion, key: str, undo: Callable[[], object] = lambda: None) -> None:
    """Use up a release's permit for a day, ``undo`` its charge, and record the refusal in the Trust Vault, in one transaction.

    Call it outside the transaction that was refused.
    """
    with transaction.atomic():
        RefusalPermit.objects.filter(release_key=key).update(release_key="", at=clock.now())
        undo()
        vault_append(kind=VaultKind.RELEASE, body={"refused": loop_version.loop.name})
