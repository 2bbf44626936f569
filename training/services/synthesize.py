"""Synthetic transitions into the training pool: drawn from one release, so they cost nobody anything further."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.utils import timezone

from loops.engine.heads import MAIN_HEAD
from privacy.models import Release
from privacy.services.moments import moments_load
from r3al_project.common.arrays import digest, pack_arrays
from training.models import CHUNK_ROWS, SyntheticJob, TrainingDataPool

RETENTION = timedelta(days=90)
GENERATOR = "world_model"
COLUMNS = ("state", "action", "reward", "stays", "next_state")


def pool_synthesize(*, release: Release, seed: int, states: int, job_id: int | None) -> Callable[[], dict[str, Any]]:
    """Compute ``states`` x K transitions; the returned write puts them into the pool (nothing when they are there already)."""
    from privacy.engine.baseline import baseline_posterior
    from privacy.engine.effects import effects_posterior
    from training.engine.synthesize import mean_world, synthesize

    moments = moments_load(release=release)
    world = mean_world(moments, baseline_posterior(moments), effects_posterior(moments))
    transitions = synthesize(world, np.random.default_rng(seed), states=states)
    chunks = list(_chunks(transitions.rows()))
    summary = {
        "generator": GENERATOR,
        "rows": int(transitions.reward.size),
        "features": "hinges" if moments.layout.phi.hinges else "linear",
        "phi_width": moments.layout.phi.width,
        "releases": moments.releases,
    }

    @transaction.atomic
    def write() -> dict[str, Any]:
        made, new = SyntheticJob.objects.get_or_create(
            release=release,
            head=MAIN_HEAD,
            generator=GENERATOR,
            seed=seed,
            defaults={"job_id": job_id, "sample_count": summary["rows"], "summary": summary},
        )
        if new:
            TrainingDataPool.objects.bulk_create(_pool_rows(release, made, chunks))
        return summary | {"synthetic_job": made.pk}

    return write


def _chunks(rows: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    total = len(rows["action"])
    return [{n: v[i : i + CHUNK_ROWS] for n, v in rows.items()} for i in range(0, total, CHUNK_ROWS)]


def _pool_rows(release: Release, made: SyntheticJob, chunks: list[dict[str, np.ndarray]]) -> list[TrainingDataPool]:
    expires = timezone.now() + RETENTION
    out = []
    for index, chunk in enumerate(chunks):
        data = pack_arrays(chunk)
        out.append(
            TrainingDataPool(
                loop_version_id=release.loop_version_id,
                kind=TrainingDataPool.Kind.SYNTHETIC,
                release=release,
                synthetic_job=made,
                index=index,
                rows=len(chunk["action"]),
                columns=list(COLUMNS),
                data=data,
                data_sha256=digest(data),
                expires_at=expires,
            )
        )
    return out
