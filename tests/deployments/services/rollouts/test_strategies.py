"""Rollout strategies: what is declared is started or refused with its reason, and a strategy that is half there does not load."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from core.errors import InputError
from deployments.engine.rollouts.strategies import STRATEGIES, RolloutStrategy, strategy_table
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.slots import slot_swap
from deployments.services.rollouts.start import STARTERS, rollout_start, starter_table
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned
from tests.r3al_project.api.api_calls import post
from training.models import GateVerdict, ModelVersion

EVERYBODY = RolloutStrategy("everybody", "everybody at once")
LATER = RolloutStrategy("later", "later", refused="the server cannot wait yet")


def to_everybody(
    *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
) -> Deployment:
    """Put a version in front of all people, with nobody held back."""
    slot = slot_for(version.loop_version.loop, version.head)
    return slot_swap(
        slot=slot, version=version, strategy="everybody", actor=actor, reason=reason, override=override, holdback_bp=0
    )


@pytest.mark.django_db
def test_a_strategy_in_one_place_is_started_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "everybody", EVERYBODY)
    monkeypatch.setitem(STARTERS, "everybody", to_everybody)
    version = learned(care_loop(), "policy", TALK_IN_A_GOOD_MOOD)
    made = rollout_start(strategy="everybody", version=version, actor="ann", reason="small loop")
    slot = ServingSlot.objects.get(pk=made.slot_id)
    assert (slot.stable, slot.holdback_bp, made.actor) == (version, 0, "ann")
    assert (made.strategy, made.get_strategy_display()) == ("everybody", "everybody at once")
    assert VaultEvent.objects.get(kind="deployment").body["strategy"] == "everybody"
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())


@pytest.mark.django_db
def test_full_rollout_is_started_by_its_name() -> None:
    version = learned(care_loop(), "policy", ALWAYS_WALK)
    GateVerdict.objects.create(version=version, attempt=1, verdict="pass", reason="better")
    made = rollout_start(strategy="full_rollout", version=version, actor="ann", reason="passed")
    assert (made.strategy, made.state, made.version) == ("full_rollout", "succeeded", version)


@pytest.mark.django_db
def test_what_cannot_be_started_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "later", LATER)
    version = learned(care_loop(), "policy", ALWAYS_WALK)
    with pytest.raises(InputError, match=f"{LATER.refused}; use full_rollout or trial"):
        rollout_start(strategy="later", version=version, actor="ann", reason="passed")
    assert not Deployment.objects.exists()


@pytest.mark.django_db
def test_the_api_starts_a_strategy_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The serializer's choices are read when the module loads, so the name stands in for one that is declared there."""
    monkeypatch.setitem(STRATEGIES, "canary", RolloutStrategy("canary", "canary"))
    monkeypatch.setitem(STARTERS, "canary", to_everybody)
    version = learned(care_loop(), "policy", ALWAYS_WALK)
    user = User.objects.create_user("ann")
    user.user_permissions.add(Permission.objects.get(codename="deploy_version"))
    url, token = f"/api/v1/training/models/{version.name}/deploy", AuthToken.objects.create(user)[1]
    part = post(url, token, {"deploymentType": "full_rollout", "trafficPercentage": 50})
    assert part.status_code == 422
    assert part.told["detail"] == "a full rollout begins with no share of your choice; leave trafficPercentage at 100"
    assert post(url, token, {"deploymentType": "canary"}).status_code == 200
    assert Deployment.objects.get().version == version


@pytest.mark.django_db
def test_the_dashboard_starts_a_full_rollout_by_its_name(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setitem(STARTERS, "full_rollout", to_everybody)
    version = learned(care_loop(), "policy", ALWAYS_WALK)
    client.force_login(User.objects.create_superuser("root"))
    client.post(reverse("training-dashboard-deploy", args=[version.pk]))
    assert (Deployment.objects.get().version, Deployment.objects.get().strategy) == (version, "everybody")


def test_the_four_of_the_blueprint_are_declared_and_others_are_unknown() -> None:
    assert {"full_rollout", "canary", "shadow_test", "ab_test"} <= STRATEGIES.keys()
    assert all(strategy.is_available for strategy in STRATEGIES.values())
    with pytest.raises(
        InputError, match="there is no rollout strategy 'big_bang'; choose one of: full_rollout, trial, canary"
    ):
        rollout_start(strategy="big_bang", version=ModelVersion(), actor="ann", reason="passed")


def test_an_available_strategy_without_a_service_does_not_load() -> None:
    declared = strategy_table(*STRATEGIES.values(), EVERYBODY)
    with pytest.raises(ValueError, match="everybody: an available rollout strategy has a service"):
        starter_table(declared, dict(STARTERS))
    with pytest.raises(ValueError, match="later"):
        starter_table(strategy_table(*STRATEGIES.values(), LATER), {**STARTERS, "later": to_everybody})


def test_a_strategy_without_a_name_or_a_label_does_not_load() -> None:
    with pytest.raises(TypeError, match="label"):
        RolloutStrategy("everybody")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="needs a label"):
        strategy_table(RolloutStrategy("everybody", ""))
    with pytest.raises(ValueError, match="at most 20"):
        strategy_table(RolloutStrategy("everybody_in_the_world", "everybody"))
