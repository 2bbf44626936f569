"""Write synthetic transitions into the training pool.

They are sampled from one release, so they use no further privacy budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from core import clock
from core.arrays import pack_arrays
from core.checksums import sha256_hex
from core.durations import RECORDS_KEPT
from loops.engine.heads import MAIN_HEAD
from privacy.models import Release
from privacy.services.releases.moments import moments_load
from training.engine.generators.protocol import Posterior
from training.engine.generators.registry import WORLD_MODEL, generator_named
from training.engine.world.transitions import COLUMNS, Chunk
from training.models import CHUNK_ROWS, SyntheticJob, TrainingDataPool


def pool_synthesize(
    *, release: Release, seed: int, states: int, job_id: int | None, generator: str = WORLD_MODEL
) -> Callable[[], dict[str, Any]]:
    """Sample ``states`` synthetic states with the outcomes of all K actions: ``states`` x K transitions.

    Args:
        generator: a name in ``training.engine.generators.registry``.
    Returns: a function that writes the rows to the pool once and returns a summary. Repeated writes add nothing.
    Raises: InputError for an unknown generator.
    """
    source = generator_named(generator)
    moments = moments_load(release=release)
    chunks = list(source.chunks(Posterior.of(moments), states=states, seed=seed, longest=CHUNK_ROWS))
    summary = {
        "generator": source.name,
        "samples": states,
        "rows": sum(len(chunk["action"]) for chunk in chunks),
        "features": "hinges" if moments.layout.phi.hinges else "linear",
        "phi_width": moments.layout.phi.width,
        "releases": moments.releases,
    }

    @transaction.atomic
    def write() -> dict[str, Any]:
        synthetic_job, created = SyntheticJob.objects.get_or_create(
            release=release,
            head=MAIN_HEAD,
            generator=source.name,
            seed=seed,
            sample_count=states,
            defaults={"job_id": job_id, "summary": summary},
        )
        if created:
            TrainingDataPool.objects.bulk_create(_pool_rows(release, synthetic_job, chunks))
        return summary | {"synthetic_job": synthetic_job.pk}

    return write


def _pool_rows(release: Release, synthetic_job: SyntheticJob, chunks: list[Chunk]) -> list[TrainingDataPool]:
    expires = clock.now() + RECORDS_KEPT
    out = []
    for index, chunk in enumerate(chunks):
        data = pack_arrays(chunk)
        out.append(
            TrainingDataPool(
                loop_version_id=release.loop_version_id,
                kind=TrainingDataPool.Kind.SYNTHETIC,
                release=release,
                synthetic_job=synthetic_job,
                index=index,
                rows=len(chunk["action"]),
                columns=list(COLUMNS),
                data=data,
                data_sha256=sha256_hex(data),
                expires_at=expires,
            )
        )
    return out
