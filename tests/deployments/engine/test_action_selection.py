"""The arbiter: one flag for all heads, who speaks, masks, and propensities that are what they say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from deployments.engine.action_selection import (
    HeadPolicy,
    _draw,
    action_values,
    choose_alone,
    greedy_action,
    select_actions,
    uniform,
)
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from privacy.engine.head_choice import HeadChoice
from tests.factories.builtin_loops import builtin

SPEC = builtin("r3al")
STATE = [0.2, 0.4, 0.5, 0.5, 0.5, 1.0, 0.0, 2.0]
ALARM = 1e-6  # of each bound below, when everything is right


def head_policy(head: str, best: int, *, always: bool | None = None, fallback: str = "") -> HeadPolicy:
    """A head whose policy takes action ``best`` in every state."""
    declared, phi = SPEC.head(head), FeatureMap.of(SPEC, False)
    weights = np.zeros((len(declared.actions), phi.width))
    weights[best, 0] = 1.0
    policy = LinearPolicy(phi, weights, 0.0, declared.reference_index)
    speaks = declared.when == "always" if always is None else always
    return HeadPolicy(head, declared.actions, declared.logging, speaks, policy, 1, 1, fallback)


def seeds(count: int) -> list[bytes]:
    return [i.to_bytes(16, "big") for i in range(count)]


def decided(head_policies: Sequence[HeadPolicy], count: int, exploration: float) -> list[list[HeadChoice]]:
    return [select_actions(head_policies, STATE, seed=s, exploration=exploration) for s in seeds(count)]


def within(hits: int, count: int, share: float) -> bool:
    return bool(binom.ppf(ALARM, count, share) <= hits <= binom.ppf(1 - ALARM, count, share))


def test_without_exploring_the_best_is_taken_and_ties_go_to_the_reference() -> None:
    pick, *_ = select_actions([head_policy("policy", 2)], STATE, seed=b"s", exploration=0.0)
    assert (pick.action, pick.explored, pick.propensity, pick.marginal_propensity, pick.learnable) == (
        2,
        False,
        1.0,
        1.0,
        True,
    )
    tied = head_policy("policy", 2)
    tied.policy.weights[:] = 0.0
    assert select_actions([tied], STATE, seed=b"s", exploration=0.0)[0].action == tied.policy.reference


def test_every_draw_follows_from_the_seed() -> None:
    head_policies = [head_policy("policy", 2), head_policy("tone", 1)]
    one, two = (select_actions(head_policies, STATE, seed=b"same", exploration=0.5) for _ in range(2))
    assert one == two
    assert uniform(b"a", "explore") != uniform(b"b", "explore") != uniform(b"b", "policy")


def test_the_others_speak_when_policy_intervenes_and_those_that_always_do_always() -> None:
    waits, speaks = head_policy("policy", 0), head_policy("policy", 3)
    quiet, steady = head_policy("tone", 1), head_policy("empathy", 0, always=True)
    assert [p.head for p in select_actions([waits, quiet, steady], STATE, seed=b"s", exploration=0.0)] == [
        "policy",
        "empathy",
    ]
    assert len(select_actions([speaks, quiet, steady], STATE, seed=b"s", exploration=0.0)) == 3


def known(propensity: float | None) -> float:
    assert propensity is not None, "only the app's own choices have none"
    return propensity


def test_one_flag_explores_all_heads_or_none() -> None:
    rows = decided([head_policy("policy", 3), head_policy("tone", 1), head_policy("empathy", 0)], 300, 0.5)
    assert all(len({p.explored for p in picks}) == 1 for picks in rows)
    assert within(sum(picks[0].explored for picks in rows), 300, 0.5)


def test_marginal_propensities_are_the_frequencies() -> None:
    """20,000 decisions at exploration .3 under a greedy "reframe"; tone where policy checked in, which only exploring does."""
    count, rows = 20_000, decided([head_policy("policy", 3), head_policy("tone", 1)], 20_000, 0.3)
    seen = Counter(picks[0].action for picks in rows)
    claimed = {p[0].action: known(p[0].marginal_propensity) for p in rows}
    assert claimed == pytest.approx({k: 0.3 * p + 0.7 * (k == 3) for k, p in enumerate(SPEC.head("policy").logging)})
    assert all(within(seen[k], count, share) for k, share in claimed.items())
    for did in (1, 3):
        tones = [picks[1] for picks in rows if picks[0].action == did]
        shares = {p.action: known(p.marginal_propensity) for p in tones}
        assert sum(shares.values()) == pytest.approx(1.0)
        told = Counter(p.action for p in tones)
        assert all(within(told[k], len(tones), share) for k, share in shares.items())


def test_a_mask_is_kept_to_and_teaches_nothing() -> None:
    policy, mask = head_policy("policy", 3), 0b00011
    for seed in seeds(200):
        (pick,) = select_actions([policy], STATE, seed=seed, exploration=0.5, eligible={"policy": mask})
        assert mask >> pick.action & 1 and pick.eligible == mask and not pick.learnable
        logged = {0: 6 / 7, 1: 1 / 7}[pick.action]
        assert pick.propensity == pytest.approx(logged if pick.explored else 1.0)
        assert pick.marginal_propensity == pytest.approx(0.5 * logged + 0.5 * (pick.action == 0))


def test_a_fallback_teaches_nothing() -> None:
    (pick,) = select_actions([head_policy("policy", 3, fallback="stable")], STATE, seed=b"s", exploration=0.0)
    assert not pick.learnable


def test_the_apps_own_choice_has_neither_a_version_nor_a_propensity() -> None:
    heads = [head_policy("policy", 3), head_policy("tone", 1)]
    for seed in seeds(50):
        own, tone = select_actions(heads, STATE, seed=seed, exploration=0.5, own={"policy": 1})
        assert (own.action, own.version, own.fallback, own.generation) == (1, None, "app", heads[0].generation)
        assert (own.propensity, own.marginal_propensity, own.explored, own.learnable) == (None, None, False, False)
        assert tone.version == heads[1].version and tone.learnable


def test_the_apps_own_choice_says_nothing_about_the_flag() -> None:
    """Where a policy explores, its rare action tells that the flag was raised. The app's own choice does not."""
    heads = [head_policy("policy", 3), head_policy("tone", 1)]
    tones = [select_actions(heads, STATE, seed=s, exploration=0.3, own={"policy": 1})[1] for s in seeds(20_000)]
    shares = {p.action: known(p.marginal_propensity) for p in tones}
    logging = SPEC.head("tone").logging
    assert shares == pytest.approx({k: 0.3 * p + 0.7 * (k == 1) for k, p in enumerate(logging)})
    told = Counter(p.action for p in tones)
    assert all(within(told[k], len(tones), share) for k, share in shares.items())


def test_an_own_choice_of_the_reference_leaves_the_other_heads_silent() -> None:
    heads = [head_policy("policy", 3), head_policy("tone", 1)]
    reference = SPEC.head("policy").reference_index
    assert len(select_actions(heads, STATE, seed=b"s", exploration=0.0, own={"policy": reference})) == 1


@pytest.mark.parametrize(("mask", "last"), [(None, 4), (0b00111, 2), (0b00011, 1)])
def test_the_end_of_the_draw_belongs_to_the_last_eligible_action(mask: int | None, last: int) -> None:
    """A draw that rounds to 1, or whose shares do not quite sum to it, falls past every interval."""
    assert _draw(head_policy("policy", 3), mask, 1.0) == last
    assert _draw(head_policy("policy", 3), mask, 1.0 + 1e-12) == last


def test_the_draw_goes_by_the_logging_shares_in_their_order() -> None:
    policy = head_policy("policy", 3)
    ends = np.cumsum(policy.logging)
    for k in range(len(policy.logging)):
        assert _draw(policy, None, float(ends[k]) - 1e-9) == k
        assert k == 0 or _draw(policy, None, float(ends[k - 1]) + 1e-9) == k


def test_no_marginal_propensity_exceeds_one() -> None:
    """Whatever the explored share f, f + (1 - f) is 1 where the head always logs the action that it takes."""
    sure = replace(head_policy("policy", 0), logging=(1.0, 0.0, 0.0, 0.0, 0.0))
    for share in np.linspace(0.0, 1.0, 101):
        (pick,) = select_actions([sure], STATE, seed=b"s", exploration=float(share))
        assert pick.marginal_propensity == pytest.approx(1.0) and known(pick.marginal_propensity) <= 1.0


def test_an_action_alone_is_chosen_as_among_others() -> None:
    """With the flag of the same seed, the mask, and the propensities of a head that always acts."""
    tone = head_policy("tone", 1)
    for seed in seeds(40):
        alone = choose_alone(tone, STATE, seed=seed, exploration=0.3, mask=None)
        (among,) = select_actions([tone], STATE, seed=seed, exploration=0.3)
        assert alone == among
    masked = choose_alone(tone, STATE, seed=b"s", exploration=0.0, mask=0b001)
    assert (masked.action, masked.eligible, masked.learnable) == (0, 0b001, False)


@pytest.mark.parametrize(
    ("values", "mask", "greedy"),
    [
        ((0.1, 0.5, 0.3), None, 1),
        ((0.1, 0.5, 0.3), 0b101, 2),
        ((0.5, 0.5, 0.3), None, 0),  # the reference wins ties
        ((0.5, 0.3, 0.5), 0b101, 0),
        ((0.9, 0.5, 0.3), 0b111, 0),
    ],
)
def test_a_choices_greedy_action_is_the_best_that_is_eligible(
    values: tuple[float, ...], mask: int | None, greedy: int
) -> None:
    choice = choose_alone(head_policy("tone", 1), STATE, seed=b"s", exploration=0.0, mask=None)
    assert greedy_action(choice._replace(values=values, eligible=mask, reference=0)) == greedy


def test_values_hold_the_margin_of_the_reference() -> None:
    phi = FeatureMap.of(SPEC, False)
    weights = np.zeros((2, phi.width))
    weights[1, 0] = 0.4
    low, high = LinearPolicy(phi, weights, 0.1, 0), LinearPolicy(phi, weights, 0.4, 0)
    assert action_values([low, high], STATE) == [(0.1, 0.4), (0.4, 0.4)]
    hinged = FeatureMap.of(SPEC, True)
    wide = LinearPolicy(hinged, np.vstack([np.zeros(hinged.width), np.ones(hinged.width)]), 0.0, 0)
    assert action_values([low, wide], STATE)[1][1] == pytest.approx(float(hinged.phi_of(STATE).sum()))


def test_a_draw_is_64_bits_of_a_hash_over_two_to_the_64() -> None:
    digest = hashlib.blake2b(b"seed" + b"explore", digest_size=8).digest()
    assert uniform(b"seed", "explore") == int.from_bytes(digest, "big") / 2**64


def test_the_flag_is_raised_below_the_share_and_not_at_it() -> None:
    u = uniform(b"s", "explore")
    for share, raised in ((u, False), (np.nextafter(u, 1.0), True)):
        (pick,) = select_actions([head_policy("policy", 3)], STATE, seed=b"s", exploration=float(share))
        assert pick.explored is raised
        assert (
            choose_alone(head_policy("tone", 1), STATE, seed=b"s", exploration=float(share), mask=None).explored
            is raised
        )
