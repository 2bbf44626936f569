"""The outcome gate as a service: what is not put to the people, and how long a decision takes as it is served."""

from __future__ import annotations

import time
from typing import Any

import pytest

from loops.models import LoopVersion
from privacy.models import Release
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned
from training.models import GateVerdict, ModelMetric, ModelVersion
from training.selectors.versions import attempts_before
from training.services import gate
from training.services.gate import EvaluationPlan, decision_latency, versions_judge


def candidate(loop: LoopVersion, parent: ModelVersion | None = None) -> ModelVersion:
    """A version that its model gate let pass."""
    version = learned(loop, "policy", TALK_IN_A_GOOD_MOOD, parent)
    ModelMetric.objects.create(version=version, source="model_gate", name="model_gate_z", verdict="pass", value=3.0)
    return version


def judge(version: ModelVersion, incumbents: dict[str, ModelVersion]) -> dict[str, Any]:
    write = versions_judge(
        plan=EvaluationPlan({"policy": version}, incumbents, 0.2),
        decide=lambda: None, epsilon=1.0, delta=1e-5, key="judge", report=lambda fraction, message: None,
    )  # fmt: skip
    return write()


@pytest.mark.django_db
@pytest.mark.parametrize("deployed_meanwhile", [True, False])
def test_what_was_trained_to_beat_something_else_is_put_to_nobody(deployed_meanwhile: bool) -> None:
    """Deployed, or taken back, between training and judging: what it was trained to beat and what serves are two things."""
    loop = care_loop()
    other = learned(loop, "policy", ALWAYS_WALK)
    version = candidate(loop, parent=None if deployed_meanwhile else other)
    told = judge(version, {"policy": other} if deployed_meanwhile else {})
    assert told["verdict"] == "insufficient" and "start another turn" in told["reason"]
    assert not Release.objects.exists() and GateVerdict.objects.get().release is None
    assert attempts_before(version) == 0, "nobody was asked, so no attempt was spent"


@pytest.mark.django_db
def test_attempts_are_counted_for_ever_also_after_a_pass() -> None:
    loop = care_loop()
    release = Release.objects.create(
        key="r", loop_version=loop, purpose="evaluation", technique="differential_privacy", mechanism="m", policy_cost=1,
        guarantee="g",
    )  # fmt: skip
    for verdict in ("insufficient", "pass", "fail"):
        GateVerdict.objects.create(
            version=candidate(loop), attempt=1, verdict=verdict, reason="said so", release=release
        )
    assert attempts_before(candidate(loop)) == 3
    assert attempts_before(learned(loop, "tone", [[0.0] * 4] * 2)) == 0


def test_the_decision_that_is_timed_is_the_one_that_is_given() -> None:
    calls: list[None] = []
    quick = decision_latency(lambda: calls.append(None))
    assert quick.verdict == "pass" and quick.high < 200 and len(calls) >= 400
    slow = decision_latency(lambda: time.sleep(0.002))
    assert slow.low >= 2 and slow.value >= 2 and slow.value <= slow.high


def test_one_that_is_too_slow_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "LATENCY_BAR_MS", 1.0)
    found = decision_latency(lambda: time.sleep(0.002))
    assert found.verdict == "fail" and "The bar is 1 ms" in found.reason
