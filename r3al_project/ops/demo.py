"""Prepare a demonstration: an operator account, and simulated people to learn from."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from core.atomic_files import atomic_file
from core.errors import InputError
from loops.models import LoopVersion
from training.models import ModelVersion
from training.selectors.versions import version_policy

DEMO_DAYS = 15  # of simulated life
MOST_USERS = 100_000  # people whose lives one machine simulates in memory


@dataclass(frozen=True)
class DemoPeople:
    """The number and seed of the simulated people, from which the true value of any policy can be computed."""

    users: int
    seed: int


def is_prepared() -> bool:
    """Tell whether the configured database was ever prepared, so that it may belong to an installation."""
    return bool(MigrationRecorder(connection).applied_migrations())


def operator_create(name: str, password: str | None) -> None:
    """Create a superuser. An existing one gets the new password, if one is given."""
    user, new = get_user_model().objects.get_or_create(username=name, defaults={"is_staff": True, "is_superuser": True})
    if new or password:
        user.set_password(password or secrets.token_urlsafe(16))
        user.save()


def source_prepare(
    loop_version: LoopVersion, options: dict[str, Any], say: Callable[[str], None]
) -> tuple[Path, DemoPeople | None]:
    """Return the file of logged decisions to learn from, and the simulated people behind it (None for a given file).

    Raises InputError.
    """
    if options["source"] is not None:
        return Path(options["source"]), None
    from simulator import SIMULATED_LOOP

    if loop_version.loop.name != SIMULATED_LOOP:
        raise InputError(
            f"only the {SIMULATED_LOOP} loop has a simulator; add --source FILE for {loop_version.loop.name!r}"
        )
    if options["users"] < 1 or options["seed"] < 0:
        raise InputError("--users must be at least 1, and --seed at least 0")
    if options["users"] > MOST_USERS:
        raise InputError(
            f"--users {options['users']:,} are too many to simulate on one machine; give at most {MOST_USERS:,}"
        )
    people = DemoPeople(options["users"], options["seed"])
    path = Path(settings.VAR_DIR) / f"cohort-{people.users}-{people.seed}.csv"
    say(f"simulating {people.users:,} people over {DEMO_DAYS} days")
    cohort_write(loop_version, people, path)
    return path, people


def cohort_write(loop_version: LoopVersion, people: DemoPeople, path: Path) -> None:
    """Simulate people under the logging distribution and write the decisions that an app would have logged."""
    import numpy as np

    from simulator import make_people, simulate, write_csv

    rng = np.random.default_rng(people.seed)
    spec = loop_version.spec
    cohort = simulate(spec, make_people(people.users, rng), DEMO_DAYS, rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, replace=True) as file:
        write_csv(
            cohort, spec, file, start=date.today() - timedelta(days=DEMO_DAYS + 1), user_prefix=f"sim-{people.seed}"
        )


def true_values_of(people: DemoPeople, say: Callable[[str], None]) -> Callable[[ModelVersion], dict[str, float]]:
    """Return a function that computes the true values of a version and its baselines for the simulated people."""

    def compute(version: ModelVersion) -> dict[str, float]:
        from simulator import compare_policies

        say("comparing with the best known policy in the simulator ...")
        return compare_policies(version.loop_version.spec, version_policy(version), seed=people.seed)

    return compute
