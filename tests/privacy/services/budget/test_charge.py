"""Who is charged for a release, who is not, and that no window is ever overdrawn."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from core.errors import BudgetExceeded, Conflict, InputError
from loops.models import LoopVersion
from privacy.models import LedgerEntry, Person, PrivacyBudget, Purpose, Release, ReleaseRound
from privacy.selectors.releases import charged_person_ids
from privacy.services.budget.caps import CapReason, cap_change
from privacy.services.budget.charge import cohort_refund
from privacy.services.people.erasure import person_erase
from tests.factories.loops import loop_version
from tests.factories.people import UNIT, add_people, caps, windows
from tests.factories.releases import RHO, charge, new_release

pytestmark = pytest.mark.django_db


def test_a_charge_moves_every_window_and_writes_an_entry_for_each_person() -> None:
    version = loop_version()
    ids = add_people(version, 3)
    release = new_release(version, cost=UNIT // 2)
    assert charge(release) == ids
    for budget in PrivacyBudget.objects.all():
        assert {budget.spent_day, budget.spent_week, budget.spent_month, budget.spent_lifetime} == {UNIT // 2}
        assert budget.rho_spent == RHO
    assert set(LedgerEntry.objects.values_list("policy_cost", "rho")) == {(UNIT // 2, RHO)}


@pytest.mark.parametrize(("purpose", "mask"), [(Purpose.TRAINING, 2), (Purpose.EVALUATION, 4)])
def test_only_those_who_consented_to_the_purpose_are_in_it(purpose: Purpose, mask: int) -> None:
    version = loop_version()
    add_people(version, 2, consent_mask=0)
    add_people(version, 2, first=2, consent_mask=7 - mask)
    willing = add_people(version, 2, first=4, consent_mask=mask)
    assert charge(new_release(version), purpose=purpose) == willing


def test_only_people_of_the_population_and_folds_with_a_decision_under_the_loop_are_in_it() -> None:
    version, other = loop_version(), loop_version("other")
    add_people(version, 2)
    inside = add_people(version, 2, first=10)
    add_people(other, 2, first=12)
    add_people(version, 2, first=14, decided=False)
    add_people(version, 2, first=20)
    stranger = add_people(version, 1, first=16)[0]
    Person.objects.filter(pk=stranger).update(population="elsewhere")
    assert charge(new_release(version), folds=(10, 20)) == inside


def test_a_decision_under_an_older_version_of_the_loop_counts() -> None:
    ids = add_people(loop_version(version=1), 1)
    assert charge(new_release(loop_version(version=2))) == ids


@pytest.mark.parametrize(
    "full",
    [
        {"spent_day": UNIT // 2},
        {"spent_week": 2 * UNIT - 1},
        {"spent_month": 4 * UNIT},
        {"spent_lifetime": 24 * UNIT - UNIT + 1},
        {"rho_spent": UNIT - RHO + 1},
        {"cap_day": UNIT - 1},
    ],
)
def test_whoever_has_no_room_in_any_one_window_is_left_out_untouched(full: dict[str, Any]) -> None:
    version = loop_version()
    poor = add_people(version, 1, **full)[0]
    rich = add_people(version, 1, first=1)
    before = PrivacyBudget.objects.filter(pk=poor).values().get()
    assert charge(new_release(version)) == rich
    assert PrivacyBudget.objects.filter(pk=poor).values().get() == before


def test_the_last_nano_of_every_window_can_be_spent() -> None:
    version = loop_version()
    ids = add_people(version, 1, **caps(1, 1, 1, 1), rho_cap=RHO)
    assert charge(new_release(version)) == ids


MONDAY = datetime(2025, 6, 2, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "rolls"),
    [
        (MONDAY, ""),
        (MONDAY + timedelta(hours=23), ""),
        (MONDAY + timedelta(days=1), "day"),
        (MONDAY + timedelta(days=7), "day week"),
        (MONDAY + timedelta(days=30), "day week month"),
        (MONDAY - timedelta(days=1), ""),  # a clock that goes back reopens nothing
    ],
)
def test_windows_roll_at_utc_midnight_monday_and_the_first_of_the_month(at: datetime, rolls: str) -> None:
    version = loop_version()
    tenth = UNIT // 10
    spent: dict[str, Any] = {f"spent_{w}": tenth for w in ("day", "week", "month")}
    add_people(version, 1, **windows(MONDAY.date()), **spent)
    charge(new_release(version, cost=tenth, at=at))
    budget = PrivacyBudget.objects.get()
    for window in ("day", "week", "month"):
        assert getattr(budget, f"spent_{window}") == (tenth if window in rolls.split() else 2 * tenth), window
    expected = windows(max(at.date(), MONDAY.date()))
    assert (budget.day, budget.week, budget.month) == (expected["day"], expected["week"], expected["month"])


def test_a_rolled_window_makes_room_but_the_lifetime_never_does() -> None:
    version = loop_version()
    add_people(version, 1, **windows(MONDAY.date()), **caps(1, 2, 4, 2))
    for days, paid in ((0, True), (0, False), (1, True), (400, False)):
        release = new_release(version, at=MONDAY + timedelta(days=days))
        if paid:
            charge(release)
        else:
            with pytest.raises(BudgetExceeded, match="budget left"):
                charge(release)


def test_when_nobody_is_charged_the_reason_is_said_without_a_count() -> None:
    version = loop_version()
    with pytest.raises(BudgetExceeded, match="has a decision under loop 'loop'"):
        charge(new_release(version))
    ids = add_people(version, 3, consent_mask=4)
    with pytest.raises(BudgetExceeded, match="consented to training"):
        charge(new_release(version))
    PrivacyBudget.objects.filter(pk=ids[0]).update(consent_mask=2, spent_day=UNIT)
    with pytest.raises(BudgetExceeded, match="budget left for a release that costs 1 units") as error:
        charge(new_release(version))
    assert "3" not in str(error.value)
    assert not LedgerEntry.objects.exists()


def test_a_release_is_charged_once() -> None:
    version = loop_version()
    add_people(version, 1, **caps(5, 5, 5, 5))
    release = new_release(version)
    charge(release)
    with pytest.raises(Conflict, match="charged once"):
        charge(release)
    assert PrivacyBudget.objects.get().spent_day == UNIT


def test_the_database_itself_refuses_an_overdrawn_budget() -> None:
    add_people(loop_version(), 1)
    for column in ("spent_day", "spent_week", "spent_month", "spent_lifetime", "rho_spent"):
        with pytest.raises(IntegrityError), transaction.atomic():
            PrivacyBudget.objects.update(**{column: 25 * UNIT})


def test_a_refund_gives_everything_back_and_voids_the_entries() -> None:
    version = loop_version()
    add_people(version, 2)
    release = new_release(version)
    charge(release)
    cohort_refund(release=release)
    budget = PrivacyBudget.objects.first()
    assert budget is not None
    assert (budget.spent_day, budget.spent_week, budget.spent_month, budget.spent_lifetime, budget.rho_spent) == (
        0,
    ) * 5
    assert release.state == "refunded" and len(charged_person_ids(release=release)) == 0
    assert LedgerEntry.objects.count() == 2
    with pytest.raises(Conflict, match="refunded"):
        cohort_refund(release=release)
    with pytest.raises(Conflict):
        charge(release)


def test_a_refund_leaves_a_window_that_has_rolled_since() -> None:
    version = loop_version()
    add_people(version, 1, **windows(MONDAY.date()))
    first = new_release(version, cost=UNIT // 2, at=MONDAY)
    charge(first)
    charge(new_release(version, cost=UNIT // 4, at=MONDAY + timedelta(days=1)))
    cohort_refund(release=first)
    budget = PrivacyBudget.objects.get()
    assert budget.spent_day == budget.spent_week == budget.spent_lifetime == UNIT // 4


def test_nothing_is_refunded_once_a_round_was_stored() -> None:
    version = loop_version()
    add_people(version, 1)
    release = new_release(version)
    charge(release)
    ReleaseRound.objects.create(release=release, index=0, output=b"", output_sha256="")
    with pytest.raises(Conflict, match="drawn noise"):
        cohort_refund(release=release)
    assert PrivacyBudget.objects.get().spent_day == UNIT


class Account:
    """What one person's budget must be, written the slow and obvious way."""

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.charges: list[tuple[date, int, int]] = []
        self.exported: set[int] = set()  # releases without a formal meaning
        self.lifetime = 60

    def spent(self, window: str, day: date) -> int:
        start = windows(day).get(window, date.min)
        return sum(cost for on, cost, _ in self.charges if on >= start)

    def pays(self, day: date, cost: int, rho: int, bit: int) -> bool:
        room = {"day": 10, "week": 20, "month": 30, "lifetime": self.lifetime}
        fits = all(self.spent(w, day) + cost <= cap for w, cap in room.items())
        return fits and bool(self.mask & bit) and sum(r for *_, r in self.charges) + rho <= 50


class LedgerMachine(RuleBasedStateMachine):
    """Charges, refunds, consent changes and passing days in any order: the ledger agrees with the plain model."""

    @initialize(masks=st.lists(st.integers(0, 7), min_size=4, max_size=4))
    def people(self, masks: list[int]) -> None:
        Person.objects.all().delete()  # with their budgets and entries
        self.version = loop_version(f"loop-{LoopVersion.objects.count()}")
        self.today = MONDAY
        self.made: list[tuple[Release, list[int]]] = []
        self.accounts: dict[int, Account] = {}
        limits: dict[str, Any] = {"cap_day": 10, "cap_week": 20, "cap_month": 30, "cap_lifetime": 60, "rho_cap": 50}
        for i, mask in enumerate(masks):
            (pk,) = add_people(self.version, 1, first=i, consent_mask=mask, **limits, **windows(MONDAY.date()))
            self.accounts[pk] = Account(mask)

    @rule(cost=st.integers(1, 11), rho=st.integers(1, 20), purpose=st.sampled_from(list(Purpose)))
    def charged(self, cost: int, rho: int, purpose: Purpose) -> None:
        day = self.today.date()
        expected = sorted(pk for pk, a in self.accounts.items() if a.pays(day, cost, rho, purpose.bit))
        release = new_release(self.version, cost=cost, rho=rho, at=self.today)
        if not expected:
            with pytest.raises(BudgetExceeded):
                charge(release, purpose=purpose)
            return
        assert charge(release, purpose=purpose) == expected
        for pk in expected:
            self.accounts[pk].charges.append((day, cost, rho))
        self.made.append((release, expected))

    @rule(cost=st.integers(1, 11))
    def exported(self, cost: int) -> None:
        """A technique without a formal meaning: policy units alone, and the formal account ends."""
        day = self.today.date()
        expected = sorted(pk for pk, a in self.accounts.items() if a.pays(day, cost, 0, Purpose.TRAINING.bit))
        release = new_release(self.version, cost=cost, rho=None, at=self.today)
        if not expected:
            with pytest.raises(BudgetExceeded):
                charge(release)
            return
        assert charge(release) == expected
        for pk in expected:
            self.accounts[pk].charges.append((day, cost, 0))
            self.accounts[pk].exported.add(release.pk)
        self.made.append((release, expected))

    @rule(data=st.data(), cap=st.integers(1, 80))
    def capped(self, data: st.DataObject, cap: int) -> None:
        pk = data.draw(st.sampled_from(sorted(self.accounts)))
        spent = self.accounts[pk].spent("lifetime", self.today.date())
        try:
            cap_change(person_id=pk, window="lifetime", cap=cap / UNIT, reason=CapReason.REQUEST, actor="test")
        except InputError:
            assert cap < spent
        else:
            assert cap >= spent
            self.accounts[pk].lifetime = cap

    @rule(data=st.data())
    def erased(self, data: st.DataObject) -> None:
        """What was spent stays; nothing is charged any more."""
        pk = data.draw(st.sampled_from(sorted(self.accounts)))
        try:
            person_erase(person_id=pk, source="test")
        except Conflict:
            assert Person.objects.get(pk=pk).erased_at is not None
        self.accounts[pk].mask = 0

    @rule(data=st.data())
    def refunded(self, data: st.DataObject) -> None:
        if self.made:
            release, people = self.made.pop(data.draw(st.integers(0, len(self.made) - 1)))
            cohort_refund(release=release)
            for pk in people:
                self.accounts[pk].charges.remove((release.created_at.date(), release.policy_cost, release.rho or 0))
                self.accounts[pk].exported.discard(release.pk)

    @rule(days=st.sampled_from([1, 2, 7, 31]))
    def days_pass(self, days: int) -> None:
        self.today += timedelta(days=days)

    @rule(data=st.data(), mask=st.integers(0, 7))
    def consent_changes(self, data: st.DataObject, mask: int) -> None:
        pk = data.draw(st.sampled_from(sorted(self.accounts)))
        if Person.objects.filter(pk=pk, erased_at__isnull=True).exists():
            PrivacyBudget.objects.filter(pk=pk).update(consent_mask=mask)
            self.accounts[pk].mask = mask

    @invariant()
    def ledger_and_columns_agree(self) -> None:
        for pk, account in getattr(self, "accounts", {}).items():
            budget = PrivacyBudget.objects.get(pk=pk)
            entries = LedgerEntry.objects.filter(person_id=pk).exclude(release__state="refunded")
            sums = entries.aggregate(cost=Sum("policy_cost", default=0), rho=Sum("rho", default=0))
            assert sums["cost"] == budget.spent_lifetime == account.spent("lifetime", self.today.date())
            assert sums["rho"] == budget.rho_spent == sum(r for *_, r in account.charges)
            assert budget.formal_void_at is not None or not account.exported, "an export ends the formal account"


def test_any_sequence_of_acts_agrees_with_a_plain_model(db: Any) -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        ),
    )


def test_a_refund_leaves_an_account_void_that_was_void_before() -> None:
    """By a spelling that was folded, say, of which no entry of this person tells."""
    version = loop_version()
    add_people(version, 1)
    before = datetime(2025, 1, 1, tzinfo=UTC)
    PrivacyBudget.objects.update(formal_void_at=before)
    release = new_release(version, cost=UNIT // 2, rho=None)
    charge(release)
    cohort_refund(release=release)
    assert PrivacyBudget.objects.get().formal_void_at == before
