"""Read the status of the Trust Vault, for the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from privacy.engine.hash_chain import GENESIS
from privacy.models import ServedDecision, VaultCheck, VaultHead


@dataclass(frozen=True)
class VaultStatus:
    """The status of the Trust Vault.

    ``events`` and ``head`` describe the end of the chain now. ``verified_at`` is when the whole chain was last valid, up to event
    ``verified_to``. ``broken`` is the first broken link of the latest verification ("": none), found at ``broken_at``.
    ``waiting`` counts served decisions that are in no batch yet.
    """

    events: int
    head: str
    verified_at: datetime | None
    verified_to: int
    broken: str
    broken_at: datetime | None
    waiting: int


def vault_status() -> VaultStatus:
    """Return the current status in four small queries. A daily task verifies the chain."""
    head = VaultHead.objects.filter(pk=1).first()
    latest = VaultCheck.objects.order_by("-pk").first()
    valid = VaultCheck.objects.filter(broken="").order_by("-pk").first()
    broken = latest is not None and latest.broken != ""
    return VaultStatus(
        events=head.sequence if head else 0,
        head=head.hash if head else GENESIS,
        verified_at=valid.created_at if valid else None,
        verified_to=valid.sequence if valid else 0,
        broken=latest.broken if latest else "",
        broken_at=latest.created_at if latest and broken else None,
        waiting=ServedDecision.objects.filter(vault_batch__isnull=True).count(),
    )
