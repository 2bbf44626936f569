"""Training: fitted Q-iteration on the pool's synthetic rows, then the model gate; the result is a model version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import transaction

from privacy.models import Release
from privacy.services.moments import Report, moments_load
from r3al_project.common.arrays import unpack_arrays
from r3al_project.common.errors import Conflict
from training.models import ModelMetric, SyntheticJob, TrainingEpisode
from training.services.registry import version_register

MODEL_GATE = "model_gate"


@dataclass(frozen=True)
class Trained:
    """What training found, before it is written."""

    arrays: dict[str, Any]
    config: dict[str, Any]
    z: float
    bar: float
    episodes: list[tuple[float, float, float]]


def policy_train(
    *, release: Release, synthetic_job: SyntheticJob, seed: int, report: Report
) -> Callable[[], dict[str, Any]]:
    """Train one head from one release and its pool rows; the returned write registers the version with its model gate."""
    trained = _train(release, _pool_rows(synthetic_job), seed, report)

    @transaction.atomic
    def write() -> dict[str, Any]:
        version = version_register(
            loop_version=release.loop_version,
            head=str(release.parameters["head"]),
            arrays=trained.arrays,
            config=trained.config,
        )
        version.releases.add(release)
        passed = trained.z >= trained.bar
        reason = (
            ""
            if passed
            else "the release does not make us sure enough that this beats the reference; keep the reference"
        )
        ModelMetric.objects.create(
            version=version,
            source=MODEL_GATE,
            name="model_gate_z",
            value=trained.z,
            threshold=trained.bar,
            verdict="pass" if passed else "insufficient",
            reason=reason,
        )
        TrainingEpisode.objects.bulk_create(
            TrainingEpisode(
                version=version,
                index=i,
                steps=trained.config["gate_steps"],
                candidate_return=ours,
                reference_return=theirs,
                intervention_rate=rate,
            )
            for i, (ours, theirs, rate) in enumerate(trained.episodes)
        )
        return {"version": version.pk, "model_gate_z": round(trained.z, 3), "model_gate": passed, **trained.config}

    return write


def _train(release: Release, pool: Mapping[str, np.ndarray], seed: int, report: Report) -> Trained:
    from training.engine.learn import learn

    spec = release.loop_version.spec
    moments, baseline = moments_load(release=release)
    learned = learn(spec, moments, baseline, pool, seed=seed, report=report)
    return Trained(
        arrays=learned.arrays(),
        config=learned.config() | {"seed": seed},
        z=learned.gate.z,
        bar=learned.bar,
        episodes=learned.gate.episodes(),
    )


def _pool_rows(synthetic_job: SyntheticJob) -> dict[str, np.ndarray]:
    """All rows of one synthetic job, chunks checked against their hashes and put together in order."""
    chunks = [
        unpack_arrays(bytes(c.data), c.data_sha256)
        for c in synthetic_job.chunks.order_by("index").iterator(chunk_size=8)
    ]
    if sum(len(c["action"]) for c in chunks) != synthetic_job.sample_count:
        raise Conflict(
            f"{synthetic_job} is no longer whole in the pool (rows expire after 90 days); run the turn again"
        )
    return {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
