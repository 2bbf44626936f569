"""Closing decisions at their deadline: each exactly once, whoever closes and however often they are killed.

A decision and its outcome are written by one transaction that holds the decision's row; on PostgreSQL several workers take
different rows (skip locked), on SQLite one after another.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from privacy.engine.outcomes import aggregate, harmful_of
from privacy.engine.sealing import unseal
from privacy.models import RewardEvent, RewardSignal, ServedDecision
from privacy.services.keys import data_keys_known
from privacy.services.outcomes import reward_about

CHUNK = 500


def outcomes_close(*, limit: int | None = None) -> int:
    """Close every decision whose deadline has passed (database clock), at most ``limit``; returns how many were."""
    closed = 0
    while limit is None or closed < limit:
        done = _chunk(CHUNK if limit is None else min(CHUNK, limit - closed))
        closed += done
        if not done:
            break
    return closed


@transaction.atomic
def _chunk(size: int) -> int:
    skip = connection.features.has_select_for_update_skip_locked
    due = list(
        ServedDecision.objects.filter(closed_at__isnull=True, closes_at__lte=Now())
        .select_for_update(of=("self",), skip_locked=skip)
        .select_related("decision__loop_version__loop")
        .order_by("closes_at")[:size]
    )
    if not due:
        return 0
    events: dict[int, list[RewardEvent]] = {}
    for event in RewardEvent.objects.filter(served__in=due, late=False).order_by("id"):
        events.setdefault(event.served_id, []).append(event)
    now = max(timezone.now(), *(served.closes_at for served in due))
    keys = data_keys_known({served.person_id for served in due if served.pk in events})
    outcomes = [_outcome(served, _opened(events.get(served.pk, []), keys.get(served.person_id)), now) for served in due]
    RewardSignal.objects.bulk_create([outcome for outcome in outcomes if outcome is not None])
    ServedDecision.objects.filter(pk__in=[served.pk for served in due]).update(closed_at=now)
    return len(due)


def _opened(events: list[RewardEvent], key: bytes | None) -> list[tuple[np.ndarray, bool | None]]:
    """Payload and label of each word. A person's key that is gone has taken their words with it."""
    if key is None:
        return []
    opened = (unseal(key, bytes(e.payload), reward_about(e.served_id, e.reward_key)) for e in events)
    return [(np.frombuffer(plain, dtype="<f8"), e.harmful) for plain, e in zip(opened, events, strict=True)]


def _outcome(served: ServedDecision, words: list[tuple[np.ndarray, bool | None]], now: datetime) -> RewardSignal | None:
    """The decision's outcome; None where nothing is to be said: unavailable, or nothing came and the loop has no default."""
    spec = served.decision.loop_version.spec
    payload = aggregate(spec, [payload for payload, _ in words], available=not served.unavailable)
    harmful = harmful_of([label for _, label in words])
    if np.isnan(payload).all() and harmful is None:
        return None
    return RewardSignal(decision_id=served.pk, payload=payload.astype("<f8").tobytes(), harmful=harmful, closed_at=now)
