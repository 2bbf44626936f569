"""Fixtures for every test: the stack, a real worker, real servers, shared data; and the rule that nothing is skipped silently."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test.utils import teardown_databases
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

from tests.emptied_tables import rows_deleted
from tests.services_under_test import NotAvailable, PostgreSQL, Redis
from tests.services_under_test.postgresql import database_create, database_drop
from tests.stack import Stack, Worker
from tests.system import ROOT
from tests.template_database import database_setup, template_drop

# How fast this machine is just now says nothing about the program: a loaded one draws its inputs slowly.
settings.register_profile("r3al", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("r3al")
_SAYS_SO = "NOT TESTED: "
_not_tested: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also the tests marked slow")
    parser.addoption(
        "--without-services", action="store_true", help="leave out what needs PostgreSQL or Redis of its own"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests only with --all; what knows nothing of the stack under test runs with SQLite alone."""
    stack, everything = _stack_name(), bool(config.getoption("--all"))
    wanted = {item: _wanted(item, stack, everything) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not wanted[item]])
    items[:] = [item for item in items if wanted[item]]


def _wanted(item: pytest.Item, stack: str, everything: bool) -> bool:
    if item.get_closest_marker("slow") and not everything:
        return False
    alone = item.get_closest_marker("alone")
    if alone is not None and not everything:
        return bool(alone.args[0] == stack)
    other = "embedded" if stack == "production" else "production"
    if item.get_closest_marker(other):
        return False
    return stack == "embedded" or item.get_closest_marker(stack) is not None or _knows_the_stack(item)


def _knows_the_stack(item: pytest.Item) -> bool:
    """Whether a test uses the database or the broker under test. Those with servers of their own do not."""
    if "engine" in item.path.relative_to(ROOT).parts:
        return False  # engines know no database, also where a test of theirs has one
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(fixtures & {"db", "transactional_db", "stack"})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and _SAYS_SO in report.longrepr[2]:
        _not_tested.add(report.longrepr[2].partition(_SAYS_SO)[2])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was not tested is said last; ``tests.suite`` reads it from a file."""
    for reason in sorted(_not_tested):
        terminalreporter.write_line(f"{_SAYS_SO}{reason}", red=True, bold=True)
    if path := os.environ.get("R3AL_NOT_TESTED"):
        with Path(path).open("a") as file:
            file.writelines(f"{reason}\n" for reason in sorted(_not_tested))


def not_tested(reason: str) -> None:
    """Leave a test out, loudly: the reason is in the last line of the run."""
    pytest.skip(_SAYS_SO + reason)


def _stack_name() -> str:
    from django.conf import settings

    return "embedded" if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3") else "production"


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, django_db_modify_db_settings: None
) -> Iterator[None]:
    """The test database of this process, migrated by the first process and copied by the others."""
    with django_db_blocker.unblock():
        made = database_setup()
        rows_deleted()
        _without_triggers()
        _keep_permissions()
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Empty what this process keeps by the numbers of rows: rows of another test may have had the same ones."""
    for name, forget in _REMEMBER.items():
        if name in sys.modules:
            getattr(sys.modules[name], forget)()


_REMEMBER = {
    "deployments.services.serving.policy_cache": "clear_policy_cache",
    "privacy.services.people.authentication": "forget_callers",
}


@pytest.fixture(scope="module")
def rows_of_module(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """For rows that are made once for all tests of a file: what a test changes is rolled back, and these with the last test.

    Every test of the file finds them, so a file with it has no test that wants an empty or a committed database.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:  # the first process, which ends last
        template_drop()


def _without_triggers() -> None:
    """On SQLite tables are emptied after a test by deleting rows, which the vault's triggers would refuse."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for table in ("vault_events", "vault_batches", "anonymization_logs"):
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_no_delete")


def _keep_permissions() -> None:
    """After each emptying of the tables, insert the content types and permissions of now, instead of working them out again."""
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.management import create_contenttypes
    from django.contrib.contenttypes.models import ContentType
    from django.db.models.signals import post_migrate

    kept: list[tuple[Any, list[Any]]] = [(model, list(model.objects.all())) for model in (ContentType, Permission)]

    def insert(app_config: Any, **_: Any) -> None:
        if app_config.label == "contenttypes" and not ContentType.objects.exists():
            for model, rows in kept:
                model.objects.bulk_create(rows)

    assert post_migrate.disconnect(create_contenttypes)
    assert post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.connect(insert, weak=False)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack under test: its name, the test database's URL and the broker's."""
    return Stack(_stack_name())


@pytest.fixture
def start_worker(stack: Stack, transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts real workers: ``start_worker(R3AL_JOB_LEASE_SECONDS="1")``. Ended with the test."""
    workers: list[Worker] = []
    stack.clear_broker()

    def start(**env: str) -> Worker:
        log = tmp_path / f"worker-{len(workers)}.log"
        workers.append(Worker({**stack.environment(), **env}, log))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture
def worker(start_worker: Callable[..., Worker]) -> Worker:
    """One real worker on the test's database and broker (its tables are emptied after the test)."""
    return start_worker()


@pytest.fixture(scope="session")
def _postgresql_shared(request: pytest.FixtureRequest) -> Iterator[str]:
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    _unless_without(request)
    server = PostgreSQL().start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def fresh_postgresql(_postgresql_shared: str) -> Iterator[str]:
    """The URL of a fresh, empty database on a real PostgreSQL, on either stack; one for all tests of a file."""
    made = database_create(_postgresql_shared)
    yield made
    database_drop(_postgresql_shared, made)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def fresh_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a fresh, empty database: one on a real PostgreSQL, then one on SQLite."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("fresh_postgresql"))
    return f"sqlite:///{tmp_path_factory.mktemp('fresh')}/fresh.sqlite3"


@pytest.fixture
def own_postgresql(request: pytest.FixtureRequest) -> Iterator[PostgreSQL]:
    """A PostgreSQL that the test may kill and start again."""
    _unless_without(request)
    server = PostgreSQL().start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis that the test may flush, kill and start again."""
    _unless_without(request)
    server = Redis().start()
    yield server
    server.stop()


@pytest.fixture
def house(db: None) -> Any:
    """A loop with rows in every table."""
    from tests.factories.every_table import furnish

    return furnish()


@pytest.fixture
def operator(db: None) -> Any:
    """Somebody who may do everything."""
    from tests.factories.users import superuser

    return superuser()


def _unless_without(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--without-services"):
        not_tested("what needs PostgreSQL or Redis (--without-services)")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the repository, or the one of R3AL_SHARED_DATA."""
    folder = Path(os.environ.get("R3AL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        not_tested(f"real data sets (there is no folder {folder}; set R3AL_SHARED_DATA)")
    return folder


__all__ = ["NotAvailable", "not_tested"]
