"""A person's charges are replayed by day, week and month: what they give for each window is all that a budget may say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F

from core.errors import BudgetExceeded
from privacy.models import Person, PrivacyBudget, Purpose, Release
from privacy.services.people.erasure import person_erase
from privacy.services.people.identity import people_get_or_create
from privacy.services.records.import_file import signals_import
from privacy.services.releases.lifecycle import release_reserve
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.budget_checks import budgets_check
from privacy.services.vault.recorded import CapChange, Recorded
from privacy.services.vault.verify import vault_audit
from privacy.services.vault.window_checks import Charge, WindowFacts, windows_check
from tests.factories.care import care_loop
from tests.factories.people import ALL_FOLDS
from tests.factories.vault_world import log_file
from tests.tampering import tamper

WEDNESDAY = datetime(2026, 7, 15, 12, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def charge(when: datetime, cost: int = 1, *, refunded: bool = False) -> Charge:
    return Charge(when, refunded, True, cost, 0)


def budget(*, day: int = 15, week: int = 13, month: int = 1, spent: tuple[int, int, int] = (0, 0, 0)) -> PrivacyBudget:
    starts = {"day": date(2026, 7, day), "week": date(2026, 7, week), "month": date(2026, 7, month)}
    spending = dict(zip(("spent_day", "spent_week", "spent_month"), spent, strict=True))
    return PrivacyBudget(person_id=7, cap_day=1, cap_week=2, cap_month=4, **starts, **spending)


def found(stored: PrivacyBudget, *charges: Charge, **changed: Any) -> list[str]:
    facts = WindowFacts(today=WEDNESDAY.date(), since=LONG_AGO, rolled=[LONG_AGO], caps=[], is_folded=False)
    return list(windows_check(stored, charges, replace(facts, **changed)))


def windows_named(sentences: list[str]) -> list[str]:
    return [word for word in ("day", "week", "month") if any(f"the {word}'s budget" in s for s in sentences)]


class TestWhatChargesGive:
    def test_nothing(self) -> None:
        assert found(budget()) == []
        assert found(budget(day=1, week=6)) == [], "windows that no charge has rolled yet"

    def test_a_charge_counts_in_each_window_that_it_fell_in(self) -> None:
        assert found(budget(spent=(1, 1, 1)), charge(at(15))) == []
        assert found(budget(day=14, spent=(1, 1, 1)), charge(at(14))) == []
        assert found(budget(spent=(1, 2, 3)), charge(at(2)), charge(at(13)), charge(at(15))) == []

    @pytest.mark.parametrize("spent", [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)])
    def test_anything_else_is_named(self, spent: tuple[int, int, int]) -> None:
        assert len(windows_named(found(budget(spent=spent), charge(at(15))))) == 1

    def test_a_refund_takes_it_out(self) -> None:
        assert found(budget(), charge(at(15), refunded=True)) == []
        assert windows_named(found(budget(spent=(1, 1, 1)), charge(at(15), refunded=True))) == ["day", "week", "month"]


class TestAnotherSpelling:
    """Its budget was added, up to the caps, so that more may be spent than the charges give, and no less."""

    def test_more(self) -> None:
        assert found(budget(spent=(1, 2, 4)), charge(at(15)), is_folded=True) == []
        assert windows_named(found(budget(spent=(0, 2, 4)), charge(at(15)), is_folded=True)) == ["day"]


class TestWhereAWindowBegins:
    def test_only_on_mondays_and_firsts(self) -> None:
        assert windows_named(found(budget(week=14))) == ["week"]
        assert windows_named(found(budget(month=2))) == ["month"]

    def test_not_in_the_future(self) -> None:
        assert windows_named(found(budget(day=16))) == ["day"]
        assert windows_named(found(budget(week=20))) == ["week"]

    def test_not_before_the_last_charge(self) -> None:
        """The next charge would roll such a window, and forget what was spent in it."""
        assert windows_named(found(budget(day=14, spent=(1, 1, 1)), charge(at(15)))) == ["day"]
        assert windows_named(found(budget(day=14, spent=(0, 1, 1)), charge(at(15)))) == ["day"]

    def test_after_the_last_charge_nothing_is_spent(self) -> None:
        assert found(budget(day=15, spent=(0, 1, 1)), charge(at(14))) == []
        assert windows_named(found(budget(day=15, spent=(1, 1, 1)), charge(at(14)))) == ["day"]


class TestCaps:
    def test_more_than_the_cap_in_one_window_is_named_also_long_after(self) -> None:
        four = [charge(at(2, hour)) for hour in range(4)]
        sentences = found(budget(spent=(0, 0, 4)), *four)
        assert [s for s in sentences if "one day exceed" in s] and [s for s in sentences if "one week exceed" in s]
        assert not [s for s in sentences if "one month exceed" in s]

    def test_refunded_charges_do_not_count(self) -> None:
        assert found(budget(spent=(1, 1, 1)), charge(at(15), refunded=True), charge(at(15, 13))) == []

    def test_the_cap_that_was_in_force_counts(self) -> None:
        raised, lowered = CapChange(at(1), "day", 1, 3), CapChange(at(10), "day", 3, 1)
        twice = [charge(at(7)), charge(at(7, 13))]
        assert found(budget(spent=(0, 0, 2)), *twice, caps=[raised, lowered]) == []
        late = [charge(at(11)), charge(at(11, 13))]
        assert found(budget(spent=(0, 0, 2)), *late, caps=[raised, lowered]) != []

    def test_nothing_vouches_for_the_time_before_an_adoption(self) -> None:
        four = [charge(at(2, hour)) for hour in range(4)]
        assert found(budget(spent=(0, 0, 4)), *four, since=at(3)) == []


class TestMidnight:
    """A release that began before midnight may be charged after it, when the window of the new day has begun."""

    def test_it_counts_in_the_day_that_another_charge_began(self) -> None:
        charges = [charge(at(15, 0, 1)), charge(at(14, 23, 59))]
        assert windows_named(found(budget(spent=(2, 2, 2)), *charges)) == []
        assert windows_named(found(budget(spent=(1, 2, 2)), *charges)) == ["day"]

    def test_its_refund_leaves_it_there(self) -> None:
        charges = [charge(at(15, 0, 1)), charge(at(14, 23, 59), refunded=True)]
        stored = budget(spent=(2, 1, 1))
        stored.cap_day = 2
        assert found(stored, *charges) == [], "the week and the month are the same, so there it is taken out"

    def test_it_may_count_in_the_day_that_a_change_of_caps_began(self) -> None:
        change = CapChange(at(15, 0, 1), "month", 4, 3)
        for spent in (0, 1):
            stored = budget(spent=(spent, 1, 1))
            assert found(stored, charge(at(14, 23, 59)), rolled=[LONG_AGO, change.at], caps=[change]) == []
        assert windows_named(found(budget(spent=(1, 1, 1)), charge(at(14, 20)), rolled=[change.at])) == ["day"]

    def test_it_may_count_in_the_day_in_which_a_budget_began_whose_person_was_erased_since(self) -> None:
        late, again = charge(at(14, 23, 59)), at(15, 9)
        for spent in (0, 1):
            stored = budget(spent=(spent, 1, 1))
            assert found(stored, late, rolled=[again], is_reborn=True) == []
        assert windows_named(found(budget(spent=(1, 1, 1)), late, rolled=[again])) == ["day"]

    def test_of_such_a_budget_only_the_first_charges_before_midnight_may(self) -> None:
        stored = budget(spent=(1, 1, 1))
        assert windows_named(found(stored, charge(at(14, 20)), is_reborn=True)) == ["day"]
        charges = [charge(at(14, 20)), charge(at(14, 23, 59))]
        assert windows_named(found(budget(spent=(1, 2, 2)), *charges, is_reborn=True)) == ["day"], "it began before"


@pytest.mark.django_db
def test_who_registered_after_midnight_is_named_neither_before_nor_after_an_erasure_and_a_return(
    tmp_path: Path,
) -> None:
    """A release that began before midnight charged them in the new day, in which their budget began."""
    loop = care_loop()
    signals_import(path=log_file(tmp_path / "log.csv", ["ann"]), loop_version=loop, consents=list(Purpose))
    release = release_reserve(
        key="late", loop_version=loop, purpose=Purpose.TRAINING, folds=ALL_FOLDS, epsilon=0.2, delta=1e-5, mechanism="m",
        parameters={},
    )  # fmt: skip
    midnight = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    Release.objects.filter(pk=release.pk).update(created_at=midnight - timedelta(seconds=1))
    Person.objects.update(created_at=midnight + timedelta(seconds=1))

    def named() -> list[str]:
        return [sentence for sentence in budgets_check(Recorded()) if "'s budget of person" in sentence]

    assert named() == []
    person_erase(person_id=Person.objects.get().pk, source="test")
    assert named() == []
    people_get_or_create(population=loop.spec.population, identifiers=["ann"])
    assert Person.objects.get().erased_at is None and named() == []
    PrivacyBudget.objects.update(spent_day=F("spent_day") + 1)
    assert len(named()) == 1


@pytest.mark.django_db
def test_windows_moved_to_tomorrow_are_named_before_and_after_each_further_charge(tmp_path: Path) -> None:
    vault_prepare()
    loop, people = care_loop(), [f"p{n}" for n in range(3)]
    signals_import(path=log_file(tmp_path / "log.csv", people), loop_version=loop, consents=list(Purpose))

    def reserve(key: str) -> None:
        release_reserve(
            key=key, loop_version=loop, purpose=Purpose.TRAINING, folds=ALL_FOLDS, epsilon=1.0, delta=1e-5, mechanism="m",
            parameters={},
        )  # fmt: skip

    reserve("first")
    with pytest.raises(BudgetExceeded):
        reserve("refused")
    assert vault_audit().broken == ""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    for number in range(3):
        starts = ", ".join(f"{window} = %s, spent_{window} = 0" for window in ("day", "week", "month"))
        tamper(f"UPDATE privacy_budget SET {starts}", *[tomorrow] * 3)
        assert vault_audit().broken != "", "before the next charge"
        reserve(f"again {number}")
        assert "exceed the cap that was in force" in vault_audit().broken
    day = datetime.now(UTC).date()
    tamper("UPDATE privacy_budget SET day = %s, spent_day = 0", day)
    assert "exceed the cap that was in force" in vault_audit().broken, "also once the columns look as usual"
