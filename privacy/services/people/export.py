"""Everything that is kept of a person, for that person: opened, in names instead of numbers, as plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from loops.engine.reward import COMPONENTS
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import NANO
from privacy.engine.sealing import Cipher, about_memory, about_outcome, about_reward, about_signal
from privacy.engine.serving_state import unpack_serving_state
from privacy.models import (
    Choice,
    Consent,
    Decision,
    LedgerEntry,
    Person,
    PersonAccount,
    RewardEvent,
    RewardSignal,
    ServingState,
    Signal,
    VaultEvent,
)
from privacy.models.person import FOLDS
from privacy.selectors.budgets import budget_summary
from privacy.selectors.keys import ciphers_known, state_of
from privacy.services.vault.append import subject_of

_TOTAL = ("total", *COMPONENTS)
PersonExport = dict[str, Any]


def person_export(person: Person) -> PersonExport:
    """All of it; every time is UTC."""
    cipher = ciphers_known([person.pk]).get(person.pk)
    return {
        "consents": [_consent(c) for c in Consent.objects.filter(person=person).order_by("pk")],
        "privacyBudget": budget_summary(person.budget),
        "logins": [{"since": a.created_at} for a in PersonAccount.objects.filter(person=person)],
        "cohort": _cohort(person),
        "usedFor": [
            _use(e) for e in LedgerEntry.objects.filter(person=person).select_related("release").order_by("pk")
        ],
        **({"signals": [], "decisions": [], "remembered": []} if cipher is None else _opened(person, cipher)),
        "vault": my_events(person),
    }


def _opened(person: Person, cipher: Cipher) -> PersonExport:
    """What is sealed. Who has no key has nothing that is."""
    states = ServingState.objects.filter(person=person).select_related("loop")
    return {
        "signals": [_signal(s, cipher) for s in _signals(person)],
        "decisions": [_decision(d, cipher) for d in _decisions(person)],
        "remembered": [_remembered(s, cipher) for s in states],
    }


def my_events(person: Person) -> list[PersonExport]:
    """The vault's events about a person alone: consents, budget changes, erasure."""
    events = VaultEvent.objects.filter(subject=subject_of(person)).order_by("sequence")
    return [{"sequence": e.sequence, "kind": e.kind, "at": e.at, "what": e.body, "hash": e.hash} for e in events]


def _signals(person: Person) -> Any:
    return Signal.objects.filter(person=person).select_related("loop_version__loop").order_by("pk")


def _decisions(person: Person) -> Any:
    found = Decision.objects.filter(person=person).select_related("loop_version__loop", "served", "outcome")
    return found.prefetch_related("choices", "served__rewards").order_by("pk")


def _consent(act: Consent) -> PersonExport:
    return {
        "purpose": act.purpose,
        "granted": act.granted,
        "text": act.text_version,
        "from": act.source,
        "at": act.created_at,
    }


def _cohort(person: Person) -> PersonExport:
    """Where a keyed hash of the identifier put the person: into some loops' evaluation, into others' training."""
    return {"fold": person.fold, "of": FOLDS, "population": person.population, "since": person.created_at}


def _use(entry: LedgerEntry) -> PersonExport:
    release = entry.release
    return {
        "release": release.pk, "state": release.state, "purpose": release.purpose, "technique": release.technique,
        "at": release.created_at, "policyUnits": entry.policy_cost / NANO, "guarantee": release.guarantee,
    }  # fmt: skip


def _signal(signal: Signal, cipher: Cipher) -> PersonExport:
    plain = cipher.open(bytes(signal.payload), about_signal(signal.person_id, signal.signal_key))
    values = state_named(signal.loop_version.spec, np.frombuffer(plain, dtype="<f8").tolist())
    return {"loop": signal.loop_version.loop.name, "type": signal.kind, "at": signal.observed_at, "values": values}


def _decision(decision: Decision, cipher: Cipher) -> PersonExport:
    spec, place = decision.loop_version.spec, (decision.person_id, decision.row_key)
    served, outcome = getattr(decision, "served", None), getattr(decision, "outcome", None)
    words = served.rewards.all() if served else ()
    return {
        "loop": spec.name,
        "at": decision.decided_at,
        "decisionId": served.public_id if served else None,
        "state": state_named(spec, state_of(decision, cipher).tolist()),
        "actions": {c.head: _choice(spec, c) for c in decision.choices.all()},
        "unavailable": served.unavailable or None if served else None,
        "shown": served.activated_at if served else None,
        "rewards": [_word(event, cipher) for event in words],
        "outcome": None
        if outcome is None
        else _settled(outcome, cipher.open(bytes(outcome.payload), about_outcome(*place))),
    }


def _choice(spec: LoopSpec, choice: Choice) -> PersonExport:
    return {
        "action": spec.head(choice.head).actions[choice.action], "drawn": choice.explored, "propensity": choice.propensity,
        "marginalPropensity": choice.marginal_propensity, "version": choice.version,
    }  # fmt: skip


def _settled(outcome: RewardSignal, payload: bytes) -> PersonExport:
    return {
        "closedAt": outcome.closed_at,
        "harmful": outcome.harmful,
        "usedBy": outcome.release_id,
        **_numbers(payload),
    }


def _word(event: RewardEvent, cipher: Cipher) -> PersonExport:
    plain = cipher.open(bytes(event.payload), about_reward(event.served_id, event.reward_key))
    return {"at": event.created_at, "late": event.late, "harmful": event.harmful, **_numbers(plain)}


def _numbers(payload: bytes) -> PersonExport:
    values = np.frombuffer(payload, dtype="<f8").tolist()
    return {name: value for name, value in zip(_TOTAL, values, strict=True) if value == value}


def _remembered(state: ServingState, cipher: Cipher) -> PersonExport:
    version = state.loop.versions.order_by("-version").first()
    stored = cipher.open(bytes(state.memory), about_memory(state.person_id, state.loop_id)) if state.memory else b""
    heard, known = unpack_serving_state(version.spec, stored) if version else (None, None)
    return {
        "loop": state.loop.name, "at": state.observed_at,
        "values": state_named(version.spec, heard) if version and heard else {},
        "atLastDecision": state_named(version.spec, known) if version and known else {},
        "lastDecision": state.last_decision_at, "lastIntervention": state.last_intervention_at,
        "interventionsThatDay": state.interventions_today, "day": state.local_day,
    }  # fmt: skip


def state_named(spec: LoopSpec, state: Sequence[float]) -> PersonExport:
    """Known features by name, a category by its own."""
    return {
        f.name: f.categories[int(v)] if f.is_category else float(v)
        for f, v in zip(spec.features, state, strict=True)
        if v == v
    }
