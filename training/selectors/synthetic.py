"""Read synthetic jobs: one, its facts, and its rows until they expire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from django.db.models import QuerySet

from core import clock
from core.arrays import unpack_arrays
from core.csv_output import CsvWriter
from core.durations import RECORDS_KEPT
from core.errors import Conflict, NotFound
from jobs.models import OPEN_STATES
from training.engine.tables.stored import schema_of_json, table_of_arrays, table_texts
from training.engine.tables.table import Table
from training.models import SyntheticJob

_LARGEST_ID = 2**63 - 1


def synthetic_jobs() -> QuerySet[SyntheticJob]:
    """Return all synthetic jobs with their jobs, releases and loops, without reports."""
    found = SyntheticJob.objects.select_related("job", "release__loop_version__loop")
    return found.defer("report", "checkpoint")


def synthetic_get(pk: int) -> SyntheticJob:
    """Return one synthetic job. Raises NotFound."""
    found = synthetic_jobs().filter(pk=pk).first() if pk <= _LARGEST_ID else None
    if found is None:
        raise NotFound(f"there is no synthetic job {str(pk)[:20]}; /api/v1/training/synthetic lists them")
    return found


def rows_are_kept(job: SyntheticJob) -> bool:
    """Return whether the rows of a request for a table are in the pool and have not expired."""
    return bool(job.accepted) and job.expires_at is not None and job.expires_at > clock.now()


def report_is_kept(job: SyntheticJob) -> bool:
    """Return whether there is a report that has not expired."""
    return job.accepted is not None and job.expires_at is not None and job.expires_at > clock.now()


def synthetic_report(job: SyntheticJob) -> str:
    """Return the report as one HTML page. Raises NotFound where there is none."""
    if not report_is_kept(job):
        raise NotFound(_why_absent(job, "report"))
    return job.report


def synthetic_rows_write(job: SyntheticJob, out: TextIO) -> None:
    """Write the rows as CSV with a header line, and no formulas for a spreadsheet to run.

    Raises: Conflict for a job without rows to read, before anything is written.
    """
    if not rows_are_kept(job):
        raise Conflict(_why_absent(job, "rows"))
    writer = CsvWriter(out, lineterminator="\n")
    for place, table in enumerate(synthetic_tables(job)):
        if not place:
            writer.writerow(table.schema.names)
        writer.writerows(table_texts(table))


def synthetic_tables(job: SyntheticJob) -> Iterator[Table]:
    """Yield the rows in order, one chunk at a time, checked against its SHA-256."""
    for chunk in job.chunks.order_by("index").iterator(chunk_size=1):
        yield table_of_arrays(schema_of_json(chunk.columns), unpack_arrays(bytes(chunk.data), chunk.data_sha256))


def _why_absent(job: SyntheticJob, part: str) -> str:
    """Return why a job has no rows or report to read, and what to do."""
    name = f"synthetic job {job.pk}"
    if not job.is_table:
        return f"{name} made transitions for a turn, which only training reads; ask for a table of your own"
    if job.state in OPEN_STATES:
        return f"{name} is {job.state}; wait for it to end"
    if job.accepted is None:
        return f"{name} was {job.state} and made nothing; send the request again"
    if part == "rows" and not job.accepted:
        return f"{name} kept no rows, because a score is below its bar; its report says which, and what to do"
    return f"the {part} of {name} expired after {RECORDS_KEPT.days} days; send the request again to make the same"


def synthetic_summary(job: SyntheticJob) -> dict[str, Any]:
    """Return what was asked for and what came of it, for commands and the API. Scores are null until they are known."""
    parts = job.scores.get("parts", {})
    return {
        "synthetic_id": job.pk,
        "job_id": job.job_id,
        "status": job.state,
        "progress": 1.0 if job.job is None else job.job.progress,
        "message": "" if job.job is None else job.job.message,
        "error": job.error or None,
        "method": job.generator,
        "loop": job.release.loop_version.loop.name,
        "release_id": job.release_id,
        "guarantee": job.release.guarantee,
        "source": job.source,
        "head": job.head or None,
        "sample_count": job.sample_count,
        "source_data_count": job.source_count,
        "source_rows": job.summary.get("source_rows"),
        "quality_threshold": job.threshold,
        "seed": job.seed,
        "accepted": job.accepted,
        "quality": job.quality,
        "diversity": job.diversity,
        "privacy": job.privacy,
        "low_data": job.scores.get("low_data"),
        "parts": [_part(name, part) for name, part in parts.items()],
        "failures": job.failures,
        "alarms": list(job.scores.get("alarms", ())),
        "rows": int(job.summary.get("rows", 0)),
        "notes": list(job.summary.get("notes", ())),
        "created_at": job.created_at,
        "finished_at": None if job.job is None else job.job.finished_at,
        "expires_at": job.expires_at,
    }


def _part(name: str, part: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **{key: part[key] for key in ("value", "low", "high", "rows", "unit", "note")}}
