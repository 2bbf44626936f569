"""Deploying by an operator: what must hold, each with an error of its own, and nothing written when it does not."""

from __future__ import annotations

import pytest
from django.utils import timezone

from deployments.models import Deployment
from deployments.selectors import slot_for
from deployments.services.deploy import full_rollout
from r3al_project.common.errors import Conflict, NotFound
from tests.deployments.serving import ALWAYS_WALK, care_loop, learned
from training.models import GateVerdict, ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    return learned(care_loop(), "policy", ALWAYS_WALK)


def judge(version: ModelVersion, verdict: str, attempt: int = 1) -> None:
    GateVerdict.objects.create(version=version, attempt=attempt, verdict=verdict, reason="said so")


def deploy(version: ModelVersion) -> Deployment:
    return full_rollout(version=version, actor="ann", reason="passed")


def refused(version: ModelVersion, why: str) -> None:
    before, deployments = slot_for(version.loop_version.loop, "policy"), Deployment.objects.count()
    with pytest.raises(Conflict, match=why):
        deploy(version)
    after = slot_for(version.loop_version.loop, "policy")
    assert (after.stable_id, after.generation) == (before.stable_id, before.generation)
    assert Deployment.objects.count() == deployments


def test_what_passed_is_deployed(version: ModelVersion) -> None:
    judge(version, "pass")
    made = deploy(version)
    assert made.previous is not None and made.previous.kind == "reference"
    assert (made.state, made.actor) == ("succeeded", "ann")
    assert slot_for(version.loop_version.loop, "policy").stable == version


def test_what_was_not_evaluated_is_not(version: ModelVersion) -> None:
    refused(version, "was not evaluated")


@pytest.mark.parametrize(("verdict", "words"), [("fail", "fail"), ("insufficient", "insufficient evidence")])
def test_what_did_not_pass_is_not(version: ModelVersion, verdict: str, words: str) -> None:
    judge(version, "pass")
    judge(version, verdict, attempt=2)
    refused(version, f"got '{words}': said so")


@pytest.mark.parametrize("state", ["training", "deployed", "archived", "failed"])
def test_what_is_in_another_state_is_not(version: ModelVersion, state: str) -> None:
    judge(version, "pass")
    ModelVersion.objects.filter(pk=version.pk).update(state=state)
    version.refresh_from_db()
    refused(version, f"is {state}; only a version that is evaluating")


@pytest.mark.parametrize("state", ["pending", "in_progress", "paused"])
def test_one_deployment_at_a_time(version: ModelVersion, state: str) -> None:
    judge(version, "pass")
    slot = slot_for(version.loop_version.loop, "policy")
    active = Deployment.objects.create(slot=slot, version=slot.stable, strategy="canary", state=state)
    refused(version, f"deployment {active.pk} .* finish or abort it first")
    Deployment.objects.filter(pk=active.pk).update(state="aborted", finished_at=timezone.now())
    assert deploy(version).state == "succeeded"


def test_a_head_without_a_slot_is_said_to(version: ModelVersion) -> None:
    judge(version, "pass")
    slot_for(version.loop_version.loop, "policy").delete()
    with pytest.raises(NotFound, match="add the loop"):
        deploy(version)
