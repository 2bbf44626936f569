"""What one person can have paid for the releases of a loop: every charge that stands, whatever the version and the technique."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loops.models import LoopVersion
from privacy.engine.dp.accounting import NANO, epsilon_of_account
from privacy.models import Person, PrivacyBudget, Purpose, Release
from privacy.models.person import FOLDS
from privacy.selectors.releases import loop_account
from privacy.services.budget.charge import cohort_refund
from privacy.services.people.erasure import tombstone
from privacy.services.people.identity import people_get_or_create
from privacy.services.people.spellings import spelling_fold
from privacy.services.records.import_file import signals_import
from privacy.services.releases.lifecycle import release_begin, release_commit, release_reserve, round_store
from privacy.services.releases.reservations import reservation_end
from tests.factories.care import care_loop
from tests.factories.people import ALL_FOLDS
from tests.factories.vault_world import log_file

pytestmark = pytest.mark.django_db
DELTA = 1e-5


def imported(folder: Path, loop: LoopVersion, consents: list[Purpose]) -> LoopVersion:
    file = log_file(folder / "log.csv", [f"p{i}" for i in range(12)])
    signals_import(path=file, loop_version=loop, consents=consents)
    return loop


@pytest.fixture
def loop(tmp_path: Path) -> LoopVersion:
    return imported(tmp_path, care_loop(), list(Purpose))


def reserved(
    loop: LoopVersion, key: str, *, folds: tuple[int, int] = ALL_FOLDS, purpose: Purpose = Purpose.TRAINING
) -> Release:
    return release_reserve(
        key=key, loop_version=loop, purpose=purpose, folds=folds, epsilon=0.2, delta=DELTA, mechanism="m", parameters={}
    )


def drawn(release: Release) -> Release:
    rho = np.array([(release.rho or 0) / NANO])
    round_store(release=release, index=0, arrays={"x": np.array([1.0]), "x_rho": rho})
    return release


def made(
    loop: LoopVersion, key: str, *, folds: tuple[int, int] = ALL_FOLDS, purpose: Purpose = Purpose.TRAINING
) -> Release:
    release = drawn(reserved(loop, key, folds=folds, purpose=purpose))
    release_commit(release=release, noisy_users=12.0)
    return Release.objects.get(pk=release.pk)


def most_paid() -> float:
    """The epsilon of the largest account, by the ledger."""
    return epsilon_of_account(max(PrivacyBudget.objects.values_list("rho_spent", flat=True)), DELTA)


def test_releases_of_every_version_and_purpose_count(loop: LoopVersion, tmp_path: Path) -> None:
    first = made(loop, "a")
    made(loop, "b", purpose=Purpose.EVALUATION)
    again = imported(tmp_path, care_loop(version=2), [])
    last = made(again, "c")
    account = loop_account(last)
    assert account.releases == 3 and account.epsilon == pytest.approx(most_paid()) and account.delta == DELTA
    assert loop_account(first).releases == 1, "what came later is not of the past"


def test_a_release_without_a_formal_guarantee_leaves_no_finite_epsilon(loop: LoopVersion) -> None:
    fields = {
        "technique": "k_anonymity",
        "mechanism": "m",
        "parameters": {},
        "policy_cost": NANO // 10,
        "guarantee": "none",
    }
    release_begin(key="a", loop_version=loop, purpose=Purpose.TRAINING, folds=ALL_FOLDS, fields=fields)
    account = loop_account(made(loop, "b"))
    assert (account.releases, account.epsilon) == (2, None)
    assert PrivacyBudget.objects.filter(formal_void_at__isnull=False).count() == 12


def test_a_refunded_charge_does_not_count_and_an_abandoned_one_does(loop: LoopVersion) -> None:
    made(loop, "a")
    cohort_refund(release=reserved(loop, "b"))
    assert reservation_end(release=drawn(reserved(loop, "c"))) == "abandoned"
    account = loop_account(made(loop, "d"))
    assert account.releases == 3 and account.epsilon == pytest.approx(most_paid())


class TestAPersonUnderSeveralSpellings:
    """Their account adds up mu: each spelling was charged for itself."""

    def joined(self, loop: LoopVersion, *names: str) -> int:
        """The person of the first name, with the others folded into them."""
        population = loop.spec.population
        ids = people_get_or_create(population=population, identifiers=names)
        for name in names[1:]:
            other = Person.objects.get(pk=ids[name])
            key = tombstone(population=population, key=other.key)
            spelling_fold(other_id=other.pk, key=key, into_id=ids[names[0]])
        return ids[names[0]]

    @pytest.mark.parametrize("names", [("p0", "p1"), ("p0", "p1", "p2")])
    def test_in_the_same_releases_paid_no_more_than_is_stated(self, loop: LoopVersion, names: tuple[str, ...]) -> None:
        made(loop, "a")
        second = made(loop, "b")
        one = loop_account(second).epsilon
        self.joined(loop, *names)
        both = loop_account(second).epsilon
        assert both is not None and one is not None and both > len(names) * one, "mu is so many times as large"
        assert both == pytest.approx(most_paid(), rel=1e-6) and both >= most_paid() - 1e-7
        later = loop_account(made(loop, "c")).epsilon
        assert later is not None and later > both and later >= most_paid() - 1e-7

    def test_who_was_held_out_under_one_of_them_paid_no_more_either(self, loop: LoopVersion) -> None:
        half, (low, high) = FOLDS // 2, self.apart()
        made(loop, "a", folds=(0, half))
        made(loop, "b", folds=(half, FOLDS), purpose=Purpose.EVALUATION)
        pk = self.joined(loop, low, high)
        account = loop_account(made(loop, "c", folds=(0, half)))
        paid = epsilon_of_account(PrivacyBudget.objects.get(pk=pk).rho_spent, DELTA)
        assert account.epsilon is not None and most_paid() <= account.epsilon and paid > 0

    def apart(self) -> tuple[str, str]:
        """Two of the people, one of each half of the folds."""
        names = [f"p{i}" for i in range(12)]
        ids = people_get_or_create(population=Person.objects.latest("pk").population, identifiers=names)
        folds = Person.objects.in_bulk(ids.values())
        low = next(n for n in names if folds[ids[n]].fold < FOLDS // 2)
        return low, next(n for n in names if folds[ids[n]].fold >= FOLDS // 2)

    def test_counts_once_where_the_other_spelling_was_in_no_release(self, loop: LoopVersion) -> None:
        made(loop, "a")
        self.joined(loop, "p0", "never in a file")
        assert loop_account(made(loop, "b")).epsilon == pytest.approx(most_paid())


def test_where_people_are_held_out_it_is_the_larger_of_both_groups(loop: LoopVersion) -> None:
    half = FOLDS // 2
    for key in "ab":
        made(loop, key, folds=(half, FOLDS))
    last = made(loop, "c", folds=(0, half), purpose=Purpose.EVALUATION)
    assert loop_account(last).releases == 3 and loop_account(last).epsilon == pytest.approx(most_paid())
