"""The verification names a change of any column of any model, except those that docs/vault.md lists with a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models, transaction

from core.clock import clock_at
from privacy.models import DataKey, Decision
from privacy.services.vault.verify import vault_audit
from tests.factories.vault_world import VaultWorld, vault_world
from tests.tampering import as_json, owning_the_database, unchecked
from training.models import LIVED, ModelMetric, ModelVersion

pytestmark = pytest.mark.django_db

DOC = Path(__file__).parents[4] / "docs" / "vault.md"
OWN = ("deployments", "jobs", "loops", "notices", "privacy", "r3al_project", "training")
ALL_MODELS: list[Any] = apps.get_models(include_auto_created=True)
MODELS = {model._meta.db_table: model for model in ALL_MODELS if model.__module__.partition(".")[0] in OWN}
OTHER_ID = 1_000_003


def section() -> str:
    return DOC.read_text(encoding="utf-8").partition("## Columns that are not covered")[2].partition("\n## ")[0]


def listed() -> dict[str, tuple[set[str], str]]:
    """The columns that are not covered, and why, by table, as the document lists them."""
    found: dict[str, tuple[set[str], str]] = {}
    for line in section().splitlines():
        if line.startswith("| `"):
            tables, columns, why = (cell.strip() for cell in line.strip("|").split("|"))
            for table in re.findall("`(.+?)`", tables):
                assert table not in found
                found[table] = columns_of(table) if columns == "all" else set(re.findall("`(.+?)`", columns)), why
    return found


def columns_of(table: str) -> set[str]:
    """The columns of a table. The row's number is left out of a table that only links two others."""
    links = MODELS[table]._meta.auto_created
    return {field.column for field in MODELS[table]._meta.concrete_fields if not (links and field.primary_key)}


def covered() -> list[tuple[str, str]]:
    left_out = {table: columns for table, (columns, _) in listed().items()}
    return [(t, column) for t in MODELS for column in sorted(columns_of(t) - left_out.get(t, set()))]


def covered_rows(table: str) -> list[models.Model]:
    """The first and the last row of a table that the verification covers."""
    chosen = {
        "data_keys": DataKey.objects.filter(person__in=Decision.objects.values("person")),
        "model_metrics": ModelMetric.objects.exclude(source=LIVED),
        "model_versions": ModelVersion.objects.learned(),
    }.get(table, MODELS[table]._base_manager.all())
    rows = list(chosen.order_by("pk"))
    return [rows[0], rows[-1]][: len(rows)]


@pytest.fixture(scope="module")
def world(rows_of_module: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultWorld]:
    """In a day's last hour nobody can tell to which day a waiting charge belongs, so the world never lives in one."""
    now = datetime.now(UTC)
    with clock_at(now - timedelta(hours=2) if now.hour == 23 else now):
        yield vault_world(tmp_path_factory.mktemp("world"))


def another(value: Any, field: Any) -> Any:
    """A value that the column could hold, and that it does not hold."""
    if isinstance(field, models.JSONField):
        return as_json({"tampered": True})
    if isinstance(field, models.UUIDField):
        return "0" * 32
    if isinstance(field, models.BooleanField):
        return not value
    if isinstance(field, models.DateTimeField):
        return (value or datetime(2026, 1, 1)) - timedelta(hours=1)
    if isinstance(field, models.DateField):
        return (value or date(2026, 1, 1)) + timedelta(days=1)
    if isinstance(field, models.BinaryField):
        return bytes(value)[:-1] + bytes([bytes(value)[-1] ^ 1]) if value else b"x"
    if isinstance(field, models.FloatField):
        return (value or 0.25) / 2
    if isinstance(field, models.CharField | models.TextField):
        return (value or "x")[:-1] + ("x" if not value or value[-1] != "x" else "y")
    return (value or 0) + (OTHER_ID if field.primary_key or field.is_relation else 7)


def rewrite(row: models.Model, column: str) -> None:
    field = next(field for field in row._meta.concrete_fields if field.column == column)
    key, cast = row._meta.pk, "::jsonb" if isinstance(field, models.JSONField) else ""
    mark = f"%s{cast if connection.vendor == 'postgresql' else ''}"
    assert key is not None
    values = [another(getattr(row, field.attname), field), key.get_db_prep_value(row.pk, connection)]
    table = row._meta.db_table
    with unchecked(table), owning_the_database(), connection.cursor() as cursor:
        cursor.execute(f'UPDATE "{table}" SET "{column}" = {mark} WHERE "{key.column}" = %s', values)
        assert cursor.rowcount == 1


def test_the_document_names_only_what_exists_and_gives_a_reason() -> None:
    assert listed().keys() <= MODELS.keys()
    for table, (columns, why) in listed().items():
        assert columns and columns <= columns_of(table), table
        assert why, table


def test_the_document_names_every_app_of_the_libraries() -> None:
    named = re.findall(r"\| every table of the apps (.+?) \| all \|", section())
    others = {model._meta.app_label for model in ALL_MODELS if model._meta.db_table not in MODELS}
    assert set(named[0].replace(" and ", ", ").split(", ")) == others


def test_it_holds_untouched(world: VaultWorld) -> None:
    assert vault_audit().broken == ""


@pytest.mark.parametrize(("table", "column"), covered())
def test_a_rewritten_column_is_named(world: VaultWorld, table: str, column: str) -> None:
    for row in covered_rows(table):
        with transaction.atomic():
            rewrite(row, column)
            found = vault_audit()
            transaction.set_rollback(True)
        assert found.broken != "", f"row {row.pk}"
