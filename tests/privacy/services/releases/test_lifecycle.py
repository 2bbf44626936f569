"""A release is charged once, stored once and committed once, whatever is retried."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from core.errors import BudgetExceeded, Conflict, InputError, KeyReused
from loops.models import LoopVersion
from privacy.engine.dp.accounting import calibrate
from privacy.models import LedgerEntry, PrivacyBudget, Purpose, Release, ReleaseRound
from privacy.selectors.releases import charged_person_ids
from privacy.services.budget.charge import cohort_refund
from privacy.services.releases.lifecycle import release_commit, round_load, round_store
from tests.factories.loops import loop_version
from tests.factories.people import UNIT, add_people
from tests.factories.releases import noised, reserve

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> LoopVersion:
    made = loop_version()
    add_people(made, 3)
    return made


def test_a_reservation_states_its_guarantee_and_charges_exactly_what_is_calibrated(version: LoopVersion) -> None:
    release = reserve(version)
    c = calibrate(epsilon=1.0, delta=1e-5, maximum=1.0)
    assert (release.policy_cost, release.rho, release.state) == (UNIT, c.rho_nano, "reserved")
    assert (release.formal_epsilon, release.formal_delta, release.unit) == (1.0, 1e-5, "user")
    assert release.guarantee.startswith("(1, 1e-5)-differential privacy for each user (add or remove one)")
    assert release.library_version.startswith("opendp 0.")
    assert release.parameters == {"head": "policy", "clips": [1.0, 2.0], "folds": [0, 10_000]}
    assert set(PrivacyBudget.objects.values_list("rho_spent", flat=True)) == {c.rho_nano}


def test_a_retry_with_the_same_key_is_the_same_release_and_charges_nothing_again(version: LoopVersion) -> None:
    first = reserve(version)
    before = list(PrivacyBudget.objects.order_by("pk").values())
    add_people(version, 2, first=10)  # whoever came since is not in it
    again = reserve(version)
    assert again.pk == first.pk
    assert list(PrivacyBudget.objects.order_by("pk").values()[:3]) == before
    assert len(charged_person_ids(release=again)) == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epsilon": 0.5}, "formal_epsilon"),
        ({"delta": 1e-6}, "formal_delta"),
        ({"purpose": Purpose.EVALUATION}, "purpose"),
        ({"folds": (0, 5_000)}, "parameters"),
        ({"mechanism": "other"}, "mechanism"),
        ({"parameters": {"head": "tone"}}, "parameters"),
    ],
)
def test_the_same_key_for_something_else_is_refused(version: LoopVersion, change: dict[str, Any], named: str) -> None:
    reserve(version)
    with pytest.raises(KeyReused, match=f"'turn-1' exists with another.*{named}"):
        reserve(version, **change)
    assert LedgerEntry.objects.count() == 3


def test_a_refunded_key_is_not_used_again(version: LoopVersion) -> None:
    cohort_refund(release=reserve(version))
    with pytest.raises(Conflict, match="refunded"):
        reserve(version)


def test_when_nobody_can_be_charged_nothing_is_written() -> None:
    version = loop_version()
    add_people(version, 2, consent_mask=0)
    with pytest.raises(BudgetExceeded, match="consented"):
        reserve(version)
    assert not Release.objects.exists() and not LedgerEntry.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": math.nan},
        {"epsilon": 1.5},
        {"epsilon": -1.0},
        {"delta": 1.0},
        {"folds": (5, 5)},
        {"folds": (-1, 5)},
        {"folds": (0, 10_001)},
        {"key": ""},
        {"key": "x" * 121},
    ],
)
def test_parameters_out_of_range_write_nothing(version: LoopVersion, change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        reserve(version, **change)
    assert not Release.objects.exists()


def test_the_most_one_release_may_use_is_a_setting(version: LoopVersion, settings: Any) -> None:
    settings.MAX_PRIVACY_EPSILON = 0.3
    with pytest.raises(InputError, match="MAX_PRIVACY_EPSILON"):
        reserve(version)
    assert reserve(version, epsilon=0.3).policy_cost == 300_000_000


def test_a_round_is_written_once_and_a_retry_gets_what_was_stored(version: LoopVersion) -> None:
    release = reserve(version)
    assert round_load(release=release, index=0) is None
    first = round_store(release=release, index=0, arrays=noised(release))
    second = round_store(release=release, index=0, arrays=noised(release))
    loaded = round_load(release=release, index=0)
    assert loaded is not None
    for name in first:
        assert (first[name] == second[name]).all() and (first[name] == loaded[name]).all()


def test_rounds_together_cannot_spend_more_than_was_charged(version: LoopVersion) -> None:
    release = reserve(version)
    round_store(release=release, index=0, arrays=noised(release, 0.4))
    with pytest.raises(InputError, match="more rho than was charged"):
        round_store(release=release, index=1, arrays=noised(release, 0.61))
    round_store(release=release, index=1, arrays=noised(release, 0.6))
    assert ReleaseRound.objects.count() == 2


def test_what_was_not_noised_cannot_be_stored(version: LoopVersion) -> None:
    release = reserve(version)
    with pytest.raises(InputError, match="so it has no noise"):
        round_store(release=release, index=0, arrays=noised(release, noise=False))
    with pytest.raises(InputError, match="does not state its rho"):
        round_store(release=release, index=0, arrays={"sums": np.ones(2)})
    assert not ReleaseRound.objects.exists()


def test_a_stored_round_that_was_changed_is_not_read(version: LoopVersion) -> None:
    release = reserve(version)
    round_store(release=release, index=0, arrays=noised(release))
    blob = bytearray(ReleaseRound.objects.get().output)
    blob[-30] ^= 1
    ReleaseRound.objects.update(output=bytes(blob))
    with pytest.raises(InputError, match="SHA-256"):
        round_load(release=release, index=0)


def test_a_commit_needs_a_round_happens_once_and_then_takes_no_more_rounds(version: LoopVersion) -> None:
    release = reserve(version)
    with pytest.raises(Conflict, match="no stored round"):
        release_commit(release=release, noisy_users=3.0)
    stored = round_store(release=release, index=0, arrays=noised(release, 0.5))
    with pytest.raises(InputError, match="finite"):
        release_commit(release=release, noisy_users=math.nan)
    release_commit(release=release, noisy_users=3.4)
    assert (release.state, release.noisy_users) == ("committed", 3.4)
    at = release.committed_at
    release_commit(release=release, noisy_users=9.9)
    assert (release.noisy_users, release.committed_at) == (3.4, at)
    with pytest.raises(Conflict, match="only while its release is reserved"):
        round_store(release=release, index=1, arrays=noised(release, 0.5))
    assert (round_store(release=release, index=0, arrays=noised(release))["sums"] == stored["sums"]).all()
    with pytest.raises(Conflict):
        cohort_refund(release=release)


def test_a_round_that_comes_after_a_refund_is_thrown_away(version: LoopVersion) -> None:
    release = reserve(version)
    arrays = noised(release)
    cohort_refund(release=release)
    with pytest.raises(Conflict, match="refunded"):
        round_store(release=release, index=0, arrays=arrays)
    with pytest.raises(Conflict):
        release_commit(release=release, noisy_users=3.0)
