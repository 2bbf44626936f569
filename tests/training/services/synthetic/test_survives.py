"""A fit whose process is killed with SIGKILL goes on where it was, and makes the rows that it would have made, once."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from core.arrays import Array
from jobs.models import Job
from jobs.services import job_run, jobs_reconcile
from tests.factories.anonymize import make_world
from tests.factories.synthetic import ASKED, marginals_released, synthesized
from tests.stack import Stack
from tests.system import ROOT
from training.models import SyntheticJob, TrainingDataPool
from training.selectors.synthetic import synthetic_get, synthetic_rows_write
from training.services.synthetic.checkpoints import JobCheckpoints
from training.services.synthetic.requests import synthesize_enqueue


def rows_of(made: SyntheticJob) -> str:
    out = io.StringIO()
    synthetic_rows_write(made, out)
    return out.getvalue()


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iterations that each loaded state of a mixture had done."""
    done: list[int] = []
    load = JobCheckpoints.load

    def loaded(self: JobCheckpoints) -> dict[str, Array] | None:
        found = load(self)
        done.append(0 if found is None else len(found["curve_train"]))
        return found

    monkeypatch.setattr(JobCheckpoints, "load", loaded)
    return done


@pytest.mark.django_db(transaction=True)
def test_a_killed_fit_resumes_and_writes_its_rows_once(stack: Stack, settings: Any, resumed: list[int]) -> None:
    settings.MIN_COHORT, settings.R3AL_JOB_LEASE_SECONDS = 10, 1.0
    world = make_world()
    marginals_released(world)
    made = synthesize_enqueue(loop_version=world, request=ASKED)
    env = stack.environment() | {
        "DJANGO_SETTINGS_MODULE": "tests.settings", "R3AL_JOB_LEASE_SECONDS": "1", "R3AL_JOB_HEARTBEAT_SECONDS": "0.3",
    }  # fmt: skip
    driver = [sys.executable, "-m", "tests.training.services.synthetic.dying_fit", str(made.job_id)]
    died = subprocess.run(driver, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert made.job_id is not None
    held = Job.objects.get(pk=made.job_id)
    assert held.state == "running" and SyntheticJob.objects.get().checkpoint and not TrainingDataPool.objects.exists()
    end = time.monotonic() + 60
    while not Job.objects.get(pk=held.pk).is_over:
        assert time.monotonic() < end
        jobs_reconcile()
        job_run(held.pk)
        time.sleep(0.1)
    made = synthetic_get(made.pk)
    assert made.state == "done" and made.accepted is True, (made.error, made.failures)
    assert resumed == [20] and Job.objects.get(pk=held.pk).attempts == 2
    assert TrainingDataPool.objects.count() == 1 and made.checkpoint == b""
    rows = rows_of(made)
    SyntheticJob.objects.all().delete()
    assert rows_of(synthesized(world)) == rows, "as if nothing had happened"
