"""A real web process beside which a shadow fails or sleeps: answers are those of the stable version, and come as fast."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.models import ServingSlot, ShadowMinute
from deployments.services.rollouts.operate import rollout_abort
from deployments.services.rollouts.start import rollout_start
from deployments.services.serving.policy_cache import SLOT_SECONDS
from deployments.services.serving.replay import decisions_replay
from privacy.models import Choice, Decision
from tests.e2e.live import Phone, until
from tests.factories.care import care_loop, person
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve
from tests.stack import Stack, web_processes

REQUESTS, SLEEP_SECONDS = 60, 0.4
APPLICATION = "tests.deployments.services.serving.faulty_shadow:application"


def asked(phone: Phone, name: str) -> tuple[list[Any], float]:
    """Answers to requests in alternating moods, and the median seconds of one."""
    told, took = [], []
    for i in range(REQUESTS):
        began = time.perf_counter()
        body = {"requestId": f"{name}-{i}", "loop": "care", "context": {"mood": (0.5, -0.5)[i % 2], "place": "home"}}
        status, answer = phone.post("optima/decisions", body)
        took.append(time.perf_counter() - began)
        assert status == 200 and answer["available"]
        told.append(answer)
    return told, float(np.median(took))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", ["raises", "sleeps"])
def test_it_changes_no_answer_and_no_time(fault: str, stack: Stack, tmp_path: Path) -> None:
    loop = care_loop()
    stable = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
    serve(stable)
    ServingSlot.objects.update(exploration_bp=0)
    _, token = person("ann")
    with web_processes(
        stack, tmp_path / "web.log", workers=1, application=APPLICATION, FAULT=fault, SLEEP_SECONDS="0.4"
    ) as port:
        phone = Phone(port, token)
        asked(phone, "warm")
        alone, usual = asked(phone, "alone")
        test = rollout_start(
            strategy="shadow_test", version=judged(learned(loop, "policy", ALWAYS_WALK)), actor="ann", reason="look"
        )
        time.sleep(2 * SLOT_SECONDS)
        beside, median = asked(phone, "beside")
        until(ShadowMinute.objects.filter(version=test.version).exists, 20.0, (tmp_path / "web.log").read_text)
        rollout_abort(rollout=test, actor="ann", reason="seen enough")
        phone._hang_up()
    policies = [[told["actions"]["policy"] for told in answers] for answers in (alone, beside)]
    assert policies[0] == policies[1], "the same actions, propensities and rankings"
    assert {told["versions"]["policy"] for told in beside} == {stable.pk}
    assert Decision.objects.count() == 3 * REQUESTS and not Choice.objects.filter(version=test.version_id).exists()
    assert not any(replayed.difference for replayed in decisions_replay()), (
        "each row is what the stable version decided"
    )
    assert median < usual + SLEEP_SECONDS / 4, "a shadow in the request's way would add all of its sleep"
    row = ShadowMinute.objects.filter(version=test.version)
    counted = {name: sum(getattr(r, name) for r in row) for name in ("scored", "errors", "late")}
    assert counted["errors"] > 0 if fault == "raises" else counted["scored"] == counted["late"] > 0
