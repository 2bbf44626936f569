"""Export everything stored about a person, for that person: rows with opened payloads and features by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import QuerySet

from loops.engine.reward import COMPONENTS
from loops.engine.spec import LoopSpec
from privacy.engine.sealing import Cipher, about_outcome, about_reward, about_serving_state, about_signal
from privacy.engine.serving_state import unpack_serving_state
from privacy.models import (
    Consent,
    Decision,
    LedgerEntry,
    Person,
    PersonAccount,
    RewardEvent,
    ServingState,
    Signal,
    VaultEvent,
)
from privacy.selectors.keys import ciphers_known, state_of
from privacy.services.vault.append import subject_of

_TOTAL = ("total", *COMPONENTS)
Features = dict[str, float | str]


@dataclass(frozen=True)
class OpenedSignal:
    """A signal with the features that it gives."""

    signal: Signal
    values: Features


@dataclass(frozen=True)
class OpenedReward:
    """A reward event with its ``numbers``: the total and the given components, by name."""

    event: RewardEvent
    numbers: dict[str, float]


@dataclass(frozen=True)
class OpenedDecision:
    """A decision with its state and its reward events. ``outcome`` holds total and components once it is closed, else None."""

    decision: Decision
    state: Features
    rewards: Sequence[OpenedReward]
    outcome: dict[str, float] | None


@dataclass(frozen=True)
class OpenedServingState:
    """A serving state in one loop: the newest value of each feature, and the state at the last decision."""

    row: ServingState
    values: Features
    at_last_decision: Features


@dataclass(frozen=True)
class PersonExport:
    """Everything stored about a person. A person without a data key has no sealed records."""

    person: Person
    consents: Sequence[Consent]
    logins: Sequence[PersonAccount]
    charges: Sequence[LedgerEntry]
    signals: Sequence[OpenedSignal]
    decisions: Sequence[OpenedDecision]
    serving_states: Sequence[OpenedServingState]
    events: Sequence[VaultEvent]


def person_export(person: Person) -> PersonExport:
    """Read and open everything stored about a person. All times are UTC."""
    cipher = ciphers_known([person.pk]).get(person.pk)
    charges = LedgerEntry.objects.filter(person=person).select_related("release").order_by("pk")
    states = ServingState.objects.filter(person=person).select_related("loop")
    return PersonExport(
        person=person,
        consents=list(Consent.objects.filter(person=person).order_by("pk")),
        logins=list(PersonAccount.objects.filter(person=person)),
        charges=list(charges),
        signals=[] if cipher is None else [_signal(s, cipher) for s in _signals(person)],
        decisions=[] if cipher is None else [_decision(d, cipher) for d in _decisions(person)],
        serving_states=[] if cipher is None else [_serving_state(s, cipher) for s in states],
        events=list(vault_events_of(person)),
    )


def vault_events_of(person: Person) -> QuerySet[VaultEvent]:
    """Return the Trust Vault's events about this person alone: consents, budget changes, erasure."""
    return VaultEvent.objects.filter(subject=subject_of(person)).order_by("sequence")


def _signals(person: Person) -> QuerySet[Signal]:
    return Signal.objects.filter(person=person).select_related("loop_version__loop").order_by("pk")


def _decisions(person: Person) -> QuerySet[Decision]:
    decisions = Decision.objects.filter(person=person).select_related("loop_version__loop", "served", "outcome")
    return decisions.prefetch_related("choices", "served__rewards").order_by("pk")


def _signal(signal: Signal, cipher: Cipher) -> OpenedSignal:
    plain = cipher.open(bytes(signal.payload), about_signal(signal.person_id, signal.signal_key))
    return OpenedSignal(signal, state_named(signal.loop_version.spec, np.frombuffer(plain, dtype="<f8").tolist()))


def _decision(decision: Decision, cipher: Cipher) -> OpenedDecision:
    served, outcome = getattr(decision, "served", None), getattr(decision, "outcome", None)
    about = about_outcome(decision.person_id, decision.row_key)
    return OpenedDecision(
        decision,
        state=state_named(decision.loop_version.spec, state_of(decision, cipher).tolist()),
        rewards=[_reward(event, cipher) for event in served.rewards.all()] if served else [],
        outcome=None if outcome is None else _numbers(cipher.open(bytes(outcome.payload), about)),
    )


def _reward(event: RewardEvent, cipher: Cipher) -> OpenedReward:
    plain = cipher.open(bytes(event.payload), about_reward(event.served_id, event.reward_key))
    return OpenedReward(event, _numbers(plain))


def _numbers(payload: bytes) -> dict[str, float]:
    values = np.frombuffer(payload, dtype="<f8").tolist()
    return {name: value for name, value in zip(_TOTAL, values, strict=True) if value == value}


def _serving_state(row: ServingState, cipher: Cipher) -> OpenedServingState:
    version = row.loop.versions.order_by("-version").first()
    if version is None or not row.memory:
        return OpenedServingState(row, {}, {})
    stored = cipher.open(bytes(row.memory), about_serving_state(row.person_id, row.loop_id))
    parts = unpack_serving_state(version.spec, stored)
    newest, at_decision = ({} if part is None else state_named(version.spec, part) for part in parts)
    return OpenedServingState(row, newest, at_decision)


def state_named(spec: LoopSpec, state: Sequence[float]) -> Features:
    """Return the known features of a state (F,) by name, with categories as their names."""
    return {
        f.name: f.categories[int(v)] if f.is_category else float(v)
        for f, v in zip(spec.features, state, strict=True)
        if v == v
    }
