"""Who answers for a person: a fixed place under the slot's salt, and the arm that it falls in."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.stats import binom

from deployments.engine.action_selection import HeadPolicy
from deployments.engine.arm_assignment import SlotArms, SlotFacts, assignment, head_policies_for, week_of
from loops.engine.policies.linear import reference_policy
from tests.factories.builtin_loops import builtin

SPEC = builtin("r3al")
NOW = datetime(2025, 6, 2, 9, tzinfo=UTC)
HEAD = SPEC.head("policy")
STABLE = HeadPolicy("policy", HEAD.actions, HEAD.logging, True, reference_policy(SPEC, "policy"), 1, 1)
SLOT = SlotFacts("policy", 1, None, 0, None, 0, 1_000, "salt", 1)


def test_assignment_is_sticky_and_a_ramp_only_adds_people() -> None:
    keys = [f"key-{i}" for i in range(2_000)]
    places = np.array([assignment("salt", k) for k in keys])
    assert (places == [assignment("salt", k) for k in keys]).all() and places.min() >= 0 and places.max() < 1
    assert binom.ppf(1e-6, 2_000, 0.1) <= (places < 0.1).sum() <= binom.ppf(1 - 1e-6, 2_000, 0.1)
    assert (places < 0.1).tolist() <= (places < 0.5).tolist()
    assert abs(np.corrcoef(places, [assignment("other", k) for k in keys])[0, 1]) < 0.12  # 5 sd of chance


def test_a_candidate_gets_its_share_a_holdback_its_own_and_the_stable_version_the_rest() -> None:
    candidate, holdback = replace(STABLE, version=2), replace(STABLE, version=3)
    slot = replace(SLOT, candidate=2, weight_bp=2_000, holdback=3, holdback_bp=1_000)
    arms = SlotArms(slot, STABLE, candidate, holdback)
    for key in (f"key-{i}" for i in range(500)):
        place = assignment("salt", key)
        expected = 2 if place < 0.2 else 3 if place >= 0.9 else 1
        assert [server.version for server in head_policies_for([arms], key, NOW)] == [expected]


def test_without_other_arms_the_stable_version_answers_for_everybody() -> None:
    assert head_policies_for([SlotArms(SLOT, STABLE, None, None)], "key", NOW) == [STABLE]


def test_a_rotating_holdback_is_drawn_anew_each_week_of_the_deployment_and_stays_within_it() -> None:
    """The arm is a hash of the person, the week and the salt: within a week it is fixed, between weeks it is independent."""
    slot = replace(SLOT, holdback=3, holdback_bp=1_000, rotates_since=NOW)
    arms = SlotArms(slot, STABLE, None, replace(STABLE, version=3))
    keys = [f"key-{i}" for i in range(4_000)]

    def held(at: datetime) -> np.ndarray:
        return np.array([arms.of(key, at).version == 3 for key in keys])

    first, second = held(NOW), held(NOW + timedelta(days=7))
    assert (held(NOW + timedelta(days=6, hours=23, minutes=59)) == first).all()
    for week in (first, second):
        assert binom.ppf(1e-6, 4_000, 0.1) <= week.sum() <= binom.ppf(1 - 1e-6, 4_000, 0.1)
    assert binom.ppf(1e-6, 4_000, 0.01) <= (first & second).sum() <= binom.ppf(1 - 1e-6, 4_000, 0.01)
    other = SlotArms(replace(slot, salt="other"), STABLE, None, replace(STABLE, version=3))
    assert (np.array([other.of(key, NOW).version == 3 for key in keys]) != first).any()


def test_a_trials_candidate_keeps_its_people_whatever_the_holdback_does() -> None:
    slot = replace(SLOT, candidate=2, weight_bp=5_000, holdback=3, holdback_bp=1_000, rotates_since=NOW)
    arms = SlotArms(slot, STABLE, replace(STABLE, version=2), replace(STABLE, version=3))
    for key in (f"key-{i}" for i in range(200)):
        weeks = {arms.of(key, NOW + timedelta(weeks=w)).version == 2 for w in range(5)}
        assert weeks == {assignment("salt", key) < 0.5}


def test_weeks_are_counted_from_the_deployment() -> None:
    assert [week_of(NOW, NOW + timedelta(days=d)) for d in (-1, 0, 6.99, 7, 21)] == [1, 1, 1, 2, 4]


def test_a_place_is_64_bits_of_a_hash_over_two_to_the_64() -> None:
    digest = hashlib.blake2b(b"saltkey-7", digest_size=8).digest()
    assert assignment("salt", "key-7") == int.from_bytes(digest, "big") / 2**64


def test_weeks_of_a_deployment_count_from_its_beginning() -> None:
    week = timedelta(days=7)
    for later, number in ((-week, 1), (timedelta(0), 1), (week - timedelta(seconds=1), 1), (week, 2), (3 * week, 4)):
        assert week_of(NOW, NOW + later) == number
    assert SLOT.drawn_by(NOW) == "salt"
    assert replace(SLOT, rotates_since=NOW - week).drawn_by(NOW) == "salt week 2 "


def test_a_place_at_the_edge_of_a_share_belongs_to_the_stable_version_or_the_holdback() -> None:
    """The candidate has places below its share, and the holdback those from one less its own on."""
    place = assignment("salt", "key-7")
    for weight, version in ((place, 1), (place + 1e-9, 2)):
        slot = replace(SLOT, candidate=2, weight_bp=weight * 10_000)  # type: ignore[arg-type]
        assert SlotArms(slot, STABLE, replace(STABLE, version=2), None).of("key-7", NOW).version == version
    for share, version in ((1 - place - 1e-9, 1), (1 - place + 1e-9, 3)):
        slot = replace(SLOT, holdback=3, holdback_bp=share * 10_000)  # type: ignore[arg-type]
        assert SlotArms(slot, STABLE, None, replace(STABLE, version=3)).of("key-7", NOW).version == version
    assert (SLOT.shadow, SLOT.app_chooses, SLOT.rotates_since) == (None, False, None)
