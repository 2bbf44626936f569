"""Deploying by hand on the web: what waits is offered, harm that is remembered is overridden with a reason, trials begin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.models import Deployment
from deployments.selectors.slots import is_on_trial, slot_for
from deployments.services.rollouts.rollback import version_rollback
from deployments.services.rollouts.trial import trial_start
from jobs.models import Job
from loops.models import LoopVersion
from privacy.models import VaultEvent
from privacy.services.vault.commitments import text_digest
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.services import turn_parameters
from tests.factories.care import care_loop
from tests.factories.releases import new_release
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from training.models import GateVerdict, ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


@pytest.fixture
def client(loop: LoopVersion) -> Client:
    return browser("Operator")


def get(client: Client, url: str) -> str:
    return " ".join(client.get(url, follow=True).content.decode().split())


def post(client: Client, url: str, **form: str) -> str:
    return " ".join(client.post(url, form, follow=True).content.decode().split())


def deploy_url(version: ModelVersion) -> str:
    return reverse("training-dashboard-deploy", args=[version.pk])


def waiting(loop: LoopVersion, version: ModelVersion, strategy: str) -> Turn:
    """A turn that ended evaluated, as its last stage stores it."""
    turn = Turn.objects.create(
        loop=loop.loop, loop_version=loop, parameters=turn_parameters(), outcome="waiting", finished_at=version.created_at,
        reason=f"policy: Few people. It is left to an operator to begin the trial of policy {version.name}.",
    )  # fmt: skip
    summary = {"deployed": False, "waiting": {"policy": {"version": version.pk, "strategy": strategy}}}
    TurnStage.objects.create(turn=turn, name="deploy", job=Job.objects.create(kind="turn.deploy"), summary=summary)
    return turn


def harmed(loop: LoopVersion) -> ModelVersion:
    version = undecided(learned(loop, "policy", ALWAYS_WALK))
    trial_start(version=version, actor="turn 1", reason="undecided")
    version_rollback(version=version, actor="ann", reason="people frown", harmful=True)
    return version


def test_what_waits_is_offered_and_a_trial_begins(loop: LoopVersion, client: Client) -> None:
    version = undecided(learned(loop, "policy", ALWAYS_WALK))
    turn = waiting(loop, version, "trial")
    text = get(client, PAGE)
    assert f"Waiting for you: care v1, turn {turn.pk}" in text and f"Begin the trial: policy {version.name}" in text
    asked = get(client, deploy_url(version))
    assert 'value="trial" checked' in asked and 'value="full_rollout"' not in asked, "it did not pass"
    assert "Exploration falls from 100% to 20% of decisions." in asked
    done = post(client, deploy_url(version), strategy="trial")
    assert f"{version} is on trial: half of the people have it" in done
    assert "From now on 20% of decisions explore." in done
    assert is_on_trial(version) and "Waiting for you" not in get(client, PAGE)
    assert Deployment.objects.get().actor == "Operator-1"
    turn.refresh_from_db()
    assert turn.outcome == "kept" and turn.reason.endswith(f"Operator-1 began the trial of {version.name}.")


def test_of_a_first_policy_that_passed_the_trial_is_proposed_and_everybody_is_possible(
    loop: LoopVersion, client: Client
) -> None:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    asked = get(client, deploy_url(version))
    assert 'value="trial" checked' in asked and 'value="full_rollout">' in asked
    assert "is deployed to everybody" in post(client, deploy_url(version), strategy="full_rollout")
    assert slot_for(loop.loop, "policy").stable == version


def test_a_trial_that_passed_is_promoted_by_hand(loop: LoopVersion, client: Client) -> None:
    version = undecided(learned(loop, "policy", ALWAYS_WALK))
    trial_start(version=version, actor="turn 1", reason="undecided")
    refused = get(client, deploy_url(version))
    assert "is on trial, and no look has passed yet; wait for the next turn, or stop the trial." in refused
    release = new_release(loop)
    release.parameters = {"kind": "trial", "version": version.pk, "look": 1}
    release.save()
    GateVerdict.objects.create(version=version, attempt=2, release=release, verdict="pass", reason="It is better.")
    waiting(loop, version, "full_rollout")
    text = get(client, PAGE)
    assert f"Deploy: policy {version.name}" in text and "Look 1 of 3" in text
    asked = get(client, deploy_url(version))
    assert "Its trial passed." in asked and "Exploration stays at 20% of decisions." in asked
    assert "is deployed to everybody except the holdback" in post(client, deploy_url(version), strategy="full_rollout")
    slot = slot_for(loop.loop, "policy")
    assert (slot.stable, slot.candidate, slot.holdback_bp) == (version, None, 500)


def test_remembered_harm_is_overridden_with_a_reason(loop: LoopVersion, client: Client) -> None:
    before = harmed(loop)
    twin = undecided(learned(loop, "policy", ALWAYS_WALK))
    assert deploy_url(twin) in get(client, PAGE), "a turn tried to begin its trial, and could not"
    asked = get(client, deploy_url(twin))
    assert f"{twin} acts like {before}, which was taken back for harm" in asked
    assert "Reason to deploy it anyway" in asked
    assert "start another turn, or deploy with an override reason" in post(client, deploy_url(twin), strategy="trial")
    assert not is_on_trial(twin)
    assert "is on trial" in post(client, deploy_url(twin), strategy="trial", override="it frowns less")
    assert is_on_trial(twin)
    assert "because it frowns less" in Deployment.objects.latest("pk").reason
    assert VaultEvent.objects.filter(kind="deployment").latest("pk").body["override"] == text_digest("it frowns less")


def test_who_may_not_override_sees_what_speaks_against_it_and_no_form(loop: LoopVersion, client: Client) -> None:
    harmed(loop)
    twin = undecided(learned(loop, "policy", ALWAYS_WALK))
    Group.objects.get(name="Operator").permissions.remove(Permission.objects.get(codename="override_comparison"))
    asked = get(client, deploy_url(twin))
    assert "taken back for harm" in asked and "Your role does not allow to override this" in asked
    assert '<form method="post" class="td-form">' not in asked
    assert client.post(deploy_url(twin), {"strategy": "trial", "override": "I may not"}).status_code == 403
    assert not is_on_trial(twin)


def test_an_older_candidate_is_not_offered(loop: LoopVersion, client: Client) -> None:
    older = undecided(learned(loop, "policy", ALWAYS_WALK))
    newer = undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    text = get(client, PAGE)
    assert deploy_url(newer) in text and deploy_url(older) not in text


def test_a_turn_can_be_started_that_waits(loop: LoopVersion, client: Client) -> None:
    form = {"loop": "care", "modelType": "policy", "epochs": "50", "syntheticSamples": "500", "epsilon": "0.5"}
    post(client, reverse("training-dashboard-train"), **form, deploy="by hand")
    turn = Turn.objects.get()
    assert turn.parameters["deploy"] == "by hand" and turn.deploys_by_hand
    turn.delete()
    post(client, reverse("training-dashboard-train"), **form)
    assert Turn.objects.get().parameters["deploy"] is None and not Turn.objects.get().deploys_by_hand
