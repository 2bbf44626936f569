"""The three rounds of a release: what noised sums are divided by, what stabilises small cohorts, and what each round is given."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from loops.engine.spec import Feature, Head, MomentsOptions
from privacy.engine.dp.accounting import LATTICE_STEPS
from privacy.engine.dp.mechanisms import Totals
from privacy.engine.moments import rounds
from privacy.engine.moments.clipping import PublicFacts, effect_error, public_facts
from privacy.engine.moments.continuation_value import continuation_slope
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import Clips, Counts, ReleaseLayout
from privacy.engine.moments.rounds import (
    NoisyRound,
    ReleasePlan,
    baseline_totals,
    count_totals,
    effect_totals,
    fit_in_memory,
    plan_release,
    read_counts,
    read_moments,
    release_baseline,
    release_counts,
    release_effects,
    residual_baseline,
)
from tests.factories.in_memory_release import release_moments
from tests.factories.planted import planted_rows, planted_spec

SPEC = replace(
    planted_spec(),
    features=(*planted_spec().features, Feature("place", "drift", categories=("home", "work"))),
    heads=(
        Head("policy", ("wait", "ping", "hug"), "wait", (0.5, 0.3, 0.2)),
        Head("tone", ("warm", "calm"), "warm", (0.6, 0.4), when="intervening"),
        Head("length", ("short", "mid", "long"), "short", (0.5, 0.3, 0.2), when="intervening"),
    ),
)
LAYOUT = ReleaseLayout.of(SPEC, hinges=False)
D, M, USERS = 4, 2, 50.0
FACTS = PublicFacts(
    clips=Clips(dict.fromkeys(("counts", *LAYOUT.shares), 2.0)),
    weights={"effects": 0.5, "effects_tone": 0.25, "effects_length": 0.2},
    rows={"effects": 6.0, "effects_tone": 3.0, "effects_length": 2.0},
    gram=np.eye(D),
    plain_gram=np.eye(D),
)
PLAN = ReleasePlan(LAYOUT, FACTS, Counts(USERS, 10.0, 0.5), 0.25, None, None)
RNG = np.random.default_rng(0)


def _baseline() -> NoisyRound:
    """A gram of 50 people whose columns are independent, and some targets."""
    i, j = np.triu_indices(D)
    gram = np.where(i == j, np.where(i == 0, USERS, USERS / 3), 0.0)
    return {
        "gram": gram, "gram_sd": np.array([0.5]), "targets": RNG.normal(size=D * M) * 5, "targets_sd": np.array([0.7]),
    }  # fmt: skip


def _effects() -> NoisyRound:
    return {
        "effects": RNG.normal(size=2 * D * M), "effects_sd": np.array([0.3]),
        "variances": np.array([40.0, 30.0, -1.0]), "variances_sd": np.array([0.2]),
        "shares": np.array([9.0, 5.0]), "shares_sd": np.array([0.4]),
        "shares_of_heads": np.array([8.0, 4.0, 3.0]), "shares_of_heads_sd": np.array([0.1]),
        "effects_tone": RNG.normal(size=D), "effects_tone_sd": np.array([0.6]),
        "effects_length": RNG.normal(size=2 * D), "effects_length_sd": np.array([0.9]),
    }  # fmt: skip


BASELINE, EFFECTS = _baseline(), _effects()
READ = read_moments(PLAN, BASELINE, EFFECTS)


def test_effects_are_per_person_that_explored_and_in_the_targets_own_scale() -> None:
    """50 people at a mean weight of .5 are 25. A change was stored at .6 of its scale, the reward at its own."""
    expected = EFFECTS["effects"].reshape(2, D, M) / 25.0 / np.array([1.0, 0.6])
    np.testing.assert_allclose(READ.effects, expected)
    assert READ.sd["effects"] == pytest.approx(0.3 / 25.0)
    assert READ.rows == 50.0 * 6.0


def test_variances_and_stays_are_per_person_and_never_negative() -> None:
    assert READ.variances.tolist() == [0.8, 0.6]
    assert READ.stays.tolist() == [0.0]
    assert READ.sd["variances"] == pytest.approx(0.2 / 50)


def test_action_shares_are_taken_out_of_their_unit() -> None:
    """9 over the root of .3, of 25 people: .197 of the explored rows."""
    assert READ.shares is not None
    np.testing.assert_allclose(READ.shares.share, [9 * math.sqrt(0.3) / 25, 5 * math.sqrt(0.2) / 25])
    np.testing.assert_allclose(READ.shares.sd, [0.4 * math.sqrt(0.3) / 25, 0.4 * math.sqrt(0.2) / 25])
    np.testing.assert_allclose(READ.subs["tone"].shares.share, [8 * math.sqrt(0.4) / 12.5])
    np.testing.assert_allclose(READ.subs["length"].shares.share, [4 * math.sqrt(0.3) / 10, 3 * math.sqrt(0.2) / 10])
    np.testing.assert_allclose(READ.subs["length"].shares.sd, [0.1 * math.sqrt(0.3) / 10, 0.1 * math.sqrt(0.2) / 10])


def test_what_was_not_explored_before_the_first_policy_took_the_reference() -> None:
    assert READ.shares is not None
    np.testing.assert_allclose(READ.actions, 0.25 * READ.shares.share)
    known = np.stack([np.zeros((D, M)), np.full((D, M), 0.3), np.full((D, M), -0.2)])
    later = read_moments(replace(PLAN, known=known), BASELINE | {"known": known}, EFFECTS)
    assert later.shares is not None
    np.testing.assert_allclose(later.actions, later.shares.share)
    expected = 0.3 * later.shares.share[0] - 0.2 * later.shares.share[1]
    np.testing.assert_allclose(later.offset, np.full((D, M), expected))


@pytest.mark.parametrize(("head", "people", "rows"), [("tone", 12.5, 150.0), ("length", 10.0, 100.0)])
def test_a_sub_heads_effects_are_in_reward_scales(head: str, people: float, rows: float) -> None:
    """They were stored in units of the target's own spread: that of the residual and of the later worth of the change."""
    slope = continuation_slope(LAYOUT, residual_baseline(PLAN, BASELINE, None))
    unit, found = math.sqrt(1.0 + slope[1] ** 2), READ.subs[head]
    stored = EFFECTS[f"effects_{head}"].reshape(-1, D)
    np.testing.assert_allclose(found.effects, stored / people * unit)
    assert found.sd == pytest.approx(float(EFFECTS[f"effects_{head}_sd"][0]) / people * unit)
    assert found.rows == pytest.approx(rows)
    assert found.variance == pytest.approx(0.8 + slope[1] ** 2 * 0.6)


def test_counts_are_means_over_people() -> None:
    """100 people of 50 decision points whose mean reward is 1.5 scales, without noise."""
    stored = np.array([50.0, 100 * math.log(51) / math.log(10_001), 100 * 1.5 / 10])
    found = read_counts(SPEC, {"counts": stored, "counts_sd": np.array([0.0])})
    assert (found.users, found.decisions, found.centre) == pytest.approx((100.0, 50.0, 1.5))
    one = read_counts(SPEC, {"counts": np.array([0.2, 0.0, 0.0]), "counts_sd": np.array([0.0])})
    assert one.users == 1.0, "a cohort has at least one person"
    assert one.decisions == pytest.approx(1.0), "and one decision point"


def test_counts_that_are_noisy_are_drawn_to_what_is_usual() -> None:
    """Log decisions ~ N(log(1 + 14 days of 4), 1), centre ~ N(0, 3^2): each is the mean of prior and value by precision."""
    users, sd = 20.0, 1.2
    stored = {"counts": np.array([10.0, 20 * 0.3, 20 * 0.2]), "counts_sd": np.array([sd])}
    found, span = read_counts(SPEC, stored), math.log(10_001)
    noise = sd / users
    log_noise, usual = (noise * span) ** 2, math.log(57)
    log_decisions = (0.3 * span / log_noise + usual / 1.0) / (1 / log_noise + 1 / 1.0)
    centre_noise = (noise * 10) ** 2
    centre = (2.0 / centre_noise + 0.0) / (1 / centre_noise + 1 / 9)
    assert (found.users, found.decisions, found.centre) == pytest.approx((20.0, math.expm1(log_decisions), centre))


def test_public_constants_and_an_earlier_centre_come_before_what_was_counted() -> None:
    stored = {"counts": np.array([10.0, 6.0, 4.0]), "counts_sd": np.array([1.0])}
    declared = replace(SPEC, moments=MomentsOptions(nominal_users=77, nominal_decisions=33))
    assert read_counts(declared, stored).users == 77.0 and read_counts(declared, stored).decisions == 33.0
    assert read_counts(SPEC, stored, READ).centre == READ.counts.centre == 0.5


def test_the_counts_block_spends_its_share_of_the_budget() -> None:
    """The noise of a block is clip times sigma over the root of its share: .03, or .9 of it where sub-heads have their tenth."""
    rows = planted_rows(SPEC, np.random.default_rng(1), copies=1)
    totals = count_totals(SPEC, rows)
    for subs, share in ((None, 0.027), (("tone",), 0.027), ((), 0.03)):
        found = release_counts(SPEC, totals, 2.0, subs)
        assert float(found["counts_sd"][0]) == pytest.approx(1.5 * 2.0 / math.sqrt(share))
        assert float(found["counts_rho"][0]) == pytest.approx(share / (2 * 2.0**2))
    alone = release_counts(planted_spec(subs=False), totals, 2.0)
    assert float(alone["counts_sd"][0]) == pytest.approx(1.5 * 2.0 / math.sqrt(0.03))


def test_every_block_is_noised_by_its_own_clip_and_share() -> None:
    plan = replace(PLAN, sigma=3.0, facts=public_facts(LAYOUT, 16))
    rows = planted_rows(SPEC, np.random.default_rng(1), copies=1).of_people(0, 50)
    released = release_baseline(plan, baseline_totals(plan, rows))
    released |= release_effects(plan, effect_totals(plan, np.zeros((D, M)), rows))
    for name, share in LAYOUT.shares.items():
        if name != "counts":
            expected = plan.facts.clips[name] * 3.0 / math.sqrt(share)
            assert float(released[f"{name}_sd"][0]) == pytest.approx(expected), name
            assert float(released[f"{name}_rho"][0]) == pytest.approx(share / 18), name
    assert sum(float(v[0]) for k, v in released.items() if k.endswith("_rho")) < 1 / 18


def test_known_effects_are_stored_with_the_baseline() -> None:
    known = np.ones((3, D, M))
    totals = Totals({"gram": np.zeros(10, np.int64), "targets": np.zeros(8, np.int64)})
    assert "known" not in release_baseline(PLAN, totals)
    assert release_baseline(replace(PLAN, known=known), totals)["known"] is known


def test_sums_without_noise_are_in_the_values_own_units() -> None:
    totals = Totals({"gram": np.full(10, LATTICE_STEPS), "targets": np.zeros(8, np.int64)})
    np.testing.assert_allclose(release_baseline(PLAN, totals)["gram"], np.full(10, FACTS.clips["gram"]))


def test_known_effects_of_a_plain_release_have_no_hinges_yet() -> None:
    known = np.arange(3.0 * D * M).reshape(3, D, M)
    spec = replace(SPEC, moments=MomentsOptions(features="hinges"))
    plan = plan_release(spec, Counts(100.0, 20.0, 0.0), None, known=known)
    assert plan.known is not None and plan.layout.phi.width == D + 2
    np.testing.assert_array_equal(plan.known[:, :D], known)
    assert not plan.known[:, D:].any()
    assert plan_release(SPEC, Counts(100.0, 20.0, 0.0), None).known is None


def test_hinges_of_an_earlier_release_are_carried_on() -> None:
    free = replace(planted_spec(features=None))
    bent = release_moments(
        planted_spec(features="hinges"), planted_rows(free, np.random.default_rng(3), copies=1), None
    )
    plain = bent.linear()
    small = Counts(20.0, 32.0, 0.0)
    assert plan_release(free, small, 3.0, earlier=bent).layout.phi.hinges
    assert not plan_release(free, small, 3.0, earlier=plain).layout.phi.hinges
    assert not plan_release(free, small, 3.0).layout.phi.hinges


def test_a_plan_uses_the_rounded_number_of_decisions_and_the_explored_share() -> None:
    plan = plan_release(SPEC, Counts(100.0, 20.0, 0.0), 2.0, explored_share=0.5, subs=("tone",))
    layout = ReleaseLayout.of(SPEC, hinges=False, subs=("tone",))
    assert plan.layout == layout and plan.explored_share == 0.5 and plan.sigma == 2.0
    assert plan.facts is public_facts(layout, 16, 0.5)


def test_residuals_are_taken_off_the_pooled_baseline_of_the_same_width() -> None:
    fresh = residual_baseline(PLAN, BASELINE, None)
    pooled = residual_baseline(PLAN, BASELINE, READ)
    assert not np.allclose(fresh, pooled)
    spec = replace(SPEC, moments=MomentsOptions(features="hinges"))
    rows = planted_rows(spec, np.random.default_rng(4), copies=1)
    wider = release_moments(spec, rows, None)
    np.testing.assert_array_equal(residual_baseline(PLAN, BASELINE, wider), fresh)


def _bent() -> tuple[Moments, PublicFacts]:
    spec = planted_spec(features=None)
    layout = ReleaseLayout.of(spec, hinges=True)
    moments = release_moments(
        planted_spec(features="hinges"), planted_rows(spec, np.random.default_rng(5), copies=1), None
    )
    return replace(moments, layout=layout), public_facts(layout, 32)


@pytest.mark.parametrize(("times", "kept"), [(0.99, True), (1.01, False)])
def test_hinges_are_dropped_where_an_effect_would_err_by_more_than_a_fifth(times: float, kept: bool) -> None:
    moments, facts = _bent()
    at_one = effect_error(moments.layout, facts, 1.0)
    sized = replace(moments, sizes=moments.sizes | {"effects": (0.2 / at_one * times) ** 2})
    assert fit_in_memory(sized, facts).layout.phi.hinges is kept
    declared = replace(sized, layout=replace(sized.layout, spec=planted_spec(features="hinges")))
    assert fit_in_memory(declared, facts).layout.phi.hinges, "a loop that declares its features keeps them"
    assert fit_in_memory(sized.linear(), facts).layout.phi.width == 3


def test_a_value_is_drawn_to_its_prior_by_precision() -> None:
    assert rounds._shrunk(4.0, 1.0, 1.0, 2.0) == pytest.approx((4.0 / 1 + 1.0 / 4) / (1 + 1 / 4))
    assert rounds._shrunk(4.0, 0.0, 1.0, 2.0) == 4.0
