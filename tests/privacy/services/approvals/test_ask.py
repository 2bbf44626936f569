"""An act waits where its loop asks for a second operator, is written down once, and is done at once everywhere else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.errors import Conflict, Forbidden, InputError
from deployments.models import Deployment
from loops.models import LoopVersion
from notices.models import Notice
from privacy.models import Approval, VaultEvent
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.verify import vault_audit
from r3al_project.turns.deploy_by_hand import deploy_by_hand
from r3al_project.turns.guarded_acts import deploy_or_ask
from tests.factories.care import care_loop
from tests.factories.operators import guarded_loop, operator, outdated_version, override, waiting_override
from tests.factories.versions import ALWAYS_WALK, judged, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    vault_prepare()
    return guarded_loop()


@pytest.fixture
def version(loop: LoopVersion) -> ModelVersion:
    return outdated_version(loop)


@pytest.fixture
def ann() -> OperatorAccount:
    return operator("ann")


def test_nothing_happens_but_a_request(version: ModelVersion, ann: OperatorAccount) -> None:
    asked = waiting_override(version, ann)
    assert not Deployment.objects.filter(version=version).exists()
    assert (asked.state, asked.act, asked.asked_by, asked.reason) == ("waiting", "override", "ann", "I know better")
    assert asked.parameters["version"] == version.pk and asked.parameters["strategy"] == "full_rollout"
    assert "was judged against the reference" in asked.seen["objection"]
    assert abs(asked.expires_at - asked.created_at - timedelta(days=7)) < timedelta(minutes=1)


def test_it_is_told_and_recorded(version: ModelVersion, ann: OperatorAccount) -> None:
    asked = waiting_override(version, ann)
    said = Notice.objects.get(kind="approval_waiting")
    assert said.sentence == f"ann asks for a second operator in care: request {asked.pk}, of the kind override."
    event = VaultEvent.objects.order_by("-sequence")[0]
    assert (event.kind, event.body["state"], event.body["actor"]) == ("approval", "waiting", "ann")
    assert "I know better" not in str(event.body) and vault_audit().broken == ""


def test_a_request_that_somebody_changed_is_found(version: ModelVersion, ann: OperatorAccount) -> None:
    asked = waiting_override(version, ann)
    Approval.objects.filter(pk=asked.pk).update(asked_by_account=10**6)
    assert f"approval {asked.pk} is not what the Trust Vault recorded" in vault_audit().broken


def test_asking_twice_is_one_request(version: ModelVersion, ann: OperatorAccount) -> None:
    first = waiting_override(version, ann)
    assert waiting_override(version, ann) == first
    assert Notice.objects.filter(kind="approval_waiting").count() == 1


def test_another_operator_who_asks_for_the_same_does_not_approve_it(
    version: ModelVersion, ann: OperatorAccount
) -> None:
    assert waiting_override(version, ann) != waiting_override(version, operator("bert"))
    assert not Deployment.objects.filter(version=version).exists()


def test_another_reason_is_another_request(version: ModelVersion, ann: OperatorAccount) -> None:
    first = waiting_override(version, ann)
    again = deploy_or_ask(version=version, by=ann, reason="deployed by an operator", override="another one")
    assert isinstance(again, Approval) and again != first


def test_a_loop_that_asks_for_nothing_is_as_it_was(ann: OperatorAccount) -> None:
    version = outdated_version(care_loop())
    made = override(version, ann)
    assert isinstance(made, Deployment) and made.actor == "ann" and "approved" not in made.reason
    assert not Approval.objects.exists()


def test_a_loop_that_asks_for_other_acts_is_as_it_was(ann: OperatorAccount) -> None:
    assert isinstance(override(outdated_version(guarded_loop(["epsilon", "cap"])), ann), Deployment)


def test_what_overrides_nothing_needs_nobody(loop: LoopVersion, ann: OperatorAccount) -> None:
    made = deploy_or_ask(version=judged(learned(loop, "policy", ALWAYS_WALK)), by=ann, reason="it passed")
    assert isinstance(made, Deployment)


def test_what_is_not_possible_now_does_not_wait(version: ModelVersion, ann: OperatorAccount) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(state="archived")
    version.refresh_from_db()
    with pytest.raises(Conflict, match="is in state archived"):
        override(version, ann)
    with pytest.raises(InputError, match="nothing to override"):
        override(judged(learned(guarded_loop(), "policy", ALWAYS_WALK, _stable(version))), ann)
    assert not Approval.objects.exists()


def _stable(version: ModelVersion) -> ModelVersion:
    slot = version.loop_version.loop.slots.get(head="policy")
    slot.stable.loop_version = version.loop_version
    return slot.stable


def test_at_a_terminal_whoever_asks_names_their_account(version: ModelVersion) -> None:
    with pytest.raises(Conflict, match="say which account asks, with --account NAME"):
        override(version, OperatorAccount("root at a terminal", None))
    assert not Approval.objects.exists()


def test_whoever_asks_must_be_allowed_to_do_it(version: ModelVersion) -> None:
    with pytest.raises(Forbidden, match=r"lacks deployments\.deploy_version"):
        override(version, operator("vic", "Viewer"))
    assert not Approval.objects.exists()


def test_no_service_does_it_without_the_second_operator(version: ModelVersion) -> None:
    with pytest.raises(SecondOperatorNeeded, match="asks for a second operator here"):
        deploy_by_hand(version=version, actor="root", reason="a script", override="I know better")
    assert not Deployment.objects.filter(version=version).exists()
