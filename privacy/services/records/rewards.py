"""Record that a decision was shown, and its reward events. Each event is stored once; late ones are marked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction

from core import clock
from core.arrays import Floats
from core.canonical_json import equal_numbers_json
from core.digests import REWARD_CONTENT, REWARD_ID, keyed
from core.errors import InputError, KeyReused, NotFound, NothingToShow, TooManyRewards
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS, INPUTS, largest_total
from loops.engine.spec import LoopSpec
from privacy.engine.outcomes import components_beyond, harms, payload_of_components, payload_of_inputs, payload_of_total
from privacy.engine.sealing import Cipher, about_reward
from privacy.models import RewardEvent, ServedDecision
from privacy.selectors.keys import state_of
from privacy.services.people.authentication import Caller, PersonRow, may_act_for, own_person_id
from privacy.services.people.consent import personalization_check
from privacy.services.people.data_keys import cipher_after_erasure

MOST_REWARDS = 100  # of one decision; an outcome is one number, and every event is read when it closes
LONGEST_REWARD_ID, LONGEST_LABEL = 100, 40
_NO_DECISION = "there is no such decision of this person; use the decisionId of an answer"


@dataclass(frozen=True)
class RewardInput:
    """One reward event as sent: at most one of total, components and inputs, and optionally a label.

    ``reward_id`` identifies retries.
    """

    reward_id: str
    total: float | None = None
    components: dict[str, float] | None = None
    inputs: dict[str, float] | None = None
    label: str | None = None


@dataclass(frozen=True)
class RewardReceipt:
    """The result of adding a reward event: whether it was new, and whether it came after the deadline.

    ``clamped`` names the components that were moved to their bounds.
    """

    new: bool
    late: bool
    clamped: tuple[str, ...] = ()


@transaction.atomic
def decision_activate(*, caller: Caller, public_id: UUID, user_id: str | None, at: datetime | None) -> ServedDecision:
    """Record when the device showed the decision. The first report counts.

    ``at`` is clamped between the time of the decision and now. A decision that was shown after its expiry is recorded too,
    because it was shown. Raises NotFound for a decision that is not the caller's, NothingToShow for a person who was unavailable,
    and Forbidden for a caller who cannot have decisions and without the person's consent to personalization.
    """
    served = _own_decision(caller, public_id, user_id)
    personalization_check(served.person_id, "their decisions cannot be recorded as shown")
    served = _locked(served)
    if served.unavailable:
        raise NothingToShow(
            f"the person was not available ({served.unavailable}), so this decision has nothing to show; drop this report"
        )
    if served.activated_at is None:
        now = clock.now()
        served.activated_at = min(max(at, served.decision.decided_at), now) if at else now
        ServedDecision.objects.filter(pk=served.pk).update(activated_at=served.activated_at)
    return served


@transaction.atomic
def reward_add(*, caller: Caller, public_id: UUID, user_id: str | None, reward: RewardInput) -> RewardReceipt:
    """Store a reward event of a decision. After the decision's deadline it is marked late and never used for training.

    The decision's row is locked, so that an event is either part of the outcome or late, also while the decision is being closed.
    Raises NotFound for a decision that is not the caller's, InputError for an invalid event or an id used with another body,
    TooManyRewards, and Forbidden without the person's consent to personalization.
    """
    served = _own_decision(caller, public_id, user_id)
    cipher = cipher_after_erasure(served.person_id)
    personalization_check(served.person_id, "their rewards cannot be stored")
    served = _locked(served)
    payload, clamped = _payload(served, reward, cipher), components_beyond(reward.components or {})
    key, content = keyed(REWARD_ID, reward.reward_id), keyed(REWARD_CONTENT, equal_numbers_json(_facts(reward)))
    before = RewardEvent.objects.filter(served=served, reward_key=key).first()
    if before is not None:
        if bytes(before.content_key) != content:
            raise KeyReused("this rewardId was used with another body; use a new rewardId for a new reward")
        return RewardReceipt(new=False, late=before.late, clamped=clamped)
    if RewardEvent.objects.filter(served=served).count() >= MOST_REWARDS:
        raise TooManyRewards(f"this decision has {MOST_REWARDS} rewards, which is the most; drop this report")
    late = served.closed_at is not None or clock.now() > served.closes_at
    spec = served.decision.loop_version.spec
    RewardEvent.objects.create(
        served=served,
        reward_key=key,
        content_key=content,
        payload=cipher.seal(payload.astype("<f8").tobytes(), about_reward(served.pk, key)),
        harmful=None if reward.label is None else harms(spec, reward.label),
        late=late,
    )
    return RewardReceipt(new=True, late=late, clamped=clamped)


def _own_decision(caller: Caller, public_id: UUID, user_id: str | None) -> ServedDecision:
    """Return the decision if it is the caller's. Raises NotFound, Forbidden.

    Another person's decision gives the error of a missing one, which does not reveal that it exists.
    """
    own_person_id(caller, user_id)  # raises Forbidden for a caller who cannot have decisions
    decisions = ServedDecision.objects.select_related("decision__loop_version__loop", "person")
    served = decisions.filter(public_id=public_id).first()
    if served is None:
        raise NotFound(_NO_DECISION)
    person = PersonRow(served.person_id, served.person.population, served.person.key)
    if not may_act_for(caller, person, user_id=user_id, population=person.population):
        raise NotFound(_NO_DECISION)
    return served


def _locked(served: ServedDecision) -> ServedDecision:
    """Lock a decision's row and refresh its fields. Raises NotFound when it was erased meanwhile."""
    try:
        served.refresh_from_db(
            fields=["activated_at", "closed_at"], from_queryset=ServedDecision.objects.select_for_update()
        )
    except ServedDecision.DoesNotExist:
        raise NotFound(_NO_DECISION) from None
    return served


def _payload(served: ServedDecision, reward: RewardInput, cipher: Cipher) -> Floats:
    spec = served.decision.loop_version.spec
    if not 0 < len(reward.reward_id) <= LONGEST_REWARD_ID:
        raise InputError(f"rewardId has 1 to {LONGEST_REWARD_ID} characters", field="rewardId")
    if reward.label is not None and not 0 < len(reward.label) <= LONGEST_LABEL:
        raise InputError(f"label has 1 to {LONGEST_LABEL} characters", field="label")
    given = [name for name in ("total", "components", "inputs") if getattr(reward, name) is not None]
    if len(given) > 1 or (not given and reward.label is None):
        raise InputError("give one of total, components and inputs, or a label alone", field="body")
    if reward.total is not None:
        return payload_of_total(_total(spec, reward.total))
    if reward.components is not None:
        return payload_of_components(spec, _numbers("components", reward.components, COMPONENTS))
    if reward.inputs is not None:
        chosen = dict(served.decision.choices.values_list("head", "action"))
        state = state_of(served.decision, cipher)
        inputs = _numbers("inputs", reward.inputs, INPUTS)
        when = chosen.get(spec.timing_head.name)
        return payload_of_inputs(spec, inputs, state=state, action=chosen.get(MAIN_HEAD), timing=when)
    return payload_of_total(float("nan"))


def _total(spec: LoopSpec, total: float) -> float:
    largest = largest_total(spec)
    if not abs(total) <= largest:
        raise InputError(
            f"total is {total:g}; under this loop it lies within -{largest:g} and {largest:g}", field="total"
        )
    return total


def _numbers(field: str, given: dict[str, float], known: tuple[str, ...]) -> dict[str, float]:
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{field}.{name} is not known; there are {', '.join(known)}", field=f"{field}.{name}")
        if not np.isfinite(value) or abs(value) > 1e9:
            raise InputError(f"{field}.{name} is {value:g}; it takes a finite number", field=f"{field}.{name}")
    if not given:
        raise InputError(f"{field} is empty; leave it out, or give at least one value", field=field)
    return given


def _facts(reward: RewardInput) -> dict[str, Any]:
    return {"total": reward.total, "components": reward.components, "inputs": reward.inputs, "label": reward.label}
