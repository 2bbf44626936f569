"""Close decisions at their deadline, each exactly once, also with concurrent or killed workers.

One transaction locks the decision's row, closes the decision and writes its outcome. On PostgreSQL several workers take different
rows (skip locked). On SQLite they run one after another.
"""

from __future__ import annotations

import logging
from datetime import datetime

import numpy as np
from django.db import connection, transaction

from core import clock
from core.arrays import Floats
from jobs.leases import from_now
from privacy.engine.dp.coarse_counts import never_hidden
from privacy.engine.hash_chain import digests_sum
from privacy.engine.outcomes import aggregate, harmful_of
from privacy.engine.sealing import CannotOpen, Cipher, about_outcome, about_reward
from privacy.models import RewardEvent, RewardSignal, ServedDecision, VaultKind
from privacy.selectors.keys import ciphers_known
from privacy.services.vault.append import vault_append
from privacy.services.vault.stored_rows import OUTCOMES

log = logging.getLogger(__name__)
CLOSE_CHUNK = 500


def outcomes_close(*, limit: int | None = None) -> int:
    """Close decisions whose deadline has passed by the database clock, at most ``limit``. Returns how many were closed."""
    closed = 0
    while limit is None or closed < limit:
        chunk = _close_chunk(CLOSE_CHUNK if limit is None else min(CLOSE_CHUNK, limit - closed))
        closed += chunk
        if not chunk:
            break
    return closed


@transaction.atomic
def _close_chunk(size: int) -> int:
    skip = connection.features.has_select_for_update_skip_locked
    due = list(
        ServedDecision.objects.filter(
            closed_at__isnull=True, closes_at__lte=from_now(-clock.set_back_by().total_seconds())
        )
        .select_for_update(of=("self",), skip_locked=skip)
        .select_related("decision__loop_version__loop")
        .order_by("closes_at")[:size]
    )
    if not due:
        return 0
    events: dict[int, list[RewardEvent]] = {}
    for event in RewardEvent.objects.filter(served__in=due, late=False).order_by("id"):
        events.setdefault(event.served_id, []).append(event)
    now = max(clock.now(), *(served.closes_at for served in due))
    # A person without a key is being erased, and that erasure waits for these rows.
    keys = ciphers_known({served.person_id for served in due})
    outcomes = [
        _outcome(served, events.get(served.pk, []), keys[served.person_id], now)
        for served in due
        if served.person_id in keys
    ]
    made = RewardSignal.objects.bulk_create([outcome for outcome in outcomes if outcome is not None])
    ServedDecision.objects.filter(pk__in=[served.pk for served in due]).update(closed_at=now)
    if made:
        added = digests_sum(map(OUTCOMES.digest, made))
        vault_append(kind=VaultKind.OUTCOMES, body={"outcomes": never_hidden(len(made))}, sums={OUTCOMES.name: added})
    return len(due)


def _outcome(served: ServedDecision, events: list[RewardEvent], cipher: Cipher, now: datetime) -> RewardSignal | None:
    """Return the decision's outcome, or None where no event gives one and the loop's default does not apply."""
    decision, opened = served.decision, [_opened(event, cipher) for event in events]
    payloads = [payload for payload in opened if payload is not None]
    payload = aggregate(decision.loop_version.spec, payloads, available=not served.unavailable)
    harmful = harmful_of([event.harmful for event in events])
    if np.isnan(payload).all() and harmful is None:
        return None
    sealed = cipher.seal(payload.astype("<f8").tobytes(), about_outcome(decision.person_id, decision.row_key))
    return RewardSignal(
        decision=decision,
        payload=sealed,
        harmful=harmful,
        has_reward=bool(np.isfinite(payload[0])),
        closed_at=now,
    )


def _opened(event: RewardEvent, cipher: Cipher) -> Floats | None:
    """Open an event's payload (7,). A damaged one is logged and gives None, so that it does not stop closing."""
    try:
        plain = cipher.open(bytes(event.payload), about_reward(event.served_id, event.reward_key))
    except CannotOpen:
        log.error("reward event %s cannot be opened, so its decision closes without it", event.pk)
        return None
    return np.frombuffer(plain, dtype="<f8")
