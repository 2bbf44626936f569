"""``manage.py audit_release``: what is proven beside what is claimed, for people and as JSON; nothing is written."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from privacy.models import LedgerEntry, Release
from tests.factories.care import care_loop

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("audit_release", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_it_prints_the_bound_beside_the_claim_and_charges_nobody() -> None:
    care_loop()
    text = run("--loop", "care", "--runs", "40", "--through", "release")
    assert "at least 0.000" in text and "No bound is above the claim" in text
    found = json.loads(run("--loop", "care", "--runs", "40", "--through", "release", "--json"))
    assert found["refuted"] == [] and found["stages"][0]["trials"] == 35
    assert not Release.objects.exists() and not LedgerEntry.objects.exists()


def test_an_unknown_loop_and_too_few_runs_are_one_sentence() -> None:
    with pytest.raises(CommandError, match="there is no loop"):
        run("--loop", "nobody")
    care_loop()
    with pytest.raises(CommandError, match="1 runs are not possible"):
        run("--loop", "care", "--runs", "1")
