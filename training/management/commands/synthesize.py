"""``manage.py synthesize``: generate a table of synthetic rows from a release, score it, and keep it if every score passes."""

from __future__ import annotations

import json
import sys
import threading
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from core.atomic_files import atomic_file, output_check
from core.errors import Conflict, R3alError
from core.json_safe import json_safe
from jobs.models import Job, JobState
from jobs.services import job_cancel, job_run, jobs_reconcile
from loops.selectors import DEFAULT_LOOP, loop_version_current
from training.engine.generators.registry import TABLE_GENERATORS
from training.models import SyntheticJob
from training.selectors.synthetic import (
    synthetic_get,
    synthetic_report,
    synthetic_rows_write,
    synthetic_summary,
)
from training.services.synthetic.requests import (
    DEFAULT_SEED,
    DEFAULT_SOURCE_ROWS,
    DEFAULT_THRESHOLD,
    SynthesizeRequest,
    synthesize_enqueue,
)

_POLL_SECONDS = 0.25
_REFUSED = 3  # exit code where a score is below its bar: the job is done, and there are no rows


class Command(BaseCommand):
    help = (
        "Generate a table of synthetic rows from a release, in this process, and score it. It uses no privacy budget. The rows "
        "are kept if quality, diversity and privacy reach the threshold; otherwise the exit code is 3."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--loop", default=DEFAULT_LOOP, help="the loop whose release is used (default: %(default)s)"
        )
        parser.add_argument("--method", required=True, choices=TABLE_GENERATORS, help="the generator")
        parser.add_argument("--samples", type=int, default=500, metavar="N", help="rows to make (default: %(default)s)")
        parser.add_argument(
            "--source-rows", type=int, default=DEFAULT_SOURCE_ROWS, metavar="N",
            help="rows of the source to fit and to score on (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--threshold", type=float, default=DEFAULT_THRESHOLD, metavar="SCORE",
            help="the lowest score at which rows are kept, from 0 to 1 (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--release", type=int, metavar="ID", help="default: the loop's newest release that can be used"
        )
        parser.add_argument(
            "--seed",
            type=int,
            default=DEFAULT_SEED,
            help="equal requests with one seed are one job (default: %(default)s)",
        )
        parser.add_argument("--output", type=Path, metavar="FILE", help="write the rows to this file, as CSV")
        parser.add_argument(
            "--report", type=Path, metavar="FILE", help="write the report to this file, as one HTML page"
        )
        parser.add_argument("--force", action="store_true", help="overwrite existing files")
        parser.add_argument("--json", action="store_true", help="print the job and its scores as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = self._run(options)
        except R3alError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            json.dumps(json_safe(synthetic_summary(made)), default=str) if options["json"] else _text(made)
        )
        if not made.accepted:
            raise CommandError(f"synthetic job {made.pk} kept no rows: {_reasons(made)}", returncode=_REFUSED)

    def _run(self, options: dict[str, Any]) -> SyntheticJob:
        request = SynthesizeRequest(
            method=options["method"],
            samples=options["samples"],
            source_rows=options["source_rows"],
            threshold=options["threshold"],
            release=options["release"],
            seed=options["seed"],
        )
        version, files = loop_version_current(options["loop"]), ("output", "report")
        request.check()
        for name in files:
            if options[name] is not None:
                output_check(f"--{name}", options[name], replace=options["force"])
        made = _carried_out(synthesize_enqueue(loop_version=version, request=request))
        # Rows and report are whole here, and each file is written whole or not at all.
        with ExitStack() as opened:
            if options["report"] is not None:
                page = opened.enter_context(atomic_file(options["report"], replace=options["force"]))
                page.write(synthetic_report(made))
            if options["output"] is not None and made.accepted:
                out = opened.enter_context(atomic_file(options["output"], replace=options["force"]))
                synthetic_rows_write(made, out)
        return made


def _carried_out(made: SyntheticJob) -> SyntheticJob:
    """Run the job in a thread, or wait for the worker that runs it, and say what it does.

    Ctrl-C cancels it. It ends at its next report of progress: an interrupt amid a numeric library could crash the process.
    Raises: Conflict for a job without a result.
    """
    job = made.job
    assert job is not None  # a request that was queued has one
    thread = threading.Thread(target=_work, args=(job.pk,), name=f"synthetic-{made.pk}")
    thread.start()
    try:
        _follow(job, thread)
    except KeyboardInterrupt:
        sys.stderr.write("cancelling ...\n")
        job_cancel(job_id=job.pk, actor="a terminal")
    thread.join()
    job.refresh_from_db()
    if job.state == JobState.CANCELLED:
        raise Conflict(f"synthetic job {made.pk} was cancelled by {job.cancelled_by} and wrote nothing")
    if job.state != JobState.DONE:
        raise Conflict(job.error)
    return synthetic_get(made.pk)


def _work(job_id: int) -> None:
    """Run the job until it is over."""
    try:
        while not Job.objects.get(pk=job_id).is_over:
            job_run(job_id)
            if Job.objects.filter(pk=job_id, state=JobState.RUNNING).exists():
                jobs_reconcile()  # the worker that runs it may be dead, and no beat may be running to notice
                time.sleep(_POLL_SECONDS)
    finally:
        connection.close()


def _follow(job: Job, thread: threading.Thread) -> None:
    """Print each new message of the job until it is over."""
    said = ""
    while thread.is_alive():
        job.refresh_from_db()
        if job.message not in ("", said):
            said = job.message
            sys.stderr.write(f"{said}\n")
        time.sleep(_POLL_SECONDS)


def _text(made: SyntheticJob) -> str:
    """Return what came of it, for people."""
    told = synthetic_summary(made)
    made_from = f"{made.release} ({told['source_rows']:,} source rows)"
    lines = [
        f"synthetic job {made.pk}: {told['rows']:,} rows by {made.generator} from {made_from}",
        *(f"{name}: {told[name]:.3f}" for name in ("quality", "diversity", "privacy")),
        *(["low data: there are too few rows to judge them well"] if told["low_data"] else []),
        *(f"alarm: {alarm}" for alarm in told["alarms"]),
        *(f"note: {note}" for note in told["notes"]),
    ]
    return "\n".join(lines)


def _reasons(made: SyntheticJob) -> str:
    return "; ".join(f"{f['score']} is {f['value']:.3f}, below {f['bar']:g}. {f['reason']}" for f in made.failures)
