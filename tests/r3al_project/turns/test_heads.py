"""Heads come from the loop file: from a file of decisions to commands, API and pages, with five heads and with policy alone."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from knox.models import AuthToken

from deployments.models import HealthCheck, ServingSlot
from deployments.services.health.check import health_tick
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.engine.features import FeatureMap
from loops.selectors import loop_version_current
from privacy.models import Choice
from privacy.services.people.authentication import forget_callers
from r3al_project.turns.models import Turn
from r3al_project.turns.stages import stage_sentence
from tests.factories.heads import HEADS, heads_csv, heads_file
from tests.factories.versions import serve
from tests.r3al_project.api.api_calls import post
from training.models import ModelVersion, VersionKind
from training.services.versions import version_register

pytestmark = pytest.mark.django_db(transaction=True)
DASHBOARD = "/r3al/training-dashboard/"
MODELS = "/api/v1/training/models"
WORLDS = pytest.mark.parametrize("name", list(HEADS))


@pytest.fixture(autouse=True)
def forget() -> None:
    clear_policy_cache()
    forget_callers()


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def token(browser: Client) -> str:
    return str(AuthToken.objects.create(User.objects.get(username="root"))[1])


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def added(name: str) -> None:
    said = run("loop", "add", str(heads_file(name)))
    assert re.findall(r"head (\S+):", said) == list(HEADS[name])


def learned(head: str) -> ModelVersion:
    """A learned version of a head of the five, which always takes its second action."""
    version = loop_version_current("five_heads")
    weights = np.zeros((len(version.spec.head(head).actions), FeatureMap.of(version.spec, False).width))
    weights[1, 0] = 1.0
    arrays = {"weights": weights, "margin": np.array(0.0)}
    return version_register(
        loop_version=version, head=head, kind=VersionKind.LINEAR_Q, arrays=arrays, config={"hinges": False}
    )


def versions(token: str, query: str) -> list[dict[str, Any]]:
    response = Client().get(f"{MODELS}?{query}", headers={"Authorization": f"Token {token}"})
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["results"]
    return found


@WORLDS
def test_a_turn_trains_and_lists_every_head(
    name: str, tmp_path: Path, token: str, browser: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = set(HEADS[name])
    added(name)
    source = heads_csv(name, tmp_path / "log.csv")
    kept = json.loads(
        run("import_signals", str(source), "--loop", name, "--consent", "training", "evaluation", "--json")
    )
    assert (kept["added"], kept["rejected"]) == (5_000, 0)
    assert set(Choice.objects.values_list("head", flat=True)) == heads

    call_command("run_loop", "--loop", name, "--json", stdout=StringIO())
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["outcome"] in ("kept", "deployed"), told["reason"]
    assert told["versions"].keys() == told["deployed"].keys() == heads

    for head in heads:
        (made,) = [v for v in versions(token, f"loop={name}&modelType={head}") if v["kind"] == "linear_q"]
        assert made["versionId"] == f"model_{told['versions'][head]}" and made["modelType"] == head
    assert {v["modelType"] for v in versions(token, f"loop={name}")} == heads

    shown = " ".join(browser.get(DASHBOARD).content.decode().split())
    for version in ModelVersion.objects.filter(kind="linear_q"):
        assert f">{version}</a>" in shown
    for head, deployed in told["deployed"].items():
        watched = deployed is not None or (head == "policy" and told.get("trial") is not None)
        assert (f"Health: {name} / {head}<" in shown) == watched
    front = " ".join(browser.get("/admin/").content.decode().split())
    assert all(f"{name} / {head}" in front for head in heads)


@pytest.mark.alone("embedded")
def test_a_turn_for_one_head_trains_that_head_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added("five_heads")
    source = heads_csv("five_heads", tmp_path / "log.csv")
    run("import_signals", str(source), "--loop", "five_heads", "--consent", "training", "evaluation")
    alone = next(head for head in HEADS["five_heads"] if head != "policy")
    call_command("run_loop", "--loop", "five_heads", "--head", alone, "--json", stdout=StringIO())
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["outcome"] in ("kept", "deployed"), told["reason"]
    assert list(told["versions"]) == [alone]
    assert set(ModelVersion.objects.learned().values_list("head", flat=True)) == {alone}
    trained = Turn.objects.get().stages.get(name="train")
    assert stage_sentence("train", trained.summary).startswith(f"Only head {alone} was trained.")


@WORLDS
def test_every_head_that_speaks_is_answered_and_replayed(name: str, token: str) -> None:
    added(name)
    person = post("/api/v1/people", token, {"userId": "ann", "loop": name, "consents": {"personalization": True}})
    assert person.status_code == 201, person.told
    spec, spoken = loop_version_current(name).spec, set[str]()
    speaking = {False: {"theme", "policy"} & set(HEADS[name]), True: set(HEADS[name])}
    for number in range(24):
        body = {"requestId": f"r{number}", "loop": name, "context": {"energy": 0.9, "daypart": "evening"}}
        answer = post("/api/v1/optima/decisions", person.told["token"], body).told
        actions = {head: told["action"] for head, told in answer["actions"].items()}
        assert actions.keys() == speaking[actions["policy"] == "suggest"] == answer["versions"].keys()
        assert all(action in spec.head(head).actions for head, action in actions.items())
        spoken |= actions.keys()
    assert spoken == set(HEADS[name]), "half of what is explored intervenes"
    assert "24 decisions replayed" in run("replay", "--loop", name)
    refused = post(
        "/api/v1/optima/decisions", person.told["token"], {"requestId": "r", "loop": name, "eligible": {"tone": []}}
    )
    assert refused.status_code == 422 and f"its heads are {', '.join(HEADS[name])}" in refused.told["detail"]


@WORLDS
def test_states_are_scored_by_every_head_of_the_loop(name: str, tmp_path: Path) -> None:
    added(name)
    states, choices = tmp_path / "states.csv", tmp_path / "choices.csv"
    states.write_text("energy,daypart\n0.9,morning\n0.1,evening\n")
    paths = ("--input", str(states), "--output", str(choices), "--force")
    for head in loop_version_current(name).spec.heads:
        assert "2 states scored" in run("decide", "--loop", name, "--head", head.name, *paths)
        with choices.open() as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["row", "action", *(f"p_{a}" for a in head.actions), "version"]
        assert [r["action"] for r in rows] == [head.reference] * 2
    for command in (("decide", *paths), ("run_loop",)):
        with pytest.raises(CommandError, match=f"has no head 'tone'; it has {', '.join(HEADS[name])}"):
            run(*command, "--loop", name, "--head", "tone")


@WORLDS
def test_a_turn_is_asked_for_by_a_head_of_the_loop_and_no_other(name: str, token: str, browser: Client) -> None:
    for other in HEADS:
        added(other)
    for head in HEADS[name]:
        begun = post(MODELS, token, {"modelType": head, "loop": name})
        assert begun.status_code == 202 and Turn.objects.get().parameters["head"] == head
        Turn.objects.all().delete()
    refused = post(MODELS, token, {"modelType": "tone", "loop": name})
    said = f"loop '{name}' has no head 'tone'; it has {', '.join(HEADS[name])}"
    assert refused.status_code == 422 and refused.told["errors"] == {"modelType": [said]}

    form = {"loop": name, "epochs": "50", "syntheticSamples": "500", "epsilon": "0.5"}
    page = browser.post(f"{DASHBOARD}train/", form | {"modelType": "tone"})
    assert page.status_code == 422 and said.replace("'", "&#x27;") in page.content.decode()
    assert not Turn.objects.exists()
    browser.post(f"{DASHBOARD}train/", form | {"modelType": HEADS[name][0]})
    assert Turn.objects.get().parameters["head"] == HEADS[name][0]


def test_the_form_offers_each_loop_s_heads_under_its_name(browser: Client) -> None:
    for name in HEADS:
        added(name)
    form = {"loop": "policy_alone", "modelType": "policy", "epochs": "none"}
    shown = browser.post(f"{DASHBOARD}train/", form).content.decode()
    groups = re.findall(r'<optgroup label="(\w+)">(.*?)</optgroup>', shown)
    offered = {loop: re.findall(r'value="(\w+)/(\w+)"', options) for loop, options in groups}
    assert offered == {loop: [(loop, head) for head in heads] for loop, heads in HEADS.items()}
    assert [loop for loop, options in groups if " selected" in options] == ["policy_alone"]
    assert "<option selected>policy_alone</option>" in shown


def test_a_list_is_filtered_by_heads_that_loops_have(token: str) -> None:
    for name in HEADS:
        added(name)
    assert {v["loop"] for v in versions(token, "modelType=policy")} == set(HEADS)
    assert versions(token, "modelType=channel&loop=policy_alone") == [], "another loop has it"
    refused = Client().get(f"{MODELS}?modelType=tone", headers={"Authorization": f"Token {token}"})
    assert refused.status_code == 422
    said = "no loop has a head 'tone'; the heads are channel, policy, theme, timing, wording"
    assert refused.json()["errors"] == {"modelType": [said]}


@WORLDS
def test_every_head_gets_a_slot_that_serves_its_reference(name: str) -> None:
    added(name)
    slots = ServingSlot.objects.select_related("stable")
    assert {s.head for s in slots} == set(HEADS[name]) and {s.stable.kind for s in slots} == {"reference"}
    assert all(f"{head}: the reference" in run("loop", "list") for head in HEADS[name])


def test_a_head_that_a_newer_version_of_its_loop_drops_is_no_longer_shown_as_serving(
    tmp_path: Path, browser: Client
) -> None:
    added("five_heads")
    for head in ("policy", "channel"):
        serve(learned(head))
    shown = browser.get(DASHBOARD).content.decode()
    assert "Health: five_heads / channel<" in shown and "Health: five_heads / policy<" in shown

    text, file = heads_file("policy_alone").read_text(), tmp_path / "newer.toml"
    file.write_text(text.replace('"policy_alone"', '"five_heads"').replace("version = 1", "version = 2"))
    run("loop", "add", str(file))
    shown, front = (browser.get(page).content.decode() for page in (DASHBOARD, "/admin/"))
    assert re.findall(r"Health: five_heads / (\w+)<", shown) == re.findall(r"five_heads / (\w+)<", front) == ["policy"]
    assert [line.count("channel") for line in run("loop", "list").splitlines()] == [1, 0], "the older version had it"
    health_tick()
    assert {check.slot.head for check in HealthCheck.objects.all()} == {"policy"}
