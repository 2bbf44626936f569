"""Ask for a table of synthetic rows. Equal requests are one job, because the same seed makes the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from django.db import transaction

from core import clock
from core.canonical_json import facts_json
from core.checksums import sha256_hex
from core.errors import InputError
from jobs.models import JobState
from jobs.services import job_enqueue
from loops.models import LoopVersion
from privacy.models import Release
from training.engine.generators.registry import table_generator_named
from training.models import SyntheticJob
from training.services.synthetic.sources import FEWEST_SOURCE_ROWS, release_for, source_of

SYNTHESIZE_JOB = "training.synthesize"
MOST_SYNTHETIC_ROWS = 100_000
DEFAULT_SOURCE_ROWS, DEFAULT_THRESHOLD, DEFAULT_SEED = 5_000, 0.7, 1
_SEEDS = 2**63
_WITHOUT_RESULT = (JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class SynthesizeRequest:
    """One request for a table.

    ``samples``: rows to generate. ``source_rows``: rows of the source to fit and to score on. ``threshold``: the lowest score at
    which rows are kept. ``release``: its id; None takes the loop's newest usable one.
    """

    method: str
    samples: int
    source_rows: int = DEFAULT_SOURCE_ROWS
    threshold: float = DEFAULT_THRESHOLD
    release: int | None = None
    seed: int = DEFAULT_SEED

    def check(self) -> None:
        """Check every field. Raises InputError that names the wrong one by its name in the API."""
        try:
            table_generator_named(self.method)
        except InputError as error:
            raise InputError(str(error), field="method") from None
        _check_within("sampleCount", self.samples, 1, MOST_SYNTHETIC_ROWS)
        _check_within("sourceDataCount", self.source_rows, FEWEST_SOURCE_ROWS, MOST_SYNTHETIC_ROWS)
        if not (math.isfinite(self.threshold) and 0 <= self.threshold <= 1):
            raise InputError(
                f"qualityThreshold is {self.threshold:g}; it is a number from 0 to 1", field="qualityThreshold"
            )
        if not 0 <= self.seed < _SEEDS:
            raise InputError(f"seed is {self.seed}; it is a whole number from 0 to 2^63 - 1", field="seed")


def _check_within(name: str, given: int, low: int, high: int) -> None:
    if not low <= given <= high:
        raise InputError(f"{name} is {given:,}; it is a whole number from {low} to {high:,}", field=name)


def synthesize_enqueue(*, loop_version: LoopVersion, request: SynthesizeRequest) -> SyntheticJob:
    """Queue a request for a table, or return the job of an equal request.

    A job that failed, was cancelled, or whose rows have expired is queued again.
    Raises: InputError, NotFound or Conflict with nothing written.
    """
    request.check()
    release = release_for(loop_version.loop, request.release)
    return _enqueue(request, release)


@transaction.atomic
def _enqueue(request: SynthesizeRequest, release: Release) -> SyntheticJob:
    made, _ = SyntheticJob.objects.get_or_create(
        request_digest=_digest(request, release),
        defaults={
            "release": release,
            "generator": request.method,
            "source": source_of(release),
            "sample_count": request.samples,
            "source_count": request.source_rows,
            "threshold": request.threshold,
            "seed": request.seed,
        },
    )
    # The lock makes two equal requests at once queue one job.
    locked = SyntheticJob.objects.select_for_update(no_key=True, of=("self",)).select_related("job").get(pk=made.pk)
    if _needs_job(locked):
        _restart(locked)
    return locked


def _digest(request: SynthesizeRequest, release: Release) -> str:
    asked = (request.method, request.samples, request.source_rows, request.threshold, request.seed)
    facts = [release.pk, source_of(release).value, *asked]
    return sha256_hex(facts_json(facts))


def _needs_job(found: SyntheticJob) -> bool:
    has_expired = found.expires_at is not None and found.expires_at <= clock.now()
    return found.job is None or found.job.state in _WITHOUT_RESULT or has_expired


def _restart(found: SyntheticJob) -> None:
    """Forget an earlier result and queue a new job. The state of an unfinished fit stays, so that it resumes."""
    found.chunks.all().delete()
    found.accepted = found.quality = found.diversity = found.privacy = found.expires_at = None
    found.scores, found.failures, found.summary, found.report = {}, [], {}, ""
    found.job = job_enqueue(kind=SYNTHESIZE_JOB, arguments={"synthetic": found.pk})
    found.save(
        update_fields=[
            "accepted", "quality", "diversity", "privacy", "expires_at", "scores", "failures", "summary", "report", "job",
        ]
    )  # fmt: skip
