"""A fresh installation after ``prepare``: the blueprint's payloads work word for word, and preparing again changes nothing."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask

from deployments.models import ServingSlot
from loops.models import LoopVersion
from loops.selectors import loop_specs_builtin
from loops.services import loop_add
from r3al_project.ops.roles import ROLES
from r3al_project.turns.models import Turn
from tests.factories.users import token_of
from tests.r3al_project.api import api_calls

pytestmark = pytest.mark.django_db
TRAIN_MODEL = {
    "modelType": "policy", "sourceDataType": "pulse", "epochs": 100, "syntheticSamples": 1000,
    "hyperparams": {"learningRate": 0.001, "gamma": 0.99, "epsilon": 0.1},
}  # fmt: skip
CALCULATE_REWARD = {
    "sentimentBefore": -0.3, "sentimentAfter": 0.2, "engagementBefore": 0.5, "engagementAfter": 0.8,
    "actionType": "intervene", "actionTiming": 2.5, "consentGiven": True, "privacyRespected": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def prepared(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    call_command("prepare")


def post(path: str, body: dict[str, Any]) -> Any:
    return api_calls.post(f"/api/v1/training/{path}", token_of("Operator"), body)


def test_train_model_begins_a_turn() -> None:
    assert post("models", TRAIN_MODEL).status_code == 202
    assert str(Turn.objects.get().loop_version) == "r3al v1"


def test_calculate_reward_calculates() -> None:
    answer = post("rewards/calculate", CALCULATE_REWARD)
    assert answer.status_code == 200 and answer.json()["total"] > 0


def test_preparing_again_changes_nothing() -> None:
    def state() -> list[Any]:
        return [
            list(LoopVersion.objects.values_list("loop__name", "version", "sha256")),
            list(ServingSlot.objects.values_list("head", "stable", "generation", "salt")),
            PeriodicTask.objects.count(),
        ]

    before = state()
    assert [name for name, *_ in before[0]] == ["r3al"] and len(before[1]) == 4
    call_command("prepare")
    assert state() == before


def test_it_says_what_it_did_and_the_second_time_that_nothing_was_missing(settings: Any) -> None:
    said = StringIO()
    call_command("prepare", stdout=said, stderr=StringIO())
    assert said.getvalue().splitlines() == [
        "preparing the database ...",
        "the database has every table; 0 migrations were applied",
        f"{len(ROLES)} roles are in place; 0 permissions were added",
        "the schedules are in place; 0 were added",
        "the loop r3al is there",
        f"static files are in {settings.STATIC_ROOT}",
    ]


def test_an_operators_own_version_of_the_loop_stays() -> None:
    text = loop_specs_builtin()["r3al"].read_text().replace("version = 1", "version = 2", 1)
    loop_add(text=text, source="r3al.toml")
    call_command("prepare")
    assert list(LoopVersion.objects.values_list("version", flat=True)) == [1, 2]
