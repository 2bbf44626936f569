"""Signals: what the app heard from a person. Each is kept once, a node of their memory graph; serving remembers the newest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from loops.engine.spec import LoopSpec
from loops.engine.values import feature_value
from loops.models import LoopVersion
from privacy.engine.canonical import canonical_bytes
from privacy.models import PrivacyBudget, Purpose, ServingState, Signal, SignalKind
from privacy.services.outcomes import digest
from r3al_project.common.errors import Conflict, Forbidden, InputError

Floats = npt.NDArray[np.float64]
LARGEST_BATCH = 500
_AHEAD = timedelta(minutes=5)  # a phone's clock may be wrong by so much
_TRIES = 20


@dataclass(frozen=True)
class Heard:
    """One signal as it was sent."""

    signal_id: str
    kind: str
    at: datetime
    values: dict[str, float | str]


@dataclass
class Intake:
    """What became of a batch; ``rejected``: index and reason."""

    added: int = 0
    unchanged: int = 0
    clamped: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


@transaction.atomic
def signals_add(*, loop_version: LoopVersion, person_id: int, heard: Sequence[Heard]) -> Intake:
    """Keep a batch of one person's signals, all good ones or, when the transaction fails, none; bad items are named and left out.

    Raises Forbidden without consent to personalization, InputError for a batch that is empty or too large.
    """
    if not 0 < len(heard) <= LARGEST_BATCH:
        raise InputError(f"a batch has 1 to {LARGEST_BATCH} signals, not {len(heard)}")
    budget = PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    if not budget.consent_mask & Purpose.PERSONALIZATION.bit:
        raise Forbidden("the person has not consented to personalization, so nothing may be kept of what they say")
    intake, fresh = Intake(), []
    for index, one in enumerate(heard):
        try:
            payload, clamped = _payload(loop_version.spec, one)
        except InputError as error:
            intake.rejected.append({"index": index, "id": one.signal_id[:100], "reason": str(error)})
            continue
        signal, new = _kept(loop_version, person_id, one, payload)
        if signal is None:
            intake.rejected.append(
                {"index": index, "id": one.signal_id[:100], "reason": "this id came with another content"}
            )
        elif new:
            intake.added += 1
            intake.clamped += clamped
            fresh.append((one.at, payload))
        else:
            intake.unchanged += 1
    if fresh:
        _remember(loop_version, person_id, sorted(fresh, key=lambda pair: pair[0]))
    return intake


def _payload(spec: LoopSpec, one: Heard) -> tuple[Floats, int]:
    if not 0 < len(one.signal_id) <= 100:
        raise InputError("id has 1 to 100 characters")
    if one.kind not in SignalKind.values:
        raise InputError(f"type {one.kind!r} is not known; it is one of {', '.join(SignalKind.values)}")
    if one.at.tzinfo is None:
        raise InputError("at needs an offset from UTC")
    if one.at > timezone.now() + _AHEAD:
        raise InputError("at lies in the future")
    if not one.values:
        raise InputError("values is empty")
    payload, clamped = np.full(len(spec.features), np.nan), 0
    for name, value in one.values.items():
        if name not in spec.feature_names:
            raise InputError(f"values.{name} is no feature of loop {spec.name!r}")
        i = spec.feature_names.index(name)
        payload[i], out = feature_value(spec, i, value)
        clamped += out
    return payload, clamped


def _kept(loop_version: LoopVersion, person_id: int, one: Heard, payload: Floats) -> tuple[Signal | None, bool]:
    content = digest("signal", canonical_bytes({"kind": one.kind, "at": one.at.isoformat(), "values": one.values}))
    signal, new = Signal.objects.get_or_create(
        person_id=person_id,
        signal_key=digest("signal id", one.signal_id),
        defaults={
            "loop_version": loop_version,
            "kind": one.kind,
            "content_key": content,
            "observed_at": one.at,
            "payload": payload.astype("<f8").tobytes(),
        },
    )
    return (signal if bytes(signal.content_key) == content else None), new


def _remember(loop_version: LoopVersion, person_id: int, fresh: Sequence[tuple[datetime, Floats]]) -> None:
    """Newer values over older ones, unless serving has heard something newer; moved only from the version that was read."""
    for _ in range(_TRIES):
        state, _new = ServingState.objects.get_or_create(
            person_id=person_id,
            loop_id=loop_version.loop_id,
            defaults={"memory": np.full(len(loop_version.spec.features), np.nan).astype("<f8").tobytes(), "version": 1},
        )
        memory, newest = np.frombuffer(state.memory, dtype="<f8").copy(), state.observed_at
        for at, payload in fresh:
            if newest is None or at >= newest:
                memory, newest = np.where(np.isnan(payload), memory, payload), at
            else:
                memory = np.where(np.isnan(memory), payload, memory)
        moved = ServingState.objects.filter(pk=state.pk, version=state.version).update(
            memory=memory.astype("<f8").tobytes(), observed_at=newest, version=F("version") + 1
        )
        if moved:
            return
    raise Conflict("the person's state kept changing meanwhile; send the batch again")
