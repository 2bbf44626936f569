"""Releases made directly or reserved, and charged to the people of the loop that comes with the project."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from loops.models import LoopVersion
from privacy.engine.dp.accounting import calibrate
from privacy.engine.dp.mechanisms import NoisyBlock, noisy_sum
from privacy.models import Purpose, Release
from privacy.selectors.releases import charged_person_ids
from privacy.services.budget.charge import cohort_charge
from privacy.services.releases.lifecycle import release_reserve
from tests.factories.loops import POPULATION
from tests.factories.people import ALL_FOLDS, UNIT

RHO = 35_925_701


def new_release(
    version: LoopVersion, *, cost: int = UNIT, rho: int | None = RHO, at: datetime | None = None
) -> Release:
    formal = {} if rho is None else {"rho": rho, "formal_epsilon": 1.0, "formal_delta": 1e-5}
    release = Release.objects.create(
        key=f"r{Release.objects.count()}",
        loop_version=version,
        purpose="training",
        technique="differential_privacy",
        mechanism="test",
        policy_cost=cost,
        guarantee="test",
        **formal,
    )
    if at is not None:
        Release.objects.filter(pk=release.pk).update(created_at=at)
        release.refresh_from_db()
    return release


def charge(release: Release, folds: tuple[int, int] = ALL_FOLDS, purpose: Purpose = Purpose.TRAINING) -> list[int]:
    """Ids of the people charged."""
    count = cohort_charge(release=release, population=POPULATION, folds=folds, purpose=purpose)
    ids = charged_person_ids(release=release)
    assert len(ids) == count
    return [int(pk) for pk in ids]


def reserve(version: LoopVersion, **changes: Any) -> Release:
    arguments: dict[str, Any] = {
        "key": "turn-1",
        "loop_version": version,
        "purpose": Purpose.TRAINING,
        "folds": ALL_FOLDS,
        "epsilon": 1.0,
        "delta": 1e-5,
        "mechanism": "discrete Gaussian",
        "parameters": {"head": "policy", "clips": (1.0, 2.0)},
    }
    return release_reserve(**{**arguments, **changes})


def noised(release: Release, share: float = 1.0, *, noise: bool = True) -> dict[str, np.ndarray]:
    sigma = calibrate(epsilon=release.formal_epsilon or 0.0, delta=release.formal_delta or 0.0, maximum=9).sigma
    block: NoisyBlock = noisy_sum(np.ones((5, 2)), clip=1.0, sigma=sigma if noise else None, share=share)
    return {"sums": block.values, "sums_sd": np.array([block.sd]), "sums_rho": np.array([block.rho])}
