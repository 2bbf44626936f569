"""Every answer of every endpoint, from real rows: its keys are those of its shape, no more and no fewer, and in camelCase."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from deployments.models import EvidenceUnit
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_check
from deployments.services.rollouts.operate import rollout_ask
from deployments.services.rollouts.slots import slots_seed
from deployments.services.rollouts.start import rollout_start
from deployments.services.serving.policy_cache import clear_policy_cache
from deployments.services.ticks.rollout_tick import rollout_tick
from jobs.models import Job
from jobs.services import job_run
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import Decision, Person, PersonAccount, Purpose, Release, ServedDecision
from privacy.services.people.authentication import forget_callers
from privacy.services.people.consent import consent_grant
from privacy.services.people.identity import people_get_or_create
from privacy.services.records.close_outcomes import outcomes_close
from r3al_project.api import answers
from r3al_project.api.answers.shape import camel_keys
from r3al_project.turns.models import Turn, TurnStage
from tests.factories.calibration import estimated
from tests.factories.care import TOML
from tests.factories.lived_weeks import begun_before, live_weeks, people_with_keys
from tests.factories.operators import guarded_loop, operator, outdated_version, waiting_override
from tests.factories.sealed import sealed_state
from tests.factories.users import service_token
from tests.factories.versions import judged
from tests.r3al_project.api.documented import assert_documented, document, place_of
from tests.r3al_project.api.test_every_endpoint import EVERY
from training.models import GateVerdict, ModelVersion, VersionKind
from training.services.lived import lived_record
from training.services.versions import version_register

pytestmark = pytest.mark.django_db
CAMEL = re.compile(r"[a-z]+[0-9]*([A-Z][a-z0-9]*)*")
PEOPLE = 40
PASSWORD = "a long pass phrase of tests"
# The loop's own names have underscores, so that a key which is renamed but is not ours is seen.
NAMES = {"[features.mood]": "[features.mood_now]", "home": "at_home", "[heads.tone]": "[heads.tone_of_voice]",
         "\ntone = {": "\ntone_of_voice = {"}  # fmt: skip
TRAIN = {"modelType": "policy", "loop": "care"}
CONTEXT = {"mood_now": 0.25, "place": "at_home"}

NOT_OURS = {
    "Problem422.errors": "fields of the body, where hyperparams.gamma lies inside hyperparams",
    "ExportedSignal.values": "features, named by the loop's file",
    "ExportedDecision.state": "features, named by the loop's file",
    "ExportedServingState.values": "features, named by the loop's file",
    "ExportedServingState.atLastDecision": "features, named by the loop's file",
    "StatisticsAnswer.columns": "features, named by the loop's file",
    "ColumnAnswer.histogram": "categories, named by the loop's file",
    "ColumnAnswer.quantiles": "levels, like 0.5",
    "ExportedDecision.actions": "heads, named by the loop's file",
    "JobAnswer.versions": "heads, named by the loop's file",
    "ServingAnswer.actions": "heads, named by the loop's file",
    "ServingAnswer.versions": "heads, named by the loop's file",
    "ServingAnswer.generations": "heads, named by the loop's file",
    "EventAnswer.what": "facts as they are stored in the vault: the event's hash covers their names",
}


class Seen:
    """What was answered, walked along the document: the keys of each component, and names that are not as they should be."""

    def __init__(self) -> None:
        self.keys: dict[str, set[str]] = defaultdict(set)
        self.open: set[str] = set()
        self.wrong: set[str] = set()
        self.driven: set[tuple[str, str]] = set()

    def walk(self, schema: Any, value: Any, place: str) -> None:
        """``schema`` may be true or false, which say nothing of names."""
        schema = schema if isinstance(schema, dict) else {}
        if "$ref" in schema:
            place = schema["$ref"].rpartition("/")[2]
            schema = document()["components"]["schemas"][place]
        if value is None:
            return
        for branch in fitting(schema.get("oneOf", schema.get("anyOf", schema.get("allOf", ()))), value):
            if branch.get("type") != "null":
                self.walk(branch, value, place)
        if isinstance(value, list):
            for one in value:
                self.walk(schema.get("items", {}), one, place)
        elif isinstance(value, dict) and not any(n in schema for n in ("oneOf", "anyOf", "allOf")):
            self._walk_map(schema, value, place)

    def _walk_map(self, schema: dict[str, Any], value: dict[str, Any], place: str) -> None:
        if place in NOT_OURS:
            self.open |= {place} if value else set()
        else:
            self.wrong |= {f"{place}.{key}" for key in value if not CAMEL.fullmatch(key)}
        if "properties" in schema:
            self.keys[place] |= value.keys()
            self.wrong |= {f"{place}.{key} is in no shape" for key in value.keys() - schema["properties"].keys()}
            for key in value.keys() & schema["properties"].keys():
                self.walk(schema["properties"][key], value[key], f"{place}.{key}")
        elif place != "EventAnswer.what":
            for one in value.values():
                self.walk(schema.get("additionalProperties"), one, place)


def fitting(branches: Sequence[dict[str, Any]], value: Any) -> Sequence[dict[str, Any]]:
    """The branches of which the value may be one: those that know all of its keys, or all branches if none does."""
    schemas = document()["components"]["schemas"]
    known = [schemas.get(branch.get("$ref", "").rpartition("/")[2], {}).get("properties", {}) for branch in branches]
    if not isinstance(value, dict):
        return branches
    return [b for b, names in zip(branches, known, strict=True) if value.keys() <= names.keys()] or branches


class Caller:
    """Calls endpoints and walks what they answer."""

    def __init__(self) -> None:
        self.seen = Seen()
        root = User.objects.create_superuser("root", password=PASSWORD)
        self.root = str(AuthToken.objects.create(root)[1])

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Any:
        url = f"/api/v1/{path}"
        sent = {"Authorization": f"Token {token or self.root}"} | headers
        data = b"" if body is None else json.dumps(body).encode()
        answer: Any = Client().generic(method, url, data, content_type="application/json", headers=sent)
        assert_documented(method, url, answer)
        place = place_of(url)
        responses = document()["paths"][place][method.lower()]["responses"]
        content = responses[str(answer.status_code)].get("content", {})
        if answer.status_code < 300:
            self.seen.driven.add((method, place))
        kind = next(iter(content), "")
        if not kind.endswith("json"):
            return answer.content
        told = json.loads(answer.content)
        self.seen.walk(content[kind]["schema"], told, f"{method} {place}")
        return told


@pytest.fixture
def loop(settings: Any, monkeypatch: pytest.MonkeyPatch) -> LoopVersion:
    settings.MIN_COHORT = 10
    for name in ("privacy", "synthetic"):
        monkeypatch.setattr(f"r3al_project.api.{name}._WAIT_SECONDS", 0.1)
    call_command("roles")
    clear_policy_cache()
    forget_callers()
    text = TOML.replace("DEADLINE", "24h").replace("RULES", "")
    for name, other in NAMES.items():
        assert name in text
        text = text.replace(name, other)
    made, _ = loop_add(text=text, source="care.toml")
    slots_seed(loop_version=made)
    people_with_records(made)
    return made


def people_with_records(version: LoopVersion) -> None:
    ids = people_get_or_create(population="people", identifiers=[f"p{i}" for i in range(PEOPLE)])
    consent_grant(person_ids=list(ids.values()), purposes=[Purpose.TRAINING], source="test")
    now, width = timezone.now(), len(version.spec.features)
    Decision.objects.bulk_create(
        Decision(
            person_id=pk, loop_version=version, row_key=str(pk).encode(), decided_at=now, local_day=now.date(),
            available=True, state=sealed_state(pk, str(pk).encode(), np.zeros(width)),
        )
        for pk in ids.values()
    )  # fmt: skip


def login(caller: Caller) -> None:
    token = caller.call("POST", "auth/login", {"username": "root", "password": PASSWORD})["token"]
    caller.call("POST", "auth/logout", token=token)
    token = caller.call("POST", "auth/login", {"username": "root", "password": PASSWORD})["token"]
    caller.call("POST", "auth/logoutall", token=token)
    caller.root = str(AuthToken.objects.create(User.objects.get(username="root"))[1])


def ann_and_what_she_does(caller: Caller) -> str:
    """Registered, heard, decided for, shown it, rewarded, her outcome closed; returns her device's token."""
    consents = {"personalization": True, "training": True, "evaluation": True}
    body = {"userId": "ann", "loop": "care", "consents": consents}
    token: str = caller.call("POST", "people", body, service_token())["token"]
    Person.objects.filter(account=PersonAccount.objects.get()).update(fold=9_999)  # one of those who train
    at = timezone.now().isoformat()
    heard = [{"id": i, "type": "pulse", "at": at, "values": v} for i, v in (("s1", CONTEXT), ("s2", {"age": 1}))]
    caller.call("POST", "signals", {"loop": "care", "signals": heard}, token)
    asked = {"requestId": "r1", "loop": "care", "context": CONTEXT}
    decision = caller.call("POST", "optima/decisions", asked, token)["decisionId"]
    caller.call("POST", f"optima/decisions/{decision}/activate", {}, token)
    names = ("sentiment", "engagement", "compliance", "empathy", "timing", "uptake")
    reward = {"rewardId": "w1", "components": dict.fromkeys(names, 0.25), "label": "dismissed"}
    caller.call("POST", f"optima/decisions/{decision}/rewards", reward, token)
    ServedDecision.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    assert outcomes_close() == 1
    caller.call("POST", "training/rewards/calculate", {"loop": "care", "sentimentBefore": 0.1, "sentimentAfter": 0.2})
    return token


def releases(caller: Caller) -> None:
    """Statistics and rows: accepted, computed by a worker, and told when asked for again."""
    for technique in ("differential_privacy", "k_anonymity", "pseudonymization"):
        body = {"dataType": "pulse", "technique": technique, "loop": "care", "fields": ["mood_now", "place"]}
        caller.call("POST", "privacy/releases/preview", body)
        key = {"Idempotency-Key": technique}
        accepted = caller.call("POST", "training/anonymizations", body, **key)
        job_run(accepted["jobId"])
        caller.call("GET", f"jobs/{accepted['jobId']}")
        done = caller.call("POST", "training/anonymizations", body, **key)
        assert done["state"] == "committed", done
        caller.call("GET", f"privacy/releases/{done['releaseId']}")
        if "rowsUrl" in done:
            caller.call("GET", f"privacy/releases/{done['releaseId']}/rows")
    caller.call("GET", "privacy/releases")
    caller.call("GET", "privacy/budgets")


def tables(caller: Caller) -> None:
    """Synthetic tables of noised marginals: one that is kept, and one that scores too low."""
    body = {"dataType": "pulse", "technique": "differential_privacy", "mode": "marginals", "loop": "care",
            "privacyEpsilon": 0.1}  # fmt: skip
    released = caller.call("POST", "training/anonymizations", body | {"fields": ["mood_now", "place"]})
    job_run(released["jobId"])
    for threshold in (0.0, 1.0):
        asked = {"method": "mixture", "sampleCount": 300, "sourceDataCount": 600, "qualityThreshold": threshold}
        accepted = caller.call("POST", "training/synthetic", asked | {"loop": "care"})
        job_run(accepted["jobId"])
        done = caller.call("POST", "training/synthetic", asked | {"loop": "care"})
        assert done["accepted"] == (threshold == 0.0) and done["parts"], done
        caller.call("GET", f"training/synthetic/{done['syntheticId']}")
        caller.call("GET", f"training/synthetic/{done['syntheticId']}/report")
        if done["rowsUrl"]:
            caller.call("GET", f"training/synthetic/{done['syntheticId']}/rows")
    caller.call("GET", "training/synthetic")


def models(caller: Caller, loop: LoopVersion) -> ModelVersion:
    """A turn that is begun and cancelled; a version that is judged, deployed, looked at and taken back."""
    begun = caller.call("POST", "training/models", TRAIN | {"syntheticSamples": 50})
    job_run(begun["jobId"])
    caller.call("POST", f"jobs/{begun['jobId']}/cancel")
    trained = {"versions": {"tone_of_voice": 1}, "model_gate": True, "model_gate_z": 2.0, "intervention_rate": 0.1}
    job = Job.objects.create(kind="turn.train")
    TurnStage.objects.create(turn=Turn.objects.get(), name="train", job=job, summary=trained)
    caller.call("GET", f"jobs/{begun['jobId']}")
    arrays = {"weights": np.array([[0.0] * 4, [0.0] * 4, [1.0, 0.0, 0.0, 0.0]]), "margin": np.array(0.0)}
    version = version_register(
        loop_version=loop, head="policy", kind=VersionKind.LINEAR_Q, arrays=arrays, config={"hinges": False}
    )
    version.releases.add(Release.objects.earliest("pk"))
    GateVerdict.objects.create(version=version, attempt=1, verdict="pass", reason="people said so")
    estimated(version, "empathy", (0.8, 0.7, 0.9))
    lived_record(version=version, name="empathy", value=0.8, low=0.7, high=0.9, users=430)
    caller.call("GET", "training/calibration")
    caller.call("GET", "training/models")
    caller.call("GET", f"training/models/{version.name}")
    caller.call("GET", f"training/models/{version.name}/evaluation")
    caller.call("POST", f"training/models/{version.name}/deploy", {"deploymentType": "full_rollout"})
    health_check(slot=slot_for(loop.loop, "policy"))
    caller.call("GET", f"training/models/{version.name}/health")
    caller.call("POST", f"training/models/{version.name}/rollback", {"reason": "it was slow"})
    caller.call("POST", f"training/models/{version.name}/rollback/undo", {"reason": "it is fast again"})
    return version


def rollouts(caller: Caller, loop: LoopVersion, version: ModelVersion) -> None:
    """A canary over the deployed version that is paused, resumed, judged, approved and ended, and tried again."""
    arrays = {"weights": np.array([[0.0] * 4, [1.0, 0.0, 0.0, 0.0], [0.0] * 4]), "margin": np.array(0.0)}
    candidate = version_register(
        loop_version=loop,
        head="policy",
        kind=VersionKind.LINEAR_Q,
        arrays=arrays,
        config={"hinges": False},
        parent=version,
    )
    judged(candidate)
    made = rollout_start(strategy="canary", version=candidate, actor="root", reason="it passed")
    path, why = f"training/rollouts/{made.pk}", {"reason": "because"}
    for act in ("pause", "resume"):
        caller.call("POST", f"{path}/{act}", why)
    begun_before(made, 5)
    live_weeks(made, people_with_keys(made, 300), (2, 3, 4))
    rollout_tick()
    made.refresh_from_db()
    rollout_ask(rollout=made, stage=made.stage, act="promote" if made.stage else "advance")
    caller.call("POST", f"{path}/approve", why)
    for address in ("training/rollouts", path, f"{path}/checks"):
        caller.call("GET", address)
    caller.call("POST", f"{path}/abort", why)
    again = caller.call("POST", f"{path}/retry", why)
    caller.call("POST", f"training/rollouts/{again['rolloutId']}/promote", why)


def own_choice(caller: Caller, loop: LoopVersion) -> None:
    """A decision in which the app chose itself, beside an apprentice."""
    stable = slot_for(loop.loop, "policy").stable
    arrays = {"weights": np.array([[0.0] * 4, [0.0] * 4, [1.0, 0.0, 0.0, 0.0]]), "margin": np.array(0.0)}
    version = version_register(
        loop_version=loop,
        head="policy",
        kind=VersionKind.LINEAR_Q,
        arrays=arrays,
        config={"hinges": False},
        parent=stable,
    )
    made = rollout_start(strategy="apprentice", version=judged(version), actor="root", reason="look first")
    clear_policy_cache()
    consents = {"personalization": True, "training": True, "evaluation": True}
    token = caller.call("POST", "people", {"userId": "bob", "loop": "care", "consents": consents})["token"]
    asked = {"requestId": "own", "loop": "care", "context": CONTEXT, "ownChoice": {"policy": "walk"}}
    assert caller.call("POST", "optima/decisions", asked, token)["actions"]["policy"]["chosenBy"] == "app"
    caller.call("POST", f"training/rollouts/{made.pk}/abort", {"reason": "seen enough"})


def mine(caller: Caller, token: str, version: ModelVersion) -> None:
    """All that a person can ask for, evidence and a model among it, up to their erasure."""
    ann, now = PersonAccount.objects.get().person, timezone.now()
    slot = slot_for(version.loop_version.loop, version.head)
    EvidenceUnit.objects.create(
        slot=slot, version=version, data_key_id=ann.pk, epoch=1, first_exposed_at=now, closes_at=now
    )
    for path in ("me/consents", "me/privacy-budget", "me/vault", "me/export"):
        caller.call("GET", path, token=token)
    withdrawn = caller.call("PUT", "me/consents", {"training": False}, token)
    assert [m["versionId"] for m in withdrawn["affectedModels"]] == [version.name]
    caller.call("POST", "me/erasure", {"confirm": True}, token)


def approvals(caller: Caller) -> None:
    """An act that waits for a second operator is approved, and another one declined."""
    guarded = guarded_loop(version=2)
    olga = operator("olga")
    for act in ("approve", "decline"):
        asked = waiting_override(outdated_version(guarded), olga)
        for address in ("approvals", f"approvals/{asked.pk}"):
            caller.call("GET", address)
        caller.call("POST", f"approvals/{asked.pk}/{act}", {"reason": "because"})


def refusals(caller: Caller) -> None:
    bodies: tuple[Any, ...] = ([], TRAIN | {"hyperparams": []}, TRAIN | {"hyperparams": {"gamma": 7}})
    for body in bodies:
        assert caller.call("POST", "training/models", body)["errors"]


@pytest.fixture
def seen(loop: LoopVersion) -> Seen:
    caller = Caller()
    login(caller)
    token = ann_and_what_she_does(caller)
    tables(caller)  # before an export without a formal guarantee ends the formal accounts
    releases(caller)
    version = models(caller, loop)
    rollouts(caller, loop, version)
    mine(caller, token, version)
    own_choice(caller, loop)
    approvals(caller)
    refusals(caller)
    return caller.seen


def answered() -> list[str]:
    """The components of the document that an answer may hold."""
    waiting = [
        content["schema"]
        for path, operations in document()["paths"].items()
        if path.startswith("/api/v1/")
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status.startswith("2")
        for content in response.get("content", {}).values()
    ]
    found: set[str] = set()
    while waiting:
        for name in re.findall(r"'#/components/schemas/(\w+)'", str(waiting.pop())):
            if name not in found:
                found.add(name)
                waiting.append(document()["components"]["schemas"][name])
    return sorted(name for name in found if "properties" in document()["components"]["schemas"][name])


def test_every_answer_has_the_keys_of_its_shape_in_camel_case(seen: Seen) -> None:
    assert {
        (method, "/api/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", address)) for method, address in EVERY
    } == seen.driven
    assert not seen.wrong
    assert seen.open == NOT_OURS.keys(), "each exception was met"
    schemas = document()["components"]["schemas"]
    assert {n: seen.keys[n] for n in answered()} == {n: set(schemas[n]["properties"]) for n in answered()}


def test_every_name_in_the_document_is_in_camel_case() -> None:
    named = {(c, n) for c, s in document()["components"]["schemas"].items() for n in s.get("properties", ())}
    assert len(named) > 200 and not {pair for pair in named if not CAMEL.fullmatch(pair[1])}


def test_what_builds_an_answer_directly_follows_its_shape() -> None:
    built = 0
    for path in Path(answers.__path__[0]).glob("*.py"):
        names = [n.name for n in ast.parse(path.read_text()).body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
        shapes = {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): name for name in names if name[0].isupper()}
        for place, name in enumerate(names):
            if name in shapes:
                assert names[place - 1] == shapes[name], f"{path.name}: {name} does not follow {shapes[name]}"
                built += 1
    assert built > 30


def test_the_walk_sees_what_is_wrong() -> None:
    seen, look = Seen(), {"$ref": "#/components/schemas/LookMetricAnswer"}
    seen.walk({"type": "array", "items": look}, [{"minimum_n": 20, "name": "empathy"}], "GET")
    assert seen.wrong == {"LookMetricAnswer.minimum_n", "LookMetricAnswer.minimum_n is in no shape"}
    seen.walk({"additionalProperties": {}}, {"columns": [{"low_bound": 1}]}, "ReleaseAnswer.parameters")
    assert "ReleaseAnswer.parameters.low_bound" in seen.wrong


def test_nested_facts_are_renamed_and_values_are_left_alone() -> None:
    facts = {"data_type": "k_anonymity", "clips": [{"most_rows": None}], "over_200_ms": ("one_two",)}
    assert camel_keys(facts) == {
        "dataType": "k_anonymity",
        "clips": [{"mostRows": None}],
        "over200Ms": ["one_two"],
    }
