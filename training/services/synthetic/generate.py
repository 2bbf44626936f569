"""Carry out a request for a table: draw the source's rows, fit on a part, generate, and score against the rest.

Only workers import this module, because scores and generators import large libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from core import clock
from core.arrays import pack_arrays
from core.checksums import sha256_hex
from core.durations import RECORDS_KEPT
from core.errors import Conflict
from core.json_safe import json_safe
from core.progress import ReportProgress
from training.engine.generators.protocol import Curves
from training.engine.generators.registry import table_generator_named
from training.engine.scores.report import ReportFacts, html_report
from training.engine.scores.scores import Scores, score
from training.engine.tables.stored import schema_as_json, table_arrays
from training.engine.tables.table import Table
from training.models import CHUNK_ROWS, SyntheticJob, SyntheticSource, TrainingDataPool
from training.services.synthetic.checkpoints import JobCheckpoints
from training.services.synthetic.sources import SourceRows, source_draw

_FITTED_SHARE = 0.75  # of the source's rows; the rest score
_LEARNED, _MADE, _SCORED = 0.6, 0.65, 0.97  # of the progress


def table_synthesize(*, synthetic: SyntheticJob, job_id: int, report: ReportProgress) -> Callable[[], dict[str, Any]]:
    """Generate and score a table.

    Returns: a function that writes scores and report, and the rows if every score reaches its bar. It returns a summary.
    Raises: Conflict, InsufficientData or InputError where the source allows no fit. Nothing is written then.
    """
    source = source_draw(
        synthetic.release, synthetic.source_count or 0, seed=synthetic.seed, report=_within(report, 0.0, 0.1)
    )
    train, holdout = source.table.split(_FITTED_SHARE, synthetic.seed)
    fitted = table_generator_named(synthetic.generator).fit(
        train,
        seed=synthetic.seed,
        report=_within(report, 0.1, _LEARNED),
        checkpoints=JobCheckpoints(synthetic.pk, job_id),
    )
    report(_LEARNED, "generating rows")
    made = fitted.sample(synthetic.sample_count, seed=synthetic.seed)
    scores = score(train, holdout, made, seed=synthetic.seed, report=_within(report, _MADE, _SCORED))
    report(_SCORED, "writing the report")
    page = html_report(
        _facts(synthetic, source, train, holdout, fitted.curves), scores, made, source.table, seed=synthetic.seed
    )
    return lambda: _write(synthetic, job_id, source, made, scores, page)


def _within(report: ReportProgress, low: float, high: float) -> ReportProgress:
    """Return a report of progress from 0 to 1 as that of a part of the whole."""
    return lambda share, message: report(low + share * (high - low), message)


def _facts(synthetic: SyntheticJob, source: SourceRows, train: Table, holdout: Table, curves: Curves) -> ReportFacts:
    losses = {"train": curves.train, "holdout": curves.validation}
    return ReportFacts(
        title=f"Synthetic data {synthetic.pk}",
        method=synthetic.generator,
        source=f"{synthetic.release}: {SyntheticSource(synthetic.source).label}",
        guarantee=synthetic.release.guarantee,
        threshold=synthetic.threshold or 0.0,
        facts={
            "Loop": str(synthetic.release.loop_version),
            "Seed": str(synthetic.seed),
            "Rows fitted": f"{train.rows:,}",
            "Rows held out for the scores": f"{holdout.rows:,}",
            "Made at": f"{clock.now():%Y-%m-%d %H:%M} UTC",
            **({"Notes": " ".join(source.notes)} if source.notes else {}),
        },
        curves={name: (curves.steps.astype(np.float64), loss) for name, loss in losses.items() if len(loss)},
    )


@transaction.atomic
def _write(
    synthetic: SyntheticJob, job_id: int, source: SourceRows, made: Table, scores: Scores, page: str
) -> dict[str, Any]:
    """Write the result once. Without every score at its bar no rows are written."""
    row = (
        SyntheticJob.objects.select_for_update(no_key=True, of=("self",)).select_related("release").get(pk=synthetic.pk)
    )
    if row.job_id != job_id:
        raise Conflict(f"another job makes {row} now; look at that one")
    failures = scores.verdict(row.threshold or 0.0)
    row.accepted, row.failures = not failures, json_safe([asdict(failure) for failure in failures])
    row.quality, row.diversity, row.privacy = scores.quality, scores.diversity, scores.privacy
    row.scores, row.report, row.checkpoint = json_safe(scores.as_json()), page, b""
    row.expires_at = expires = clock.now() + RECORDS_KEPT
    row.summary = {
        "source_rows": source.table.rows, "notes": list(source.notes), "rows": made.rows if row.accepted else 0,
    }  # fmt: skip
    row.save()
    if row.accepted:
        TrainingDataPool.objects.bulk_create(_chunks(row, made, expires))
    return {"synthetic": row.pk, "accepted": row.accepted, "rows": row.summary["rows"]}


def _chunks(row: SyntheticJob, made: Table, expires: datetime) -> list[TrainingDataPool]:
    out = []
    for index, first in enumerate(range(0, made.rows, CHUNK_ROWS)):
        last = min(first + CHUNK_ROWS, made.rows)
        part = Table(made.schema, {name: made.columns[name][first:last] for name in made.schema.names})
        data = pack_arrays(table_arrays(part))
        out.append(
            TrainingDataPool(
                loop_version_id=row.release.loop_version_id,
                kind=TrainingDataPool.Kind.SYNTHETIC,
                release_id=row.release_id,
                synthetic_job=row,
                index=index,
                rows=part.rows,
                columns=schema_as_json(made.schema),
                data=data,
                data_sha256=sha256_hex(data),
                expires_at=expires,
            )
        )
    return out
