"""Rollbacks on the dashboard: one that cannot be undone has no button, and says why."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.services.rollouts.rollback import rollback_undo, version_rollback
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from tests.factories.care import care_loop
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


@pytest.fixture
def client(loop: LoopVersion) -> Client:
    return browser("Operator")


def page(client: Client) -> str:
    return " ".join(client.get("/r3al/training-dashboard/").content.decode().split())


def undo_of(version: ModelVersion) -> str:
    return reverse("training-dashboard-undo", args=[version.pk])


def taken_back(loop: LoopVersion, *, harmful: bool = False) -> ModelVersion:
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    version_rollback(version=version, actor="ann", reason="by mistake.", harmful=harmful)
    return version


def test_a_rollback_that_was_no_harm_can_be_undone(loop: LoopVersion, client: Client) -> None:
    version = taken_back(loop)
    text = page(client)
    assert undo_of(version) in text and "It cannot be undone" not in text
    assert "By ann: by mistake.</p>" in text, "with one full stop"


def test_nothing_is_undone_over_a_newer_deployment(loop: LoopVersion, client: Client) -> None:
    version = taken_back(loop)
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    text = page(client)
    assert undo_of(version) not in text
    assert "It cannot be undone: something else was deployed since" in text


def test_nothing_is_undone_while_a_trial_runs(loop: LoopVersion, client: Client) -> None:
    version = taken_back(loop)
    trial_start(version=undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)), actor="turn 2", reason="undecided")
    text = page(client)
    assert undo_of(version) not in text and "It cannot be undone: something else was deployed since" in text


def test_an_undo_is_not_offered_twice(loop: LoopVersion, client: Client) -> None:
    version = taken_back(loop)
    rollback_undo(incident=version.incidents.get(), actor="ann", reason="it was a mistake")
    assert undo_of(version) not in page(client)


def test_harm_is_not_undone(loop: LoopVersion, client: Client) -> None:
    version = taken_back(loop, harmful=True)
    text = page(client)
    assert undo_of(version) not in text
    assert f"It cannot be undone: {version} was rolled back for harm; it is never deployed again." in text
