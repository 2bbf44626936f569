"""Record evidence about deployed versions: one row for each person and epoch, written once their window is closed.

Epochs belong to the slot's last deployment. Outcomes from before it are not evidence, because they are from another time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from core.arrays import Floats
from deployments.models import Deployment, EvidenceUnit, ServingSlot
from deployments.selectors.health import EPOCH, epoch_number, epochs_begun, last_deployment
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS
from loops.engine.spec import LoopSpec
from loops.selectors import loop_version_current
from privacy.engine.sealing import CannotOpen, Cipher, about_outcome
from privacy.models import Choice
from privacy.selectors.keys import ciphers_known
from privacy.services.people.data_keys import keys_held
from training.models import ModelVersion

log = logging.getLogger(__name__)
_EMPATHY = 1 + COMPONENTS.index("empathy")
_PEOPLE = 2_000  # most people recorded for one epoch at once
_FACTS = (
    "decision__person_id", "decision__decided_at", "action", "decision__row_key", "decision__outcome__payload",
    "decision__outcome__harmful",
)  # fmt: skip


def evidence_fold(*, slot: ServingSlot, version: ModelVersion) -> int:
    """Write the evidence units of people whose window under ``version`` has closed.

    A window starts with the person's first exposure in the epoch and lasts the loop's reward deadline. Its last outcome closes
    one deadline later. Fallbacks and explored choices are left out: the version did not cause them, and they would not end with
    it. Several workers may record at once or be killed at any point, because a unit is unique and uses closed outcomes only.

    Returns: the number of new units.
    """
    spec = loop_version_current(slot.loop.name).spec
    deployment = last_deployment(slot)
    if deployment is None:
        return 0
    begun = epochs_begun(deployment)
    return sum(_fold_epoch(slot, version, spec, deployment, epoch) for epoch in range(max(0, begun - 2), begun))


def _fold_epoch(slot: ServingSlot, version: ModelVersion, spec: LoopSpec, deployment: Deployment, epoch: int) -> int:
    window = timedelta(seconds=spec.reward.deadline_seconds)
    first_day, number = deployment.created_at + epoch * EPOCH, epoch_number(deployment, epoch)
    chosen = Choice.objects.filter(
        head=slot.head,
        version=version.pk,
        fallback="",
        explored=False,
        decision__served__isnull=False,
        decision__decided_at__gte=first_day,
        decision__decided_at__lt=first_day + EPOCH,
    )
    known = EvidenceUnit.objects.filter(slot=slot, version=version, epoch=number).values("data_key_id")
    exposed = chosen.exclude(decision__person_id__in=known).values_list("decision__person_id")
    firsts_seen = exposed.annotate(first=Min("decision__decided_at")).filter(first__lt=timezone.now() - 2 * window)
    due = list(firsts_seen.order_by("first")[:_PEOPLE])
    still_open = set(
        chosen.filter(decision__person_id__in=[p for p, _ in due], decision__served__closed_at__isnull=True,
                      decision__decided_at__lt=timezone.now() - window).values_list("decision__person_id", flat=True)
    )  # fmt: skip
    firsts = {person: first for person, first in due if person not in still_open}
    units = list(_units(slot, version, spec, number, firsts, window, chosen))
    in_order = sorted(units, key=lambda unit: (unit.first_exposed_at, unit.data_key_id))
    with transaction.atomic():
        held = keys_held([unit.data_key_id for unit in in_order])  # nothing is stored about a person being erased
        stored = [unit for unit in in_order if unit.data_key_id in held]
        return len(EvidenceUnit.objects.bulk_create(stored, ignore_conflicts=True))


def _units(
    slot: ServingSlot, version: ModelVersion, spec: LoopSpec, epoch: int, firsts: dict[int, datetime], window: timedelta,
    chosen: Any,
) -> Iterable[EvidenceUnit]:  # fmt: skip
    keys = ciphers_known(list(firsts))
    reference = spec.head(slot.head).reference_index if slot.head == MAIN_HEAD else None
    rows = (
        chosen.filter(decision__person_id__in=keys)
        .order_by("decision__person_id", "decision__decided_at")
        .values_list(*_FACTS)
    )
    for person, group in groupby(rows.iterator(chunk_size=5_000), key=lambda row: row[0]):
        first = firsts[person]
        in_window = [_opened(keys[person], person, *row[2:]) for row in group if row[1] <= first + window]
        yield EvidenceUnit(
            slot=slot, version=version, data_key_id=person, epoch=epoch, first_exposed_at=first, closes_at=first + 2 * window,
            **_sums(in_window, reference),
        )  # fmt: skip


def _opened(
    cipher: Cipher, person: int, action: int, row_key: bytes, sealed: bytes | None, harmful: bool | None
) -> tuple[int, Floats | None, bool | None]:
    """Return a choice with its outcome's numbers, or None if there are none.

    A damaged outcome gives None too, because it must not stop the health check.
    """
    if sealed is None:
        return action, None, harmful
    try:
        payload = cipher.open(bytes(sealed), about_outcome(person, row_key))
    except CannotOpen:
        log.error("an outcome of person %s cannot be opened and is left out of the evidence", person)
        return action, None, harmful
    return action, np.frombuffer(payload, dtype="<f8"), harmful


def _sums(rows: Sequence[tuple[int, Floats | None, bool | None]], reference: int | None) -> dict[str, Any]:
    """Add up a person's choices and outcomes.

    ``reference`` is the action that does not intervene. None means that every choice counts as an intervention, as it does for
    heads other than policy.
    """
    out = {
        "decisions": len(rows),
        "interventions": 0,
        "rated": 0,
        "empathy_sum": 0.0,
        "harmful": 0,
        "rewarded": 0,
        "reward_sum": 0.0,
    }
    for action, payload, harmful in rows:
        intervened = action != reference
        out["interventions"] += intervened
        out["harmful"] += bool(intervened and harmful)
        if payload is not None and intervened and np.isfinite(payload[_EMPATHY]):
            out["rated"] += 1
            out["empathy_sum"] += float(np.clip(payload[_EMPATHY], 0.0, 1.0))
        if payload is not None and np.isfinite(payload[0]):
            out["rewarded"] += 1
            out["reward_sum"] += float(payload[0])
    return out
