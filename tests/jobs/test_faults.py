"""Database and broker fail under running jobs, with a real worker and beat under the supervisor: every job ends, once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
import redis

from r3al_project.processes import commands
from r3al_project.processes.supervisor import Supervisor
from tests.fresh_database import run_on
from tests.jobs.conftest import SHORT, worker_command
from tests.services_under_test import PostgreSQL, Redis

pytestmark = pytest.mark.production
JOBS, SECONDS = 5, 1.0


@pytest.fixture
def platform(own_postgresql: PostgreSQL, own_redis: Redis) -> Iterator[list[str]]:
    """Worker and beat on servers of our own, with jobs to do; what the supervisor says."""
    env = {
        **os.environ,
        **SHORT,
        "DJANGO_SETTINGS_MODULE": "r3al_project.settings",
        "DATABASE_URL": own_postgresql.url,
        "REDIS_URL": own_redis.url,
    }
    run_on(own_postgresql.url, "tests.jobs.fresh", JOBS, SECONDS, REDIS_URL=own_redis.url)
    said: list[str] = []
    supervisor = Supervisor(grace=2.0, say=said.append)
    supervisor.add("beat", commands.beat(), env)
    supervisor.add("worker", worker_command(), env)
    supervisor.start()
    yield said
    supervisor.stop()


def counts(server: PostgreSQL) -> dict[str, int]:
    """How many of the jobs are in each state, and how many effects there are."""
    with psycopg.connect(server.url, connect_timeout=3) as connection:
        rows = connection.execute(
            "SELECT state, count(*) FROM jobs WHERE kind = 'test.steps' GROUP BY state"
        ).fetchall()
        effects = connection.execute("SELECT count(*) FROM jobs WHERE kind = 'test.effect'").fetchone()
    return {**dict(rows), "effects": effects[0] if effects else 0}


def wait(server: PostgreSQL, holds: Callable[[dict[str, int]], bool], seconds: float = 60.0) -> dict[str, int]:
    end = time.monotonic() + seconds
    while not holds(found := counts(server)):
        assert time.monotonic() < end, f"not within {seconds:g} s: {found}"
        time.sleep(0.05)
    return found


def test_every_job_ends_once_whatever_fails(platform: list[str], own_postgresql: PostgreSQL, own_redis: Redis) -> None:
    wait(own_postgresql, lambda now: now.get("running", 0) == 1)
    own_postgresql.kill()
    own_postgresql.start()
    wait(own_postgresql, lambda now: now.get("done", 0) >= 1)
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()
    wait(own_postgresql, lambda now: now.get("done", 0) >= 2)
    wait(own_postgresql, lambda now: now.get("running", 0) == 1)
    own_redis.kill()
    own_redis.start()
    found = wait(own_postgresql, lambda now: now.get("done", 0) == JOBS)
    assert found == {"done": JOBS, "effects": JOBS}
