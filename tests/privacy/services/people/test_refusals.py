"""Each app's refusal is the person's word on that app's devices: it stands until a device of the same app lifts it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from core.errors import RefusedElsewhere
from privacy.models import Consent, Person, PrivacyBudget, Purpose, VaultEvent
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.accounts import consents_set
from privacy.services.people.consent import consent_grant, consent_withdraw
from privacy.services.people.devices import Origin
from privacy.services.people.erasure import person_erase
from privacy.services.people.export import person_export
from privacy.services.people.identity import people_get_or_create
from privacy.services.people.refusals import refused_elsewhere
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.stored_rows import CONSENTS
from privacy.services.vault.verify import vault_audit
from r3al_project.api.answers.export import exported_consent

pytestmark = pytest.mark.django_db
ONE = [Purpose.TRAINING]
A, B, NOBODY_KNOWN = "a", "b", ""  # the accounts of two apps, and a device from before issuers were stored


def registered() -> int:
    vault_prepare()
    User.objects.create_user(A)
    User.objects.create_user(B)
    return people_get_or_create(population="app", identifiers=["dora"])["dora"]


@pytest.fixture
def dora() -> int:
    return registered()


def origin(account: str) -> Origin:
    found = User.objects.filter(username=account).values_list("pk", flat=True).first()
    return Origin(found, account, f"device of {account}")


def say(person: int, account: str, granted: bool, *purposes: Purpose, text: str = "1") -> bool:
    """What the person answers on a device of an account: whether the platform took it as it was said."""
    consents = dict.fromkeys(purposes or ONE, granted)
    try:
        consents_set(
            person=Person.objects.get(pk=person), consents=consents, text_version=text, source=OWN_SOURCE, by="person",
            origin=origin(account),
        )  # fmt: skip
    except RefusedElsewhere:
        return False
    return True


def acts() -> list[tuple[str, str]]:
    """Every act in order: who was behind it, and what it did."""
    names = dict(User.objects.values_list("pk", "username"))
    done = {(True, False): "grants", (False, False): "refuses", (False, True): "lifts"}
    return [
        (names.get(act.account_id or 0, ""), done[act.granted, act.lifts]) for act in Consent.objects.order_by("id")
    ]


def mask() -> int:
    return PrivacyBudget.objects.get().consent_mask


class TestTwoApps:
    def test_each_refusal_is_an_act_and_one_app_undoes_its_own_alone(self, dora: int) -> None:
        assert say(dora, A, False) and say(dora, B, False)
        assert not say(dora, A, True) and mask() == 0
        assert acts() == [(A, "refuses"), (B, "refuses"), (A, "lifts")]
        assert not say(dora, A, True), "the other app's refusal stands"

    @pytest.mark.parametrize(("first", "last"), [(A, B), (B, A)])
    def test_the_person_grants_again_on_each_in_any_order(self, dora: int, first: str, last: str) -> None:
        say(dora, A, False)
        say(dora, B, False)
        assert not say(dora, first, True)
        assert say(dora, last, True) and mask() == Purpose.TRAINING.bit
        assert acts()[2:] == [(first, "lifts"), (last, "grants")] and vault_audit().broken == ""

    def test_what_is_repeated_is_no_act(self, dora: int) -> None:
        for account, granted in [(A, False), (B, False), (A, False), (B, False), (A, True), (A, True), (A, True)]:
            say(dora, account, granted)
        assert acts() == [(A, "refuses"), (B, "refuses"), (A, "lifts")]
        assert VaultEvent.objects.filter(kind="consent").count() == 3

    def test_a_refusal_after_a_lift_is_an_act_again(self, dora: int) -> None:
        for account, granted in [(A, False), (B, False), (A, True), (A, False)]:
            say(dora, account, granted)
        assert not say(dora, B, True) and acts()[3:] == [(A, "refuses"), (B, "lifts")]
        assert say(dora, A, True) and mask() == Purpose.TRAINING.bit

    def test_an_app_that_never_refused_lifts_nothing(self, dora: int) -> None:
        say(dora, A, False)
        assert not say(dora, B, True) and acts() == [(A, "refuses")]

    def test_a_refusal_behind_a_later_one_of_a_service_still_counts(self, dora: int) -> None:
        say(dora, A, False)
        Consent.objects.create(person_id=dora, purpose="training", granted=False, source="api", account_id=2)
        assert not say(dora, B, True)

    def test_a_refusal_that_a_service_reported_closes_no_device(self, dora: int) -> None:
        consent_withdraw(person_ids=[dora], purposes=ONE, source="api", origin=origin(A))
        assert say(dora, B, True) and mask() == Purpose.TRAINING.bit

    def test_purposes_that_two_apps_refused_crosswise_are_granted_by_one_form_in_each(self, dora: int) -> None:
        say(dora, A, False, Purpose.TRAINING)
        say(dora, B, False, Purpose.EVALUATION)
        both = (Purpose.TRAINING, Purpose.EVALUATION)
        assert not say(dora, A, True, *both) and mask() == 0
        assert say(dora, B, True, *both) and mask() == Purpose.TRAINING.bit | Purpose.EVALUATION.bit

    def test_the_error_names_what_is_closed_and_says_what_was_lifted(self, dora: int) -> None:
        say(dora, A, False)
        with pytest.raises(
            RefusedElsewhere, match=r"refused training on a device that another account issued.*is lifted"
        ):
            consents_set(
                person=Person.objects.get(), consents={Purpose.TRAINING: True, Purpose.EVALUATION: True},
                text_version="1", source=OWN_SOURCE, by="person", origin=origin(B),
            )  # fmt: skip


class TestOlderRefusals:
    def test_without_an_account_are_open_to_every_device(self, dora: int) -> None:
        say(dora, NOBODY_KNOWN, False)
        assert say(dora, B, True) and mask() == Purpose.TRAINING.bit

    def test_are_open_beside_one_with_an_account_that_is_not(self, dora: int) -> None:
        say(dora, NOBODY_KNOWN, False)
        say(dora, A, False)
        assert acts() == [("", "refuses"), (A, "refuses")], "a new no is kept beside one that anybody may undo"
        assert not say(dora, B, True) and not say(dora, NOBODY_KNOWN, True)
        assert say(dora, A, True)


class TestAccounts:
    def test_one_that_was_deleted_holds_nobody_to_its_refusals(self, dora: int) -> None:
        say(dora, A, False)
        User.objects.get(username=A).delete()
        assert say(dora, B, True) and mask() == Purpose.TRAINING.bit

    def test_one_that_is_inactive_still_does(self, dora: int) -> None:
        say(dora, A, False)
        User.objects.filter(username=A).update(is_active=False)
        assert not say(dora, B, True) and mask() == 0

    def test_a_deleted_ones_refusals_stay_closed_to_services_and_files(self, dora: int) -> None:
        say(dora, A, False)
        User.objects.get(username=A).delete()
        for by in ("service", "file"):
            assert consent_grant(person_ids=[dora], purposes=ONE, source="api", text_version="2", by=by) == 0  # type: ignore[arg-type]


class TestALift:
    def test_opens_nothing_to_services_and_files(self, dora: int) -> None:
        say(dora, A, False)
        say(dora, B, False)
        say(dora, A, True)
        for by in ("service", "file"):
            assert consent_grant(person_ids=[dora], purposes=ONE, source="api", text_version="2", by=by) == 0  # type: ignore[arg-type]
        assert consent_withdraw(person_ids=[dora], purposes=ONE, source="api", text_version="2") == 0

    def test_is_told_in_the_vault_and_in_the_export(self, dora: int) -> None:
        say(dora, A, False)
        say(dora, B, False)
        say(dora, A, True, text="2")
        bodies = [e.body for e in VaultEvent.objects.filter(kind="consent").order_by("sequence")]
        assert [body.get("lifted", False) for body in bodies] == [False, False, True]
        assert bodies[2]["granted"] is False and bodies[2]["issuer"] == A
        export = person_export(Person.objects.get())
        told = [exported_consent(act) for act in export.consents]
        assert [(act["granted"], act["lifted"]) for act in told] == [(False, False), (False, False), (False, True)]
        assert str(export.consents[2]) == "training refusal lifted"

    def test_is_covered_by_the_vault_and_deleted_with_the_person(self, dora: int) -> None:
        say(dora, A, False)
        say(dora, B, False)
        say(dora, A, True)
        Consent.objects.filter(lifts=True).update(lifts=False)
        assert "'consents'" in vault_audit().broken
        Consent.objects.filter(pk=Consent.objects.latest("id").pk).update(lifts=True)
        assert vault_audit().broken == ""
        person_erase(person_id=dora, source="test")
        assert CONSENTS.total() == 0 and vault_audit().broken == ""

    @pytest.mark.parametrize("wrong", [{"granted": True}, {"source": "api"}, {"account_id": None}])
    def test_is_never_a_grant_nor_anybody_elses(self, dora: int, wrong: dict[str, object]) -> None:
        lift = {"granted": False, "source": OWN_SOURCE, "account_id": 1, "lifts": True} | wrong
        with pytest.raises(IntegrityError), transaction.atomic():
            Consent.objects.create(person_id=dora, purpose="training", **lift)


def test_who_keeps_a_purpose_closed_is_read_for_each_purpose(dora: int) -> None:
    say(dora, A, False, Purpose.TRAINING)
    say(dora, B, False, Purpose.EVALUATION)
    asked = refused_elsewhere(person_id=dora, purposes=list(Purpose), account_id=origin(B).account_id)
    assert asked == ([Purpose.TRAINING], [Purpose.EVALUATION])


class RefusalMachine(RuleBasedStateMachine):
    """One person beside a model in plain Python: the last own word on devices of each account that exists."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.text = self.deleted = 0

    @initialize()
    def register(self) -> None:
        self.saved = transaction.atomic()
        self.saved.__enter__()
        self.person = registered()
        self.accounts = [A, B]

    def teardown(self) -> None:
        if hasattr(self, "saved"):
            transaction.set_rollback(True)
            self.saved.__exit__(None, None, None)

    @rule(data=st.data())
    def grant(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from([*self.accounts, NOBODY_KNOWN]))
        taken = say(self.person, account, True)
        assert taken == (not self.refused - {account, NOBODY_KNOWN})
        self.refused = set() if taken else self.refused - ({account} - {NOBODY_KNOWN})

    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from([*self.accounts, NOBODY_KNOWN]))
        assert say(self.person, account, False)
        self.refused.add(account)

    @rule(granted=st.booleans(), by_file=st.booleans())
    def report(self, granted: bool, by_file: bool) -> None:
        """A service reports a word under a new text, or a file brings one."""
        self.text += 1
        said = {"person_ids": [self.person], "purposes": ONE, "source": "api", "text_version": str(self.text)}
        if granted:
            written = consent_grant(**said, by="file" if by_file else "service")  # type: ignore[arg-type]
            assert not (written and self.refused)
        else:
            consent_withdraw(**said)  # type: ignore[arg-type]

    @rule()
    def delete_an_account(self) -> None:
        gone = self.accounts[-1]
        User.objects.get(username=gone).delete()
        self.deleted += 1
        self.accounts = [f"app {self.deleted}", *self.accounts[:-1]]
        User.objects.create_user(self.accounts[0])
        if gone in self.refused:
            self.refused = (self.refused - {gone}) | {NOBODY_KNOWN}  # open to every device, and to nobody else

    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        """Whoever wants it granted grants it once on each app that refused."""
        closing = sorted(self.refused - {NOBODY_KNOWN}) or [A if A in self.accounts else self.accounts[0]]
        for account in data.draw(st.permutations(closing)):
            say(self.person, account, True)
        assert mask() == Purpose.TRAINING.bit
        self.refused = set()

    @invariant()
    def it_is_granted_only_if_nobody_refuses(self) -> None:
        if hasattr(self, "person"):
            assert not (mask() and self.refused)

    @invariant()
    def the_vault_holds(self) -> None:
        if hasattr(self, "person"):
            assert vault_audit().broken == ""


def test_a_purpose_is_granted_only_if_no_apps_last_word_is_a_refusal() -> None:
    run_state_machine_as_test(
        RefusalMachine, settings=settings(max_examples=30, stateful_step_count=20, deadline=None, derandomize=True)
    )
