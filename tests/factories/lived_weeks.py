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
from deployments.selectors.slots import candidate_arm
from deployments.services.rollouts.recorded_rollouts import rollouts_entry
from deployments.services.rollouts.slots import slots_lock
from loops.engine.reward import COMPONENTS
from privacy.models import Choice, Decision, Person, RewardSignal, VaultKind
from privacy.services.people.data_keys import ciphers
from privacy.services.vault.append import vault_append
from tests.factories.decisions import decision, served
from tests.factories.people import add_people
from tests.factories.sealed import sealed_outcome

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


def live_decisions(
    rollout: Deployment,
    people: Sequence[int],
    *,
    days: int = 14,
    reward: tuple[float, float] = (0.3, 0.1),
    comes: tuple[float, float] = (1.0, 1.0),
    reports: tuple[float, float] = (1.0, 1.0),
    seed: int = 1,
) -> None:
    """Everybody decides once a day in the last days of the present stage, in the arm that serving gives them.

    Each pair says what the candidate's people live, and the stable version's. reward: the mean, in scales. comes: the share of
    people who still come in the second half. reports: the share of decisions whose reward becomes known.
    """
    slot = ServingSlot.objects.get(pk=rollout.slot_id)
    version, rng, is_ours = rollout.version.loop_version, np.random.default_rng(seed), candidate_arm(slot)
    now, keys = timezone.now(), dict(Person.objects.filter(pk__in=people).values_list("pk", "key"))
    made, arms = list[Decision](), list[int]()
    for pk in people:
        arm = 0 if is_ours(keys[pk]) else 1
        until = days if rng.random() < comes[arm] else days // 2
        for day in range(until):
            at = now - timedelta(days=days - day, hours=1)
            made.append(decision(version, pk, [0.2, 0.0, 1.0], at))
            arms.append(arm)
    Decision.objects.bulk_create(made)
    for one in made:
        served(one)
    Choice.objects.bulk_create(
        Choice(
            decision=one, head=slot.head, action=1 - arm, propensity=1.0, marginal_propensity=1.0,
            version=rollout.version_id if arm == 0 else slot.stable_id, generation=slot.generation,
        )
        for one, arm in zip(made, arms, strict=True)
    )  # fmt: skip
    told = [rng.random() < reports[arm] for arm in arms]
    RewardSignal.objects.bulk_create(
        RewardSignal(
            decision=one,
            payload=sealed_outcome(one, _outcome(rng, reward[arm] * version.spec.reward.scale, arm, known=known)),
            closed_at=one.decided_at, harmful=False if arm == 0 else None, has_reward=known,
        )
        for one, arm, known in zip(made, arms, told, strict=True)
    )  # fmt: skip


def _outcome(rng: np.random.Generator, mean: float, arm: int, *, known: bool) -> list[float]:
    """A total around a mean, or none, and the empathy of an intervention."""
    components = [np.nan] * len(COMPONENTS)
    if arm == 0:
        components[COMPONENTS.index("empathy")] = 0.9
    return [mean + 0.1 * rng.normal() if known else np.nan, *components]
