"""A new technique is one file and one line: in a copy of the product that has both, it works wherever people can ask for it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command

from privacy.models import LedgerEntry, PrivacyBudget, Release
from tests.factories.anonymize import PEOPLE, make_world
from tests.stack import Stack

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "core", "deployments", "docs", "jobs", "loops", "notices", "privacy", "r3al_project", "simulator", "templates", "tests",
    "training",
)  # fmt: skip
ENGINE = Path("privacy/engine/anonymize")
FILE = Path(__file__).parent / "new_technique" / "microaggregation.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The product, with one file more and one line more."""
    product = tmp_path / "product"
    for name in PARTS:
        shutil.copytree(ROOT / name, product / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", product)
    shutil.copy(FILE, product / ENGINE)
    registry = product / ENGINE / "registry.py"
    text, last = registry.read_text(), '    "generalization",\n'
    assert text.count(last) == 1
    registry.write_text(text.replace(last, f'{last}    "microaggregation",\n'))
    return product


def python(copy: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env={**env, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": "."},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_it_works_wherever_people_can_ask_for_it(copy: Path, stack: Stack) -> None:
    make_world()
    call_command("roles")
    User.objects.create_user("officer").groups.add(Group.objects.get(name="Privacy officer"))
    User.objects.create_superuser("operator", password="a long password of tests")
    run = python(copy, stack.environment(), "-m", "tests.new_technique.walk")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])

    service = told["service"]
    assert service["state"] == "committed" and service["cost"] == 250_000_000 and service["group_size"] == 20
    assert service["guarantee"].startswith("means of 20 records or more")
    api = told["api"]
    assert api["made"]["status"] == 201 and api["made"]["technique"] == "microaggregation", api["made"]
    assert api["made"]["columns"] == ["mean_mood"] and len(api["made"]["csv"]) == PEOPLE
    assert len(set(api["made"]["csv"])) == PEOPLE // 40 and api["made"]["policyCost"] == 0.25
    assert api["preview"]["status"] == 200 and api["preview"]["policyCost"] == 0.25
    assert "groupSize is 1" in api["too_small"]["detail"]
    assert "group_size belongs to microaggregation" in api["for_another"]["detail"]
    assert api["listed"] == ["microaggregation"]
    assert told["admin"]["offered"][-2:] == ["microaggregation", "pseudonymization"] and told["admin"]["only"]
    assert "microaggregation of records" in told["admin"]["label"]
    assert (
        told["schema"]["group_size"] == {"type": "integer", "description": "Default: 5."}
        and "microaggregation" in told["schema"]["document"]
    )
    assert LedgerEntry.objects.count() == 2 * PEOPLE


@pytest.mark.alone("embedded")
@pytest.mark.django_db(transaction=True)
def test_the_command_offers_it_with_its_own_option(copy: Path, stack: Stack, tmp_path: Path) -> None:
    make_world()
    env, asked = stack.environment(), ("manage.py", "anonymize", "--loop", "rows", "--fields", "mood")
    run = python(
        copy, env, *asked, "--technique", "microaggregation", "--group-size", "8", "--output", str(tmp_path / "o")
    )
    assert run.returncode == 0, run.stderr
    with (tmp_path / "o").open() as file:
        means = [row["mean_mood"] for row in csv.DictReader(file)]
    assert len(means) == PEOPLE and len(set(means)) == PEOPLE // 8
    refused = python(copy, env, *asked, "--technique", "generalization", "--group-size", "8")
    assert "--group-size belongs to microaggregation, not to generalization" in refused.stderr
    migrations = python(copy, env, "manage.py", "makemigrations", "--check", "--dry-run")
    assert migrations.returncode == 0, migrations.stdout


@pytest.mark.django_db(transaction=True)
def test_a_computation_that_breaks_gives_the_charge_back(copy: Path, stack: Stack) -> None:
    make_world()
    file = copy / ENGINE / FILE.name
    file.write_text(file.read_text().replace("records, size = source.records(1)", "records, size = source.lost(1)"))
    asked = ("manage.py", "anonymize", "--loop", "rows", "--fields", "mood", "--technique", "microaggregation")
    run = python(copy, stack.environment(), *asked)
    assert run.returncode and "has no attribute 'lost'" in run.stderr
    assert Release.objects.get().state == "refunded"
    assert not PrivacyBudget.objects.filter(spent_lifetime__gt=0).exists()


@pytest.mark.parametrize("member", ["table", "mechanism"])
def test_one_that_lacks_a_part_stops_the_product_before_anybody_is_charged(copy: Path, member: str) -> None:
    file = copy / ENGINE / FILE.name
    lines = file.read_text().splitlines(keepends=True)
    left = [line for line in lines if not line.startswith(f"    {member}=")]
    assert len(left) == len(lines) - 1
    file.write_text("".join(left))
    run = python(copy, dict(os.environ), "manage.py", "check")
    assert run.returncode and f"missing 1 required positional argument: '{member}'" in run.stderr
