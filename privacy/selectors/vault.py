"""Reads of the Trust Vault: what the dashboard says of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from privacy.engine.hash_chain import GENESIS
from privacy.models import ServedDecision, VaultCheck, VaultHead


@dataclass(frozen=True)
class VaultStatus:
    """``events`` and ``head``: the end of the chain now. ``verified_at``: when the whole chain was last found to hold, up to
    event ``verified_to``. ``broken`` says what the latest walk found, ``broken_at`` when. ``waiting``: served decisions in no
    batch yet.
    """

    events: int
    head: str
    verified_at: datetime | None
    verified_to: int
    broken: str
    broken_at: datetime | None
    waiting: int


def vault_status() -> VaultStatus:
    """The vault as it stands, in four small queries; verifying it is the daily task's work."""
    head = VaultHead.objects.filter(pk=1).first()
    latest = VaultCheck.objects.order_by("-pk").first()
    held = VaultCheck.objects.filter(broken="").order_by("-pk").first()
    broken = latest is not None and latest.broken != ""
    return VaultStatus(
        events=head.sequence if head else 0,
        head=head.hash if head else GENESIS,
        verified_at=held.created_at if held else None,
        verified_to=held.sequence if held else 0,
        broken=latest.broken if latest else "",
        broken_at=latest.created_at if latest and broken else None,
        waiting=ServedDecision.objects.filter(vault_batch__isnull=True).count(),
    )
