"""Record anonymisations that were refused because of people's records, and allow few of them a day.

Such a refusal costs nobody anything and follows from exact numbers, so each one tells something. Asked often enough, with other
fields each time, they would tell who has which records.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import transaction

from core.errors import Conflict
from loops.models import LoopVersion
from privacy.models import VaultEvent, VaultKind
from privacy.services.vault.append import vault_append

REFUSALS_A_DAY = 10  # of one loop
_DAY = timedelta(days=1)


def refusals_check(loop_version: LoopVersion) -> None:
    """Raise Conflict if as many anonymisations of this loop were refused within a day as are allowed."""
    refused = VaultEvent.objects.filter(
        kind=VaultKind.RELEASE, body__refused=loop_version.loop.name, at__gte=datetime.now(UTC) - _DAY
    )
    times = list(refused.order_by("-sequence").values_list("at", flat=True)[:REFUSALS_A_DAY])
    if len(times) == REFUSALS_A_DAY:
        raise Conflict(
            f"{REFUSALS_A_DAY} anonymisations of loop {loop_version.loop.name!r} were refused within a day because of people's "
            f"records, and each refusal tells something about them; ask again after {times[-1] + _DAY:%Y-%m-%d %H:%M} UTC"
        )


@transaction.atomic
def refusal_record(loop_version: LoopVersion) -> None:
    """Record a refusal in the Trust Vault. Call it outside the transaction that was refused."""
    vault_append(kind=VaultKind.RELEASE, body={"refused": loop_version.loop.name})
