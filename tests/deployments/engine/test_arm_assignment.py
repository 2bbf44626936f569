"""Who answers for a person: a fixed place under the slot's salt, and the arm that it falls in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import binom

from deployments.engine.action_selection import HeadPolicy
from deployments.engine.arm_assignment import SlotArms, SlotFacts, assignment, head_policies_for
from loops.engine.policies.linear import reference_policy
from tests.factories.loops import builtin

SPEC = builtin("r3al")
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
        assert [server.version for server in head_policies_for([arms], key)] == [expected]


def test_without_other_arms_the_stable_version_answers_for_everybody() -> None:
    assert head_policies_for([SlotArms(SLOT, STABLE, None, None)], "key") == [STABLE]
