"""A value that does not fit is listed under its own field, also where the service finds it and not the body's type."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from knox.models import AuthToken

from privacy.models import Release, ServedDecision, Signal
from r3al_project.turns.models import Turn
from tests.factories.care import CONTEXT, care_loop, person
from tests.factories.versions import ALWAYS_WALK, learned
from tests.r3al_project.api.api_calls import ask
from tests.r3al_project.api.documented import call, document

pytestmark = pytest.mark.django_db
DECISION = {"requestId": "r", "loop": "care", "context": CONTEXT}
RELEASE = {"dataType": "pulse", "technique": "generalization", "loop": "care"}
GROUPS = RELEASE | {"technique": "k_anonymity"}
TRAIN = {"modelType": "policy", "loop": "care"}
CALCULATE = "training/rewards/calculate"
PREVIEW = "privacy/releases/preview"
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("optima/decisions", DECISION | {"requestId": ""}, "requestId"),
    ("optima/decisions", DECISION | {"userId": ""}, "userId"),
    ("optima/decisions", DECISION | {"userId": "a\0b"}, "userId"),
    ("optima/decisions", DECISION | {"localTime": "2025-06-03T12:00:00"}, "localTime"),
    ("optima/decisions", DECISION | {"context": {"age": 3}}, "context.age"),
    ("optima/decisions", DECISION | {"context": {"mood": "much"}}, "context.mood"),
    ("optima/decisions", DECISION | {"context": {"mood": 0.1, "place": None}}, "context.place"),
    ("optima/decisions", DECISION | {"context": {"mood": True, "place": None}}, "context.mood"),
    ("optima/decisions", DECISION | {"eligible": {"policy": ["wait"], "tone": [1]}}, "eligible.tone.0"),
    ("optima/decisions", {"loop": "care"}, "requestId"),
    ("optima/decisions", DECISION | {"contxt": {}}, "contxt"),
    ("optima/decisions", DECISION | {"eligible": {"policy": []}}, "eligible.policy"),
    ("optima/decisions", DECISION | {"eligible": {"policy": ["fly"]}}, "eligible.policy"),
    ("optima/decisions", DECISION | {"eligible": {"nothing": []}}, "eligible.nothing"),
    ("optima/decisions/{decision}/activate", {"at": "2025-06-03T12:00:00"}, "at"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "inputs": {"rating": 2}}, "inputs.rating"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "inputs": {"delaySeconds": -1}}, "inputs.delaySeconds"),
    ("signals", {"loop": "care", "signals": []}, "signals"),
    (CALCULATE, {"loop": "care", "sentimentBefore": 1.5}, "sentimentBefore"),
    (CALCULATE, {"loop": "care", "engagementAfter": -0.1}, "engagementAfter"),
    (CALCULATE, {"loop": "care", "rating": 1e308}, "rating"),
    (CALCULATE, {"loop": "care", "actionTiming": -1}, "actionTiming"),
    (CALCULATE, {"loop": "care", "actionTiming": 1e308}, "actionTiming"),
    (CALCULATE, {"loop": "care", "timing": "x" * 10_000}, "timing"),
    (CALCULATE, {"loop": "care", "affect": {"age": 0.5}}, "affect.age"),
    (CALCULATE, {"loop": "care", "affect": {"mood": 7}}, "affect.mood"),
    (CALCULATE, {"loop": "care", "affect": {"mood": 0.5, "place": "home"}}, "affect.place"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "inputs": {"joy": 2}}, "inputs.joy"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "inputs": {}}, "inputs"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "components": {}}, "components"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w"}, "body"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "total": 1e308}, "total"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "label": ""}, "label"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "", "label": "liked"}, "rewardId"),
    ("optima/decisions/{decision}/rewards", {"rewardId": "w", "components": {"timing": None}}, "components.timing"),
    ("training/models", TRAIN | {"modelType": "nothing"}, "modelType"),
    ("training/models", TRAIN | {"privacyEpsilon": 0}, "privacyEpsilon"),
    ("training/models", TRAIN | {"privacyEpsilon": 1e308}, "privacyEpsilon"),
    ("training/models/{version}/deploy", {"versionId": "x" * 10_000}, "versionId"),
    ("training/models/{version}/deploy", {"trafficPercentage": 50}, "trafficPercentage"),
    ("me/consents", {"textVersion": "2"}, "body"),
    ("me/erasure", {"confirm": False}, "confirm"),
    *[
        (path, body, field)
        for path in (PREVIEW, "training/anonymizations")
        for body, field in (
            (RELEASE | {"diversity": 2}, "diversity"),
            (RELEASE | {"sensitive": "place"}, "sensitive"),
            (RELEASE | {"fields": []}, "fields"),
            (RELEASE | {"fields": ["age"]}, "fields"),
            (GROUPS | {"k": 1}, "k"),
            (GROUPS | {"diversity": 2}, "sensitive"),
            (RELEASE | {"technique": "differential_privacy", "privacyEpsilon": 0}, "privacyEpsilon"),
            (RELEASE | {"technique": "differential_privacy", "delta": 0.5}, "delta"),
            (RELEASE | {"technique": "pseudonymization", "epoch": "x" * 21}, "epoch"),
        )
    ],
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG)
def test_a_value_that_does_not_fit_is_listed_under_its_field(path: str, body: dict[str, Any], field: str) -> None:
    loop = care_loop()
    device = person("ann")[1]
    before = ask(device, "r0").told["decisionId"]
    root = str(AuthToken.objects.create(User.objects.create_superuser("root"))[1])
    own = path.startswith(("optima", "signals", "me/"))
    filled = path.replace("{decision}", before).replace("{version}", f"model_{learned(loop, 'policy', ALWAYS_WALK).pk}")
    answer = call("PUT" if path == "me/consents" else "POST", filled, device if own else root, body)
    assert answer.status_code == 422 and answer.told["type"] == "urn:r3al:problem:invalid-input", answer.told
    assert answer.told["errors"] == {field: [answer.told["detail"]]}
    assert len(answer.told["detail"]) < 400, "what was sent is not sent back in full"
    assert ServedDecision.objects.count() == 1
    assert not (Release.objects.exists() or Signal.objects.exists() or Turn.objects.exists())


def test_a_parameter_of_a_plain_view_is_named() -> None:
    care_loop()
    answer = call("POST", f"optima/decisions/{uuid4()}/activate?lopp=1", person("ann")[1], {})
    assert answer.status_code == 422 and list(answer.told["errors"]) == ["lopp"]


@pytest.mark.parametrize("inputs", [{}, {"rating": None}])
def test_what_an_empty_object_may_hold_is_named_as_the_api_names_it(inputs: dict[str, Any]) -> None:
    care_loop()
    device = person("ann")[1]
    decision = ask(device, "r0").told["decisionId"]
    body = {"rewardId": "w", "inputs": inputs}
    said = call("POST", f"optima/decisions/{decision}/rewards", device, body).told["detail"]
    named = document()["components"]["schemas"]["ServingRewardInputs"]["properties"]
    assert all(name in said for name in named) and "delaySeconds" in named
    assert "_" not in said and "privacy," not in said
