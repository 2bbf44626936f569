"""A loop that is served: people with tokens, a service account, and learned versions whose choices are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from django.contrib.auth.models import Permission, User
from django.test import Client
from knox.models import AuthToken

from deployments.selectors.slots import slot_for
from deployments.services.rollouts.slots import slot_swap, slots_seed
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.engine.features import FeatureMap
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import PersonAccount, Purpose
from privacy.services.people.authentication import forget_callers
from privacy.services.people.consent import consent_grant
from privacy.services.people.identity import people_get_or_create
from training.models import ModelVersion
from training.services.registry import version_register

TOML = """
name = "care"
version = 1
decisions_per_day = 4
exploration = 0.2

[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
[features.place]
categories = ["home", "work"]
dynamics = "drift"
[features.gap]
bounds = [0, 1]
dynamics = "since_intervention"
step = 0.25

[heads.policy]
actions = ["wait", "talk", "walk"]
reference = "wait"
logging = [0.5, 0.25, 0.25]
[heads.tone]
actions = ["warm", "calm"]
reference = "warm"
logging = [0.5, 0.5]
when = "intervening"

[reward]
scale = 0.5
deadline = "DEADLINE"
default = 0.0
harmful_labels = ["dismissed"]

[availability]
RULES

[import.csv]
user = "who"
key = ["who", "at"]
time = "at"
missing = "drop"
next_state = "next_row_same_day"
label = "label"
reward = { total = "felt" }
[import.csv.heads]
policy = { action = "did", propensity = "p" }
tone = { action = "tone", propensity = "tone_p" }
"""
URL = "/api/v1/optima/decisions"
CONTEXT = {"mood": 0.25, "place": "home"}


def care_loop(*, rules: str = "", deadline: str = "24h", version: int = 1) -> LoopVersion:
    """The loop in the database, its slots seeded with their references."""
    clear_policy_cache()
    forget_callers()
    text = TOML.replace("RULES", rules).replace("DEADLINE", deadline).replace("version = 1", f"version = {version}")
    made, _ = loop_add(text=text, source="care.toml")
    slots_seed(loop_version=made)
    return made


def person(name: str, *, consents: tuple[Purpose, ...] = tuple(Purpose)) -> tuple[int, str]:
    """Somebody registered, with a device token: id and token."""
    pk = people_get_or_create(population="care", identifiers=[name])[name]
    if consents:
        consent_grant(person_ids=[pk], purposes=consents, source="test")
    user = User.objects.create_user(f"person-{name}")
    PersonAccount.objects.create(user=user, person_id=pk)
    return pk, AuthToken.objects.create(user)[1]


def service_token() -> str:
    """A token that may act for people."""
    user = User.objects.create_user("backend")
    user.user_permissions.add(Permission.objects.get(codename="serve_people"))
    return str(AuthToken.objects.create(user)[1])


def ask(token: str, request_id: str, *, context: Mapping[str, Any] = CONTEXT, **more: Any) -> Any:
    """POST a decision; the response, with ``.told`` its JSON."""
    body = {"requestId": request_id, "loop": "care", "context": dict(context)} | more
    return post(URL, token, body)


def post(url: str, token: str | None, body: Any) -> Any:
    """POST JSON (or bytes as they are) with a token."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Token {token}"} if token else {}
    response: Any = Client().post(url, data, content_type="application/json", headers=headers)
    response.told = json.loads(response.content)
    return response


def learned(
    loop_version: LoopVersion, head: str, weights: list[list[float]], parent: ModelVersion | None = None, **config: Any
) -> ModelVersion:
    """A learned version with given weights on (1, mood, place=work, gap), that was to beat ``parent``."""
    assert FeatureMap.of(loop_version.spec, False).names == ("1", "mood", "place=work", "gap")
    return version_register(
        loop_version=loop_version,
        head=head,
        arrays={"weights": np.array(weights), "margin": np.array(0.0)},
        config={"hinges": False} | config,
        parent=parent,
    )


TALK_IN_A_GOOD_MOOD = [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]
ALWAYS_WALK = [[0.0] * 4, [0.0] * 4, [1.0, 0.0, 0.0, 0.0]]


def serve(version: ModelVersion) -> None:
    """Put a version in front of everybody, at once seen by this process."""
    slot_swap(
        slot=slot_for(version.loop_version.loop, version.head),
        version=version,
        actor="test",
        reason="test",
        holdback_bp=0,
    )
    clear_policy_cache()
