"""People who lived whole weeks of a rollout: their evidence units, without serving each decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from django.db import transaction
from django.utils import timezone

from deployments.engine.arm_assignment import EPOCH, week_of
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, EvidenceUnit, ServingSlot
from deployments.selectors.health import epoch_number
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from deployments.services.rollouts.slots import slots_lock
from privacy.models import VaultKind
from privacy.services.people.data_keys import ciphers
from privacy.services.vault.append import vault_append
from tests.factories.people import add_people

WORDS = 4  # interventions of a person in a week


def begun_before(rollout: Deployment, weeks: float) -> Deployment:
    """The rollout as if it, and its present stage, had begun so many weeks earlier. The Trust Vault takes it for that, too."""
    earlier = weeks * EPOCH
    with transaction.atomic():
        slots_lock(rollout.slot.loop)
        rollout.refresh_from_db()
        assert rollout.stage_began_at is not None
        began = rollout.stage_began_at - earlier
        deadline = None if rollout.deadline_at is None else rollout.deadline_at - earlier
        Deployment.objects.filter(pk=rollout.pk).update(
            created_at=rollout.created_at - earlier, stage_began_at=began, deadline_at=deadline
        )
        vault_append(kind=VaultKind.SLOT, body={"moved": rollout.pk}, rows=rollouts_entry(rollout.slot.loop_id))
    rollout.refresh_from_db()
    return rollout


def people_with_keys(rollout: Deployment, count: int, *, first: int = 0) -> list[int]:
    """People who have a data key, as everybody has whom a decision served."""
    people = add_people(rollout.version.loop_version, count, first=first, decided=False)
    ciphers(people)
    return people


def live_weeks(
    rollout: Deployment,
    people: Sequence[int],
    weeks: Sequence[int],
    *,
    empathy: tuple[float, float] = (0.8, 0.8),
    harm: tuple[float, float] = (0.05, 0.05),
    reward: tuple[float, float] = (0.1, 0.1),
    seed: int = 1,
) -> None:
    """Everybody lives these weeks in their arm. Each pair says what the candidate's people live, and the stable version's."""
    slot = ServingSlot.objects.get(pk=rollout.slot_id)
    rng = np.random.default_rng([seed, *weeks])
    units = []
    for week in weeks:
        for i, pk in enumerate(people):
            ours = i % 10 < 10 * slot.weight_bp / BASIS_POINTS  # a larger share only adds people, as in life
            arm = 0 if ours else 1
            version = rollout.version_id if ours else slot.stable_id
            felt = float(np.clip(empathy[arm] + 0.1 * rng.normal(), 0, 1))
            units.append(
                EvidenceUnit(
                    slot=slot, version_id=version, data_key_id=pk, epoch=epoch_number(rollout, week),
                    first_exposed_at=rollout.created_at + (week - 1) * EPOCH,
                    closes_at=rollout.created_at + week * EPOCH + timedelta(days=1),
                    decisions=WORDS, interventions=WORDS, rated=WORDS, empathy_sum=WORDS * felt, answered=WORDS,
                    harmful=int(rng.binomial(WORDS, harm[arm])), rewarded=WORDS,
                    reward_sum=WORDS * float(reward[arm] + 0.1 * rng.normal()),
                )
            )  # fmt: skip
    EvidenceUnit.objects.bulk_create(units)


def week_now(rollout: Deployment) -> int:
    """The number of the rollout's present week."""
    return week_of(rollout.created_at, timezone.now())
