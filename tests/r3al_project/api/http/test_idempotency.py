"""A key that was used with another body is refused with 422 at every door, and nothing is done."""

from __future__ import annotations

from typing import Any

import pytest
from knox.models import AuthToken

from jobs.models import IdempotentAnswer, Job
from loops.models import LoopVersion
from privacy.models import Person, Release, RewardEvent, ServedDecision
from r3al_project.api.http.idempotency import LONGEST_KEY
from tests.factories.care import care_loop, person
from tests.factories.users import service_token
from tests.factories.versions import ALWAYS_WALK, learned
from tests.r3al_project.api.api_calls import ask, post
from tests.r3al_project.api.documented import call, document

pytestmark = pytest.mark.django_db
DOORS = sorted(
    path.removeprefix("/api/v1/")
    for path, operations in document()["paths"].items()
    for operation in operations.values()
    if "Idempotency-Key" in [p["name"] for p in operation.get("parameters", ())]
)
ACTS = ("approve", "pause", "resume", "promote", "abort", "retry")
BODIES: dict[str, dict[str, Any]] = {
    "people": {"userId": "ann", "loop": "care"},
    "training/models": {"modelType": "policy", "loop": "care"},
    "training/models/{version}/rollback": {"reason": "r"},
    "training/models/{version}/rollback/undo": {"reason": "r"},
    **{f"training/rollouts/{{rollout}}/{act}": {"reason": "r"} for act in ACTS},
    "approvals/{approval}/decline": {"reason": "r"},
    "training/synthetic": {"method": "mixture", "sampleCount": 100, "loop": "care"},
    "training/anonymizations": {"dataType": "pulse", "technique": "generalization", "loop": "care"},
}


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


@pytest.fixture
def root(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("root")


def token_for(user: Any) -> str:
    return str(AuthToken.objects.create(user)[1])


def sent(door: str, loop: LoopVersion, token: str, key: str) -> Any:
    version = learned(loop, "policy", ALWAYS_WALK)
    path = (
        door.replace("{version}", f"model_{version.pk}")
        .replace("{job}", "1")
        .replace("{rollout}", "1")
        .replace("{approval}", "1")
    )
    return call("POST", path, token, BODIES.get(door, {}), **{"Idempotency-Key": key})


@pytest.mark.parametrize("door", DOORS)
def test_a_key_of_something_else(door: str, loop: LoopVersion, root: Any) -> None:
    IdempotentAnswer.objects.create(user=root, key="k", request_digest="of another request")
    answer = sent(door, loop, token_for(root), "k")
    assert answer.status_code == 422 and answer.told["type"] == "urn:r3al:problem:key-reused"
    assert not Job.objects.exists() and not Person.objects.exists()


@pytest.mark.parametrize("door", DOORS)
def test_a_key_that_is_too_long(door: str, loop: LoopVersion, root: Any) -> None:
    answer = sent(door, loop, token_for(root), "k" * (LONGEST_KEY + 1))
    assert answer.status_code == 422 and "send a shorter one" in answer.told["detail"]
    assert not IdempotentAnswer.objects.exists() and not Release.objects.exists()


def test_keys_of_two_accounts_are_two_keys(loop: LoopVersion, root: Any) -> None:
    IdempotentAnswer.objects.create(user=root, key="k", request_digest="of another request")
    assert sent("people", loop, service_token(), "k").status_code == 201


def test_a_request_and_a_reward_of_something_else(loop: LoopVersion) -> None:
    token = person("ann")[1]
    decision = ask(token, "r1").told["decisionId"]
    again = ask(token, "r1", context={"mood": -0.5, "place": "home"})
    assert again.status_code == 422 and again.told["type"] == "urn:r3al:problem:key-reused"
    url = f"/api/v1/optima/decisions/{decision}/rewards"
    assert post(url, token, {"rewardId": "w1", "total": 0.3}).status_code == 201
    other = post(url, token, {"rewardId": "w1", "total": 0.4})
    assert other.status_code == 422 and other.told["type"] == "urn:r3al:problem:key-reused"
    assert ServedDecision.objects.count() == RewardEvent.objects.count() == 1
