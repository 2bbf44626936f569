"""People of the walks whose records are missing, empty or wild in one way or another, stored without an import."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from django.utils import timezone

from loops.models import LoopVersion
from privacy.models import Choice, Person, PrivacyBudget, RewardSignal
from privacy.selectors.decisions import evaluation_folds
from tests.factories.decisions import decision
from tests.factories.people import UNIT, add_people
from tests.factories.sealed import sealed_outcome

NAN = float("nan")
FOLDS = 10_000
# What a person brings: state, reward (None: no outcome yet), and whether they were available.
KINDS: dict[str, tuple[list[float], float | None, bool]] = {
    "whole": ([0.5, 1.0], 0.3, True),
    "wild": ([1.7e308, 1.0], 1.7e308, True),
    "endless": ([0.5, 1.0], float("inf"), True),
    "no outcome": ([0.5, 1.0], None, True),
    "no reward": ([0.5, 1.0], NAN, True),
    "no state": ([NAN, NAN], 0.3, True),
    "unavailable": ([NAN, 1.0], 0.3, False),
}


def bring(version: LoopVersion, kinds: Sequence[str], *, rows: int = 1, mask: int = 7, told: bool = True) -> list[int]:
    """One person for each kind, in training and evaluation folds by turns, where the loop has any. Their ids.

    told: whether an outcome says in clear that it holds a reward; older ones do not.
    """
    held_out = evaluation_folds(version.spec)[1]
    ids = add_people(
        version, len(kinds), first=Person.objects.count(), decided=False, consent_mask=mask, cap_day=9 * UNIT, cap_week=9 * UNIT,
        cap_month=9 * UNIT,
    )  # fmt: skip
    for number, (pk, kind) in enumerate(zip(ids, kinds, strict=True)):
        fold = number if number % 2 or held_out + number >= FOLDS else held_out + number
        Person.objects.filter(pk=pk).update(population=version.spec.population, fold=fold)
        for row in range(rows):
            _row(version, pk, kind, row, told)
    return ids


def _row(version: LoopVersion, pk: int, kind: str, row: int, told: bool) -> None:
    state, reward, available = KINDS[kind]
    made = decision(version, pk, state, timezone.now() - timedelta(hours=row + 1), available=available)
    made.save()
    if available:
        Choice.objects.create(decision=made, head="policy", action=row % 2, propensity=0.5, marginal_propensity=0.5)
    if reward is not None:
        payload = sealed_outcome(made, [reward, *[NAN] * 6])
        has_reward = bool(np.isfinite(reward)) if told else None
        RewardSignal.objects.create(decision=made, payload=payload, has_reward=has_reward, closed_at=timezone.now())


def spent() -> dict[int, int]:
    """What each person who paid anything has spent, by id."""
    return dict(PrivacyBudget.objects.exclude(spent_lifetime=0, rho_spent=0).values_list("pk", "spent_lifetime"))
