"""Prepare the world of the decision benchmark: the r3al loop with a learned version per head, and people with device tokens.

Everybody is always available here (no quiet hours, cool-down or daily cap), so every request is decided and logged completely.
"""

from __future__ import annotations

import gc
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EXPLORED_BP, ROUNDS = 1_000, 10
_RULES = ("daily_cap", "cooldown", "quiet_hours", "mood = { at_most", "stress = { at_least")
_CONFIG = {"hinges": True}


def start_django() -> None:
    """Start Django on the configured database."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
    django.setup()


def prepare(folder: Path, people: int, requests: int) -> None:
    """Fill the fresh configured database, and write one file of requests (token and body) per kind of caller.

    ``device.json`` is for people's devices with one token each, ``service.json`` for one service that names the people.
    """
    start_django()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    tokens = _people(people, _loop())
    device = [[tokens[i % people], body_of(i)] for i in range(requests)]
    (folder / "device.json").write_text(json.dumps(device))
    token = _service()
    service = [[token, body_of(i + requests, f"person-{i % people}")] for i in range(requests)]
    (folder / "service.json").write_text(json.dumps(service))


def body_of(i: int, user_id: str | None = None) -> str:
    """Return the i-th request body, with a complete context, so that its state does not depend on earlier requests."""
    share = (i * 0.618034) % 1.0
    context = {
        "mood": round(2 * share - 1, 4), "stress": round(1 - share, 4), "engagement": 0.4, "energy": round(share, 4),
        "arousal": 0.3, "daypart": ("morning", "midday", "evening", "night")[i % 4],
    }  # fmt: skip
    body: dict[str, Any] = {"requestId": f"request-{i}", "context": context, "localTime": "2025-06-01T12:00:00+02:00"}
    return json.dumps(body | ({"userId": user_id} if user_id else {}))


def _loop() -> Any:
    """Add the loop and deploy a learned version of each head to everybody, with a tenth of the decisions explored."""
    import numpy as np

    from deployments.models import ServingSlot
    from deployments.services.rollouts.slots import slot_swap, slots_seed
    from loops.engine.features import FeatureMap
    from loops.selectors import loop_specs_builtin
    from loops.services import loop_add
    from training.models import VersionKind
    from training.services.versions import version_register

    text = loop_specs_builtin()["r3al"].read_text(encoding="utf-8")
    without_rules = [line for line in text.splitlines() if not line.startswith(_RULES)]
    version, _ = loop_add(text="\n".join(without_rules), source="benchmark")
    rng, width = np.random.default_rng(1), FeatureMap.of(version.spec, True).width
    for slot in slots_seed(loop_version=version):
        actions = len(version.spec.head(slot.head).actions)
        arrays = {"weights": rng.normal(size=(actions, width)), "margin": np.array(0.05)}
        learned = version_register(
            loop_version=version, head=slot.head, kind=VersionKind.LINEAR_Q, arrays=arrays, config=_CONFIG
        )
        slot_swap(slot=slot, version=learned, strategy="full_rollout", actor="benchmark", reason="benchmark")
    ServingSlot.objects.update(exploration_bp=EXPLORED_BP)
    return version


def _people(count: int, loop_version: Any) -> list[str]:
    """Register people who consent, and return one device token each."""
    from django.contrib.auth.models import User
    from django.db import transaction
    from knox.models import AuthToken

    from privacy.models import PersonAccount, Purpose
    from privacy.services.people.consent import consent_grant
    from privacy.services.people.identity import people_get_or_create

    names = [f"person-{i}" for i in range(count)]
    ids = people_get_or_create(population=loop_version.spec.population, identifiers=names)
    consent_grant(person_ids=list(ids.values()), purposes=list(Purpose), source="benchmark")
    with transaction.atomic():
        users = User.objects.bulk_create(User(username=name, password="!") for name in names)
        PersonAccount.objects.bulk_create(
            PersonAccount(user=u, person_id=ids[n]) for u, n in zip(users, names, strict=True)
        )
        return [AuthToken.objects.create(user)[1] for user in users]


def _service() -> str:
    """Return the token of a service that may act for people."""
    from django.contrib.auth.models import Permission, User
    from knox.models import AuthToken

    user = User.objects.create_user("backend")
    user.user_permissions.add(Permission.objects.get(codename="serve_people"))
    return str(AuthToken.objects.create(user)[1])


def measure_inprocess(calls: int) -> dict[str, Any]:
    """Measure the microseconds between a request body and its answer without I/O: parsing, state, arbiter, exploration, encoding.

    The result holds the thread's CPU time and the wall time, with garbage collection as in the web process. Percentiles are
    medians over ten rounds, which reduces the influence of other programs on the machine. It uses the prepared database.
    """
    start_django()
    import msgspec
    import numpy as np
    from knox.models import AuthToken

    from core.garbage_collection import freeze_garbage_collector
    from deployments.services.serving.compute_decision import compute_decision
    from deployments.services.serving.decide import decide
    from deployments.services.serving.policy_cache import served_loop
    from deployments.services.serving.request_keys import request_key
    from deployments.services.serving.requests import DecisionRequest
    from privacy.models import Person
    from privacy.selectors.keys import serving_state_opened
    from privacy.services.people.authentication import caller_of, token_read
    from privacy.services.records.serving_read import serving_read
    from privacy.services.records.serving_write import decision_sealed

    person = Person.objects.order_by("pk")[0]
    serving = served_loop("r3al")
    spec, loop_id = serving.spec, serving.loop_version.loop_id
    token = token_read(f"Token {AuthToken.objects.create(person.account.user)[1]}")
    decide(token, msgspec.json.decode(body_of(-1), type=DecisionRequest))  # creates the serving state
    state = serving_read(
        token._replace(caller=caller_of(token)),
        user_id=None, population=spec.population, loop_id=loop_id, request_key=b"",
    )  # fmt: skip
    decoder, bodies = msgspec.json.Decoder(DecisionRequest), [body_of(i).encode() for i in range(calls)]
    freeze_garbage_collector()  # as the web process does when it starts
    wall, cpu = np.empty(calls), np.empty(calls)
    for i, body in enumerate(bodies[:200] + bodies, start=-200):
        began, began_cpu = time.perf_counter_ns(), time.thread_time_ns()
        request, now = decoder.decode(body), datetime.now(UTC)
        opened = serving_state_opened(state, spec=spec, loop_id=loop_id, now=now)
        decided, _ = compute_decision(serving, request, state, opened, request_key(request), now)
        decision_sealed(decided)
        cpu[i], wall[i] = time.thread_time_ns() - began_cpu, time.perf_counter_ns() - began
    return {"part": "in process", "requests": calls, "gc": gc.isenabled()} | {
        f"p{p}_{name}us": float(np.median(np.percentile(took.reshape(ROUNDS, -1), p, axis=1))) / 1e3
        for name, took in (("", cpu), ("wall_", wall))
        for p in (50, 99)
    }
