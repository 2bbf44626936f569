"""What comes back about a decision: that it was shown, and rewards. Each word is kept once; late ones are kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.utils import timezone

from core.arrays import Floats
from core.canonical_json import equal_numbers_json
from core.digests import REWARD_CONTENT, REWARD_ID, keyed
from core.errors import InputError, NotFound
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS, INPUTS
from loops.engine.spec import LoopSpec
from privacy.engine.outcomes import harms, largest_total, payload_of_components, payload_of_inputs, payload_of_total
from privacy.engine.sealing import Cipher, about_reward
from privacy.models import RewardEvent, ServedDecision
from privacy.selectors.keys import state_of
from privacy.services.people.authentication import Caller, PersonRow, may_act_for, own_person_id
from privacy.services.people.data_keys import ciphers

_NOBODYS = "there is no such decision of this person; use the decisionId of an answer"


@dataclass(frozen=True)
class RewardInput:
    """One reward as it was sent: at most one of total, components and inputs, perhaps a label; ``reward_id`` marks retries."""

    reward_id: str
    total: float | None = None
    components: dict[str, float] | None = None
    inputs: dict[str, float] | None = None
    label: str | None = None


@dataclass(frozen=True)
class RewardReceipt:
    """What became of a word."""

    new: bool
    late: bool


@transaction.atomic
def decision_activate(*, caller: Caller, public_id: UUID, user_id: str | None, at: datetime | None) -> ServedDecision:
    """Note that the device showed the decision, at ``at`` if that lies between the decision and now; the first time counts.

    Raises NotFound for a decision that is not the caller's, Forbidden for a caller that can have none.
    """
    served = _locked(_mine(caller, public_id, user_id))
    if served.activated_at is None:
        now = timezone.now()
        served.activated_at = min(max(at, served.decision.decided_at), now) if at else now
        ServedDecision.objects.filter(pk=served.pk).update(activated_at=served.activated_at)
    return served


@transaction.atomic
def reward_add(*, caller: Caller, public_id: UUID, user_id: str | None, word: RewardInput) -> RewardReceipt:
    """Keep a word about a decision. In time until the decision's deadline; afterwards it is kept as late and never learned.

    The decision's row is locked, so that a word is either in the outcome or late, also while it is being closed. Raises NotFound
    for a decision that is not the caller's, InputError for a word that cannot be used or an id that came with another body.
    """
    served = _mine(caller, public_id, user_id)
    cipher = ciphers([served.person_id])[served.person_id]
    served = _locked(served)
    payload = _payload(served, word, cipher)
    key, content = keyed(REWARD_ID, word.reward_id), keyed(REWARD_CONTENT, equal_numbers_json(_facts(word)))
    before = RewardEvent.objects.filter(served=served, reward_key=key).first()
    if before is not None:
        if bytes(before.content_key) != content:
            raise InputError("this rewardId was used with another body; use a new one for a new word")
        return RewardReceipt(new=False, late=before.late)
    late = served.closed_at is not None or timezone.now() > served.closes_at
    spec = served.decision.loop_version.spec
    RewardEvent.objects.create(
        served=served,
        reward_key=key,
        content_key=content,
        payload=cipher.seal(payload.astype("<f8").tobytes(), about_reward(served.pk, key)),
        harmful=None if word.label is None else harms(spec, word.label),
        late=late,
    )
    return RewardReceipt(new=True, late=late)


def _mine(caller: Caller, public_id: UUID, user_id: str | None) -> ServedDecision:
    """The decision if it is the caller's; whether somebody else's exists is not said, nor by another status."""
    own_person_id(caller, user_id)  # raises Forbidden for who can have no decision
    found = ServedDecision.objects.select_related("decision__loop_version__loop", "person")
    served = found.filter(public_id=public_id).first()
    if served is None:
        raise NotFound(_NOBODYS)
    person = PersonRow(served.person_id, served.person.population, served.person.key)
    if not may_act_for(caller, person, user_id=user_id, population=person.population):
        raise NotFound(_NOBODYS)
    return served


def _locked(served: ServedDecision) -> ServedDecision:
    """The decision as it stands once its row is ours. Raises NotFound when it was erased meanwhile."""
    try:
        served.refresh_from_db(
            fields=["activated_at", "closed_at"], from_queryset=ServedDecision.objects.select_for_update()
        )
    except ServedDecision.DoesNotExist:
        raise NotFound(_NOBODYS) from None
    return served


def _payload(served: ServedDecision, word: RewardInput, cipher: Cipher) -> Floats:
    spec = served.decision.loop_version.spec
    if not 0 < len(word.reward_id) <= 100:
        raise InputError("rewardId has 1 to 100 characters")
    if word.label is not None and not 0 < len(word.label) <= 40:
        raise InputError("label has 1 to 40 characters")
    given = [name for name in ("total", "components", "inputs") if getattr(word, name) is not None]
    if len(given) > 1 or (not given and word.label is None):
        raise InputError("give one of total, components and inputs, or a label")
    if word.total is not None:
        return payload_of_total(_total(spec, word.total))
    if word.components is not None:
        return payload_of_components(spec, _numbers("components", word.components, COMPONENTS))
    if word.inputs is not None:
        choice = served.decision.choices.filter(head=MAIN_HEAD).first()
        state = state_of(served.decision, cipher)
        inputs = _numbers("inputs", word.inputs, INPUTS)
        return payload_of_inputs(spec, inputs, state=state, action=choice.action if choice else None)
    return payload_of_total(float("nan"))


def _total(spec: LoopSpec, total: float) -> float:
    largest = largest_total(spec)
    if not abs(total) <= largest:
        raise InputError(f"total is {total:g}; under this loop it lies within -{largest:g} and {largest:g}")
    return total


def _numbers(what: str, given: dict[str, float], known: tuple[str, ...]) -> dict[str, float]:
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{what}.{name} is not known; there are {', '.join(known)}")
        if not np.isfinite(value) or abs(value) > 1e9:
            raise InputError(f"{what}.{name} is {value:g}; it takes a finite number")
    if not given:
        raise InputError(f"{what} is empty; leave it out or give one of {', '.join(known)}")
    return given


def _facts(word: RewardInput) -> dict[str, Any]:
    return {"total": word.total, "components": word.components, "inputs": word.inputs, "label": word.label}
