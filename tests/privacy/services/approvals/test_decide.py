"""A second operator decides: another person with the permission, once, in time, and about what is still the case."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.errors import Conflict, Forbidden, InputError, NotFound
from deployments.models import Deployment
from deployments.selectors.slots import slot_for
from loops.models import LoopVersion
from notices.models import Notice
from privacy.models import Approval, VaultEvent
from privacy.selectors.approvals import approvals_in, state_of_approval
from privacy.services.approvals.decide import approval_approve, approval_decline
from privacy.services.approvals.second_operator import OperatorAccount
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.verify import vault_audit
from tests.factories.operators import guarded_loop, operator, outdated_version, waiting_override
from tests.factories.versions import TALK_IN_A_GOOD_MOOD, judged, learned, serve
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


@pytest.fixture
def bert() -> OperatorAccount:
    return operator("bert")


@pytest.fixture
def waiting(version: ModelVersion, ann: OperatorAccount) -> Approval:
    return waiting_override(version, ann)


def nothing_done(version: ModelVersion) -> bool:
    version.refresh_from_db()
    return version.state == "evaluating" and not Deployment.objects.filter(version=version).exists()


class TestApproved:
    def test_the_act_is_done_with_both_names_in_its_record(
        self, waiting: Approval, version: ModelVersion, bert: OperatorAccount
    ) -> None:
        done = approval_approve(number=waiting.pk, by=bert, reason="I looked at it")
        made = Deployment.objects.get(version=version)
        assert slot_for(version.loop_version.loop, "policy").stable == version
        assert made.actor == "ann" and made.reason.endswith("; approved by bert") and "I know better" in made.reason
        assert (done.state, done.decided_by, done.decision, done.made) == (
            "approved", "bert", "I looked at it", f"deployment {made.pk}",
        )  # fmt: skip

    def test_the_trust_vault_and_a_notice_name_both(self, waiting: Approval, bert: OperatorAccount) -> None:
        approval_approve(number=waiting.pk, by=bert)
        event = VaultEvent.objects.order_by("-sequence")[0]
        assert (event.kind, event.body["actor"], event.body["second"]) == ("approval", "ann", "bert")
        assert event.body["made"].startswith("deployment ") and "I know better" not in str(event.body)
        said = Notice.objects.get(kind="approval_decided").sentence
        assert said == f"bert approved request {waiting.pk} of ann in care, of the kind override."
        assert vault_audit().broken == ""

    def test_approving_again_changes_nothing_for_the_same_and_is_refused_for_another(
        self, waiting: Approval, version: ModelVersion, bert: OperatorAccount
    ) -> None:
        first = approval_approve(number=waiting.pk, by=bert)
        assert approval_approve(number=waiting.pk, by=bert).decided_at == first.decided_at
        with pytest.raises(Conflict, match="approved by bert already"):
            approval_approve(number=waiting.pk, by=operator("cleo"))
        assert Deployment.objects.filter(version=version).count() == 1


class TestWhoMayNot:
    def test_whoever_asked(self, waiting: Approval, version: ModelVersion, ann: OperatorAccount) -> None:
        with pytest.raises(Forbidden, match=r"you asked for request .* yourself"):
            approval_approve(number=waiting.pk, by=ann)
        assert nothing_done(version)

    def test_whoever_asked_under_another_name(
        self, waiting: Approval, version: ModelVersion, ann: OperatorAccount
    ) -> None:
        User.objects.filter(username=ann.name).update(username="someone-else")
        with pytest.raises(Forbidden, match="yourself"):
            approval_approve(number=waiting.pk, by=OperatorAccount("someone-else", ann.account))
        assert nothing_done(version)

    def test_whoever_asked_as_a_superuser(self, waiting: Approval, version: ModelVersion, ann: OperatorAccount) -> None:
        User.objects.filter(username=ann.name).update(is_superuser=True)
        with pytest.raises(Forbidden, match="yourself"):
            approval_approve(number=waiting.pk, by=ann)
        assert nothing_done(version)

    def test_nobody_without_an_account(self, waiting: Approval, version: ModelVersion) -> None:
        with pytest.raises(Forbidden, match="the account is gone"):
            approval_approve(number=waiting.pk, by=OperatorAccount("bert", None))
        assert nothing_done(version)

    @pytest.mark.parametrize("role", ["Privacy officer", "Analyst", "Viewer"])
    def test_who_could_not_do_it_themselves(self, waiting: Approval, version: ModelVersion, role: str) -> None:
        with pytest.raises(Forbidden, match="lacks"):
            approval_approve(number=waiting.pk, by=operator("cleo", role))
        assert nothing_done(version)

    def test_who_may_do_it_but_not_decide(self, waiting: Approval, version: ModelVersion) -> None:
        cleo = User.objects.create_user("cleo")
        cleo.user_permissions.set(Permission.objects.filter(codename__in=["deploy_version", "override_comparison"]))
        with pytest.raises(Forbidden, match=r"lacks privacy\.decide_approval"):
            approval_approve(number=waiting.pk, by=OperatorAccount("cleo", cleo.pk))
        assert nothing_done(version)

    def test_an_account_that_was_switched_off(
        self, waiting: Approval, version: ModelVersion, bert: OperatorAccount
    ) -> None:
        User.objects.filter(username=bert.name).update(is_active=False)
        with pytest.raises(Forbidden, match="no longer active"):
            approval_approve(number=waiting.pk, by=bert)
        assert nothing_done(version)

    def test_the_database_refuses_one_account_in_both_roles(self, waiting: Approval, ann: OperatorAccount) -> None:
        both = {"state": "approved", "decided_by_account": ann.account, "decided_at": timezone.now()}
        with pytest.raises(IntegrityError), transaction.atomic():
            Approval.objects.filter(pk=waiting.pk).update(**both)


class TestWhatNoLongerApplies:
    def refused(self, waiting: Approval, bert: OperatorAccount, why: str) -> None:
        events = VaultEvent.objects.count()
        with pytest.raises(Conflict, match=f"no longer applies: .*{why}.*Nothing was done"):
            approval_approve(number=waiting.pk, by=bert)
        waiting.refresh_from_db()
        assert waiting.state == "waiting" and VaultEvent.objects.count() == events

    def test_another_generation(self, waiting: Approval, version: ModelVersion, bert: OperatorAccount) -> None:
        serve(judged(learned(version.loop_version, "policy", TALK_IN_A_GOOD_MOOD)))
        self.refused(waiting, bert, "the state in which it was asked for has changed")
        assert nothing_done(version)

    def test_an_archived_version(self, waiting: Approval, version: ModelVersion, bert: OperatorAccount) -> None:
        ModelVersion.objects.filter(pk=version.pk).update(state="archived")
        self.refused(waiting, bert, "is in state archived")

    def test_another_verdict(self, waiting: Approval, version: ModelVersion, bert: OperatorAccount) -> None:
        judged(version, "fail", attempt=2, reason="it got worse")
        self.refused(waiting, bert, "it got worse")
        assert nothing_done(version)

    def test_an_asker_who_may_no_longer_do_it(
        self, waiting: Approval, version: ModelVersion, ann: OperatorAccount, bert: OperatorAccount
    ) -> None:
        User.objects.get(username=ann.name).groups.clear()
        self.refused(waiting, bert, "the account ann lacks")
        assert nothing_done(version)


class TestExpired:
    @pytest.fixture(autouse=True)
    def late(self, waiting: Approval) -> None:
        Approval.objects.filter(pk=waiting.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        waiting.refresh_from_db()

    def test_it_is_never_done_and_no_longer_declined(
        self, waiting: Approval, version: ModelVersion, bert: OperatorAccount
    ) -> None:
        with pytest.raises(Conflict, match=r"expired at .* and is never done"):
            approval_approve(number=waiting.pk, by=bert)
        with pytest.raises(Conflict, match="expired"):
            approval_decline(number=waiting.pk, by=bert, reason="no")
        assert nothing_done(version)

    def test_it_waits_no_more(self, waiting: Approval) -> None:
        assert state_of_approval(waiting) == "expired"
        assert not approvals_in("waiting").exists() and approvals_in("expired").get() == waiting

    def test_asking_anew_is_another_request(
        self, waiting: Approval, version: ModelVersion, ann: OperatorAccount
    ) -> None:
        assert waiting_override(version, ann) != waiting


class TestDeclined:
    def test_nothing_is_done_and_it_is_told(
        self, waiting: Approval, version: ModelVersion, bert: OperatorAccount
    ) -> None:
        done = approval_decline(number=waiting.pk, by=bert, reason="too early")
        assert (done.state, done.decided_by, done.decision, done.made) == ("declined", "bert", "too early", "")
        assert nothing_done(version)
        assert Notice.objects.get(kind="approval_decided").sentence.startswith("bert declined request")
        with pytest.raises(Conflict, match="declined by bert already"):
            approval_approve(number=waiting.pk, by=operator("cleo"))
        assert vault_audit().broken == ""

    def test_whoever_asked_may_take_it_back(self, waiting: Approval, ann: OperatorAccount) -> None:
        assert approval_decline(number=waiting.pk, by=ann, reason="a mistake").state == "declined"

    def test_it_needs_a_reason_and_the_permission(self, waiting: Approval, bert: OperatorAccount) -> None:
        with pytest.raises(InputError, match="needs a reason"):
            approval_decline(number=waiting.pk, by=bert, reason=" ")
        with pytest.raises(Forbidden, match="lacks"):
            approval_decline(number=waiting.pk, by=operator("vic", "Viewer"), reason="no")


def test_an_unknown_request_is_not_found(bert: OperatorAccount) -> None:
    for number in (0, 10**9):
        with pytest.raises(NotFound, match=f"there is no request {number}"):
            approval_approve(number=number, by=bert)
        with pytest.raises(NotFound):
            approval_decline(number=number, by=bert, reason="no")
