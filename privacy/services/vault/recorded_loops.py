"""Record loops and their versions in the Trust Vault: whose people they share, and the text that sets bounds and rewards."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from loops.models import Loop, LoopVersion
from loops.services import loop_version_added
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.stored_rows import LOOP_VERSIONS, LOOPS


@receiver(loop_version_added)
def loop_version_record(version: LoopVersion, **signal: Any) -> None:
    """Record a version that was just stored, with its loop."""
    rows = LOOPS.entries(Loop.objects.filter(pk=version.loop_id))
    rows |= LOOP_VERSIONS.entries(LoopVersion.objects.filter(pk=version.pk))
    vault_append(kind=VaultKind.LOOP, body={"loop": str(version)}, rows=rows)
