"""Reckon what an erasure or an expiry takes away, so that the Trust Vault can tell it from a row that somebody deleted."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection
from django.db.models import QuerySet

from privacy.models import Decision, ExportKey, ReleaseRound, RewardSignal, ServedDecision
from privacy.services.vault.sealed_decisions import batch_rows, decision_leaves
from privacy.services.vault.stored_rows import EMPTIED, IMPORTED_DECISIONS, OUTCOMES, OUTCOMES_READ

SERVED = "served"  # the sum of the leaves of served decisions that were sealed, and deleted since


def removed_sums(decisions: QuerySet[Decision]) -> dict[str, int]:
    """Return the sums of an event that deletes these decisions with their outcomes. Call it before their data keys are gone."""
    sealed = decisions.filter(served__vault_batch__isnull=False).values_list("pk", flat=True)
    leaves = decision_leaves(batch_rows(sealed))
    outcomes = outcomes_lock(RewardSignal.objects.filter(decision__in=decisions.values("pk")))
    return {
        SERVED: sum(int.from_bytes(leaf, "big") for leaf in leaves.values()),
        IMPORTED_DECISIONS.name: -IMPORTED_DECISIONS.total(decisions.filter(served__isnull=True)),
        OUTCOMES.name: -OUTCOMES.total(outcomes),
        OUTCOMES_READ.name: -OUTCOMES_READ.total(outcomes.filter(release__isnull=False)),
    }


def outcomes_lock(outcomes: QuerySet[RewardSignal]) -> QuerySet[RewardSignal]:
    """Lock outcomes, so that their digests are those of the rows that the caller changes. Returns the outcomes."""
    for _ in outcomes.order_by("pk").select_for_update(of=("self",)).values_list("pk").iterator(chunk_size=10_000):
        pass
    return outcomes


def exports_empty(rounds: QuerySet[ReleaseRound]) -> tuple[int, int]:
    """Empty the rows of exports and destroy their keys. Returns how many, and the sum of their digests for the event."""
    full = rounds.exclude(output=b"").order_by("pk").select_for_update(no_key=True)
    pks = list(full.values_list("pk", flat=True))
    chosen = ReleaseRound.objects.filter(pk__in=pks)
    emptied = EMPTIED.total(chosen)
    ExportKey.objects.filter(pk__in=pks).delete()
    return chosen.update(output=b""), emptied


def free_decisions(pks: Sequence[int]) -> list[int]:
    """Lock the decisions among ``pks``, and their rows of serving and outcome, that no other transaction holds."""
    if not connection.features.has_select_for_update_skip_locked:
        return list(pks)
    wanted = set(pks)
    for rows, column in (
        (ServedDecision.objects.filter(pk__in=wanted), "pk"),
        (Decision.objects.filter(pk__in=wanted), "pk"),
        (RewardSignal.objects.filter(decision__in=wanted), "decision_id"),
    ):
        present = set(rows.values_list(column, flat=True))
        locked = set(rows.select_for_update(skip_locked=True, of=("self",)).values_list(column, flat=True))
        wanted -= present - locked
    return sorted(wanted)
