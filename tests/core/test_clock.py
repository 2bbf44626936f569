"""The services' clock: tests and the demo set it back; leases and logins follow the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from core import clock
from core.errors import InputError
from jobs.leases import claim
from jobs.services import job_enqueue
from loops.models import Loop
from tests.factories import job_kinds as job_kinds  # registers its kinds

MONTHS = timedelta(days=83)
SECOND = timedelta(seconds=5)


@pytest.fixture(autouse=True)
def machine_time() -> Iterator[None]:
    yield
    clock.clock_follow(None)
    clock.clock_set_back(timedelta(0))


def behind() -> timedelta:
    return datetime.now(UTC) - clock.now()


def test_it_is_the_machines_clock_until_it_is_set_back() -> None:
    assert abs(behind()) < SECOND and not clock.set_back_by()
    clock.clock_set_back(MONTHS)
    assert abs(behind() - MONTHS) < SECOND and clock.set_back_by() == MONTHS


def test_a_block_begins_at_a_past_time_and_time_goes_on_in_it() -> None:
    past = datetime(2026, 1, 5, 8, tzinfo=UTC)
    with clock.clock_at(past):
        first, second = clock.now(), clock.now()
        assert past <= first <= second < past + SECOND
    assert abs(behind()) < SECOND


def test_it_never_runs_ahead() -> None:
    with pytest.raises(InputError, match="can only be set back"):
        clock.clock_set_back(-timedelta(seconds=1))
    with pytest.raises(InputError, match="can only be set back"), clock.clock_at(datetime.now(UTC) + MONTHS):
        raise AssertionError("the block began")


def test_processes_follow_a_file_at_each_look(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text("3600")
    clock.clock_follow(file)
    assert abs(behind() - timedelta(hours=1)) < SECOND
    file.write_text("60.5")
    assert abs(behind() - timedelta(seconds=60.5)) < SECOND
    file.unlink()
    with pytest.raises(InputError, match="write a number of seconds"):
        clock.now()


@pytest.mark.parametrize("content", [None, "", "soon", "-1", "nan", "inf", "1e11"])
def test_a_process_does_not_start_with_a_file_that_says_nothing(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "clock"
    if content is not None:
        file.write_text(content)
    told = started(file)
    assert told.returncode and "R3AL_CLOCK_FILE" in told.stderr and "write a number of seconds" in told.stderr


def test_a_process_starts_in_the_past(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text(str(MONTHS.total_seconds()))
    told = started(file)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told.stdout.strip()) - MONTHS) < timedelta(minutes=5), (
        told.stderr
    )


def started(file: Path) -> subprocess.CompletedProcess[str]:
    asked = "import r3al_project.settings; from core import clock; print(clock.now().isoformat())"
    return subprocess.run(
        [sys.executable, "-c", asked],
        env=os.environ | {"R3AL_CLOCK_FILE": str(file)},
        cwd=settings.BASE_DIR,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.django_db
def test_rows_are_written_at_its_time_and_leases_at_the_machines() -> None:
    with clock.clock_at(datetime.now(UTC) - MONTHS):
        loop = Loop.objects.create(name="clocked")
        job = job_enqueue(kind="test.effect", arguments={})
        assert claim(job.pk) is not None
    job.refresh_from_db()
    assert abs(datetime.now(UTC) - loop.created_at - MONTHS) < timedelta(minutes=1)
    assert job.lease_until is not None and job.lease_until > datetime.now(UTC)
    created = loop.created_at
    loop.save()
    loop.refresh_from_db()
    assert loop.created_at == created
