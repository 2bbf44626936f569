"""The training dashboard: who sees it, who may act, and that every act is confirmed, sent by POST and recorded."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deployments.models import Deployment, HealthCheck, Incident
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_check
from deployments.services.rollouts.trial import trial_start
from jobs.leases import claim
from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import Release, VaultEvent
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.care import care_loop
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, judged, learned, serve, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"
EVERYBODY = {"strategy": "full_rollout"}


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


def passed(loop: LoopVersion) -> ModelVersion:
    return judged(learned(loop, "policy", ALWAYS_WALK))


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_strangers_log_in_and_roles_without_models_see_nothing(loop: LoopVersion) -> None:
    assert Client().get(PAGE)["Location"].startswith("/admin/login/")
    assert browser("Service").get(PAGE).status_code in (302, 403)


def test_a_viewer_sees_everything_and_can_do_nothing(loop: LoopVersion) -> None:
    version, client = passed(loop), browser("Viewer")
    shown = text(client.get(PAGE))
    assert "care/policy" in shown and "About this platform" in shown
    assert "Start training" not in shown and reverse("training-dashboard-deploy", args=[version.pk]) not in shown
    for name, pk in (("deploy", version.pk), ("rollback", version.pk), ("cancel", 1)):
        assert client.post(reverse(f"training-dashboard-{name}", args=[pk]), {"reason": "x"}).status_code == 403
    assert client.post(reverse("training-dashboard-train"), {}).status_code == 403
    assert not Deployment.objects.exists() and not Turn.objects.exists()


def test_deploying_and_taking_back_are_confirmed_and_recorded(loop: LoopVersion) -> None:
    version, client = passed(loop), browser("Operator")
    url = reverse("training-dashboard-deploy", args=[version.pk])
    assert url in text(client.get(PAGE))
    assert "Deploy care/policy" in text(client.get(url)) and not Deployment.objects.exists(), "looking does nothing"
    done = text(client.post(url, EVERYBODY, follow=True))
    assert "is deployed to everybody except the holdback" in done
    assert "From now on 20% of decisions explore." in done
    assert slot_for(loop.loop, "policy").stable == version
    assert Deployment.objects.get().actor == "Operator-1"
    back = reverse("training-dashboard-rollback", args=[version.pk])
    asked = text(client.get(back))
    assert "you can undo this until something else is deployed" in asked and "it is never deployed again" in asked
    assert "needs a reason" in text(client.post(back, {"reason": ""}, follow=True))
    assert "is rolled back" in text(client.post(back, {"reason": "people frown", "harmful": "1"}, follow=True))
    assert Incident.objects.get().harmful and "people frown" in text(client.get(PAGE))
    assert set(VaultEvent.objects.values_list("kind", flat=True)) >= {"deployment", "rollback"}
    assert "is not deployed" in text(client.post(back, {"reason": "again"}, follow=True))
    assert reverse("training-dashboard-undo", args=[version.pk]) not in text(client.get(PAGE)), "harm is not undone"


def test_a_harmless_rollback_is_undone(loop: LoopVersion) -> None:
    version, client = passed(loop), browser("Operator")
    serve(version)
    client.post(reverse("training-dashboard-rollback", args=[version.pk]), {"reason": "by mistake"})
    undo = reverse("training-dashboard-undo", args=[version.pk])
    assert undo in text(client.get(PAGE))
    asked = text(client.get(undo))
    assert "Undo the rollback of" in asked and "It caused harm" not in asked
    assert "needs a reason" in text(client.post(undo, {"reason": ""}, follow=True))
    assert browser("Viewer").post(undo, {"reason": "x"}).status_code == 403
    assert "is deployed again" in text(client.post(undo, {"reason": "it was a mistake"}, follow=True))
    assert slot_for(loop.loop, "policy").stable == version
    assert "something else was deployed since" in text(client.get(undo, follow=True))


def test_a_trial_is_shown_and_can_be_stopped(loop: LoopVersion) -> None:
    version, client = undecided(learned(loop, "policy", ALWAYS_WALK)), browser("Operator")
    trial_start(version=version, actor="turn 1", reason="undecided")
    shown = text(client.get(PAGE))
    assert f"On trial: {version}" in shown and "Half of the people" in shown
    stop = reverse("training-dashboard-rollback", args=[version.pk])
    assert stop in shown
    assert "is rolled back" in text(client.post(stop, {"reason": "people frown"}, follow=True))
    assert slot_for(loop.loop, "policy").candidate is None
    after = text(client.get(PAGE))
    assert "Trial stopped" in after and reverse("training-dashboard-undo", args=[version.pk]) not in after


def test_deploying_what_was_judged_against_something_else_takes_a_reason(loop: LoopVersion) -> None:
    old, client = passed(loop), browser("Operator")
    serve(learned(loop, "policy", ALWAYS_WALK))
    url = reverse("training-dashboard-deploy", args=[old.pk])
    assert "Reason to deploy it anyway" in text(client.get(url))
    assert "was judged against the reference, but" in text(client.post(url, follow=True))
    assert slot_for(loop.loop, "policy").stable != old
    assert "is deployed to everybody except the holdback" in text(
        client.post(url, EVERYBODY | {"override": "the newer one is slow"}, follow=True)
    )
    assert slot_for(loop.loop, "policy").stable == old

    other = passed(loop)
    Group.objects.get(name="Operator").permissions.remove(Permission.objects.get(codename="override_comparison"))
    url = reverse("training-dashboard-deploy", args=[other.pk])
    assert "start a new turn" in text(client.get(url, follow=True))
    assert client.post(url, {"override": "I may not"}).status_code == 403
    assert slot_for(loop.loop, "policy").stable == old


def test_without_the_form_s_own_token_nothing_is_done(loop: LoopVersion) -> None:
    version = passed(loop)
    browser("Operator")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="Operator-1"))
    assert strict.post(reverse("training-dashboard-deploy", args=[version.pk])).status_code == 403
    assert not Deployment.objects.exists()


def test_training_begins_is_shown_and_can_be_cancelled(loop: LoopVersion) -> None:
    client = browser("Operator")
    form = {"loop": "care", "modelType": "policy", "epochs": "50", "syntheticSamples": "500", "epsilon": "0.5"}
    said = text(client.post(reverse("training-dashboard-train"), form, follow=True))
    turn = Turn.objects.get()
    assert f"You started {turn} at {turn.created_at:%H:%M} UTC" in said, "which stays true when it has ended"
    assert (turn.parameters["epsilon"], turn.parameters["requested"]["epochs"]) == (0.5, 50)
    cancel = reverse("training-dashboard-cancel", args=[turn.pk])
    assert cancel in text(client.get(reverse("training-dashboard-live")))
    assert f"Cancel turn {turn.pk}" in text(client.get(cancel))
    assert "is cancelled. Its stage collect wrote nothing" in text(client.post(cancel, follow=True))
    turn.refresh_from_db()
    assert turn.outcome == "cancelled"
    assert "is over (cancelled); there is nothing to cancel." in text(client.get(cancel, follow=True))
    assert "is over (cancelled); there is nothing to cancel" in text(client.post(cancel, follow=True))


def test_a_turn_that_went_on_after_the_question_is_cancelled_where_it_is(loop: LoopVersion) -> None:
    client = browser("Operator")
    turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters())
    cancel = reverse("training-dashboard-cancel", args=[turn.pk])
    assert "Cancel turn" in text(client.get(cancel))
    job_run(turn.stages.get(name="collect").job_id)
    held = claim(turn.stages.get(name="release").job_id)
    assert held is not None
    assert "is being cancelled. Its stage release stops at its next report" in text(client.post(cancel, follow=True))
    held.refresh_from_db()
    assert held.cancel_requested and held.state == "running"


@pytest.mark.parametrize("act", ["deploy", "rollback", "cancel"])
def test_what_is_not_there_is_said_on_the_dashboard(loop: LoopVersion, act: str) -> None:
    client = browser("Operator")
    for pk in (99_999, 10**30):
        url = reverse(f"training-dashboard-{act}", args=[pk])
        for answer in (client.get(url, follow=True), client.post(url, {"reason": "r"}, follow=True)):
            assert answer.redirect_chain == [
                (PAGE, 302)
            ] and f"there is no {'turn' if act == 'cancel' else 'version model_'}" in text(answer)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"epochs": "many"}, "whole number from 1"), ({"epsilon": "9"}, "above the most"), ({"loop": "lost"}, "no loop"),
     ({"syntheticSamples": "5"}, "whole number from 200"), ({"epsilon": ""}, "must be a number"),
     ({"modelType": "r3al/policy"}, "head 'policy' of loop 'r3al' and the loop 'care'")],
)  # fmt: skip
def test_bad_values_are_one_sentence(loop: LoopVersion, change: dict[str, str], said: str) -> None:
    form = {"loop": "care", "modelType": "policy", "epochs": "50", "syntheticSamples": "500", "epsilon": "0.5"} | change
    response = browser("Operator").post(reverse("training-dashboard-train"), form, follow=True)
    answer = text(response)
    assert response.status_code == 422 and said.replace("'", "&#x27;") in answer and not Turn.objects.exists()
    for name in ("epochs", "syntheticSamples", "epsilon"):
        assert re.search(rf'name="{name}"[^>]* value="{form[name]}"', answer), "what was typed is still there"
    assert '<option value="care/policy" selected>' in answer


def test_health_is_shown_with_its_numbers(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    metric = {"name": "empathy", "value": 0.6, "low": 0.5, "high": 0.7, "threshold": 0.75, "n": 120, "minimum_n": 20,
              "verdict": "beyond"}  # fmt: skip
    HealthCheck.objects.create(
        slot=slot_for(loop.loop, "policy"), version=version, generation=2, state="degraded", metrics=[metric],
        recommendations=["Look at the states in which it intervenes."],
    )  # fmt: skip
    shown = text(browser("Viewer").get(PAGE))
    for words in (
        "degraded",
        "0.6 (0.5 to 0.7) from 120 people.",
        "Must be at least 0.75.",
        "Look at the states",
        "beyond limit",
    ):
        assert words in shown, words


def test_what_nobody_saw_is_not_called_healthy(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    slot = slot_for(loop.loop, "policy")
    check = health_check(slot=slot)
    assert check.state == "healthy" and not check.enough_seen
    client = browser("Viewer")
    for url in (PAGE, reverse("training-dashboard-live"), reverse("admin:deployments_healthcheck_changelist")):
        shown = text(client.get(url))
        assert "not enough data yet" in shown and "fp-healthy" not in shown, url
    assert "Not enough data yet (0 of 20 people)." in text(client.get(PAGE)), "instead of an interval from 0 to 1"
    check.metrics[0]["verdict"] = "ok"
    check.save()
    assert "fp-healthy" not in text(client.get(PAGE)), "nobody is known to be unharmed"
    check.metrics[1]["verdict"] = "ok"
    check.save()
    assert "fp-healthy" in text(client.get(PAGE)), "where something could be judged it is said"


def test_an_act_that_would_be_refused_is_not_offered(loop: LoopVersion) -> None:
    version, client = passed(loop), browser("Operator")
    judged(version, "insufficient", attempt=2, reason="It takes more people.")
    for act, why in (("deploy", "It takes more people"), ("rollback", "is not deployed")):
        url = reverse(f"training-dashboard-{act}", args=[version.pk])
        asked = client.get(url)
        assert asked.status_code == 409 and "This is not possible now" in text(asked) and why in text(asked)
        assert '<form method="post" class="td-form">' not in text(asked)
        assert why in text(client.post(url, {"reason": "x"}, follow=True)), "the same that the act itself says"
    assert not Deployment.objects.exists()


def release(loop: LoopVersion, kind: str, guarantee: str, epsilon: float | None = None) -> None:
    formal = {} if epsilon is None else {"formal_epsilon": epsilon, "formal_delta": 1e-5, "rho": 1}
    technique = "differential_privacy" if epsilon else "k_anonymity"
    Release.objects.create(
        key=guarantee, loop_version=loop, purpose="training", technique=technique, mechanism="some", parameters={"kind": kind},
        policy_cost=1, guarantee=guarantee, state="committed", committed_at=timezone.now(), **formal,
    )  # fmt: skip


@pytest.mark.parametrize("url", [PAGE, "/admin/"])
def test_an_export_without_a_guarantee_is_told_beside_it_and_not_as_it(loop: LoopVersion, url: str) -> None:
    client = browser("Viewer")
    release(loop, "moments", "(1, 1e-5)-differential privacy", 1.0)
    release(loop, "anonymization", "statistics under differential privacy", 0.5)
    assert "without a formal guarantee" not in text(client.get(url))
    release(loop, "anonymization", "ten people or more alike")
    shown = text(client.get(url))
    promised, beside = shown.split("In addition, 1 export without a formal guarantee left the trust boundary")
    assert "(1, 1e-5)-differential privacy" in promised and "statistics under" not in promised
    assert "ten people or more alike" in beside and "ten people or more alike" not in promised
