"""Record turns in the Trust Vault: what was asked for, who asked, and how each ended."""

from __future__ import annotations

from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.record_checks import check_register
from privacy.services.vault.stored_rows import StoredRows
from r3al_project.turns.models import Turn

TURNS = StoredRows(
    "turn",
    ("pk", "created_at", "loop_id", "loop_version_id", "parameters", "actor", "outcome", "reason", "finished_at"),
    lambda: Turn.objects.all(),
    is_named=True,
)
check_register(TURNS)


def turn_record(turn: Turn, state: str, actor: str) -> None:
    """Record what became of a turn, and who did it. Of its reason, which is free text, the event holds a digest alone."""
    body = {"turn": turn.pk, "loop": str(turn.loop_version), "state": str(state), "actor": actor}
    vault_append(kind=VaultKind.TURN, body=body, rows=TURNS.entries(Turn.objects.filter(pk=turn.pk)))
