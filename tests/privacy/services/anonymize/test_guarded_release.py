"""A release that asks for more than the default privacy parameters waits where the loop asks for a second operator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import Conflict, Forbidden, InsufficientData
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Approval, LedgerEntry, RefusalPermit, Release
from privacy.services.anonymize.guarded_release import anonymize_or_ask
from privacy.services.anonymize.run import anonymize, anonymize_enqueue, anonymize_finish, release_key
from privacy.services.approvals.decide import approval_approve
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded
from tests.factories.anonymize import CENTRAL, GROUPS, TOO_MANY, make_world
from tests.factories.operators import approvals_declared, operator

pytestmark = pytest.mark.django_db
DEFAULT = replace(CENTRAL, epsilon=0.5)


@pytest.fixture
def loop() -> LoopVersion:
    return make_world(declared=approvals_declared(["epsilon"]))


@pytest.fixture
def olga() -> OperatorAccount:
    return operator("olga", "Privacy officer")


@pytest.fixture
def otto() -> OperatorAccount:
    return operator("otto", "Privacy officer")


def release(loop: LoopVersion, request: AnonymizeRequest, by: OperatorAccount) -> Release | Approval:
    return anonymize_or_ask(
        lambda: anonymize(key="k", loop_version=loop, request=request),
        key="k",
        loop_version=loop,
        request=request,
        by=by,
    )


def test_the_default_waits_for_nobody(loop: LoopVersion, olga: OperatorAccount) -> None:
    assert isinstance(release(loop, DEFAULT, olga), Release)


@pytest.mark.parametrize(
    "request_", [CENTRAL, replace(DEFAULT, delta=1e-5), GROUPS], ids=["epsilon", "delta", "no guarantee"]
)
def test_more_than_the_default_waits_and_charges_nobody(
    loop: LoopVersion, olga: OperatorAccount, request_: AnonymizeRequest
) -> None:
    asked = release(loop, request_, olga)
    assert isinstance(asked, Approval) and asked.act == "epsilon"
    assert not Release.objects.exists() and not LedgerEntry.objects.exists() and not RefusalPermit.objects.exists()


def test_once_another_approves_it_is_charged_and_a_worker_computes_it(
    loop: LoopVersion, olga: OperatorAccount, otto: OperatorAccount
) -> None:
    asked = release(loop, CENTRAL, olga)
    assert isinstance(asked, Approval)
    with pytest.raises(Forbidden, match="yourself"):
        approval_approve(number=asked.pk, by=olga)
    done = approval_approve(number=asked.pk, by=otto)
    made = Release.objects.get()
    assert done.made == f"release {made.pk}" and made.formal_epsilon == 1.0 and LedgerEntry.objects.exists()
    assert anonymize_finish(release=made).state == "committed"
    assert release(loop, CENTRAL, olga) == made, "a retry under the same key finds the release"


def test_the_key_of_a_caller_is_stored_nowhere(loop: LoopVersion, olga: OperatorAccount) -> None:
    asked = anonymize_or_ask(
        lambda: anonymize(key="for eve", loop_version=loop, request=CENTRAL),
        key="for eve", loop_version=loop, request=CENTRAL, by=olga,
    )  # fmt: skip
    assert isinstance(asked, Approval) and asked.parameters["release"] == release_key("for eve")
    assert "for eve" not in str(Approval.objects.values().get())


def test_a_release_that_another_request_made_is_not_approved_again(
    loop: LoopVersion, olga: OperatorAccount, otto: OperatorAccount
) -> None:
    first, second = release(loop, CENTRAL, olga), release(loop, CENTRAL, otto)
    assert isinstance(first, Approval) and isinstance(second, Approval) and first != second
    approval_approve(number=first.pk, by=otto)
    with pytest.raises(Conflict, match="by now it needs no second operator"):
        approval_approve(number=second.pk, by=olga)
    assert Release.objects.count() == 1


def test_a_refusal_because_of_records_uses_a_permit_and_leaves_the_request(
    loop: LoopVersion, olga: OperatorAccount, otto: OperatorAccount
) -> None:
    asked = release(loop, TOO_MANY, olga)
    assert isinstance(asked, Approval)
    with pytest.raises(InsufficientData, match="at least 81 people"):
        approval_approve(number=asked.pk, by=otto)
    asked.refresh_from_db()
    assert asked.state == "waiting" and not Release.objects.exists() and RefusalPermit.objects.count() == 1


def test_another_loop_file_is_another_release(loop: LoopVersion, olga: OperatorAccount, otto: OperatorAccount) -> None:
    asked = release(loop, CENTRAL, olga)
    assert isinstance(asked, Approval)
    loop_add(text=loop.source.replace("version = 1", "version = 2"), source="rows.toml")
    with pytest.raises(Conflict, match="no longer applies"):
        approval_approve(number=asked.pk, by=otto)
    assert not Release.objects.exists()


def test_no_service_releases_it_alone(loop: LoopVersion) -> None:
    for act in (anonymize, anonymize_enqueue):
        with pytest.raises(SecondOperatorNeeded):
            act(key="script", loop_version=loop, request=CENTRAL)
    assert not Release.objects.exists()
