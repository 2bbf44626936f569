"""Means of one release and their pooling, entry by entry: what is divided, what is weighted, and how sure each block is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.spec import Feature, Head
from privacy.engine.moments.action_shares import ActionShares, pool_effects, pool_shares
from privacy.engine.moments.clipping import PublicFacts, public_facts
from privacy.engine.moments.contributions import gram_from_upper
from privacy.engine.moments.gram_matrix import estimate_gram
from privacy.engine.moments.pooled import Moments, SubMoments, baseline_moments, grams, pool
from privacy.engine.moments.release_layout import Clips, Counts, ReleaseLayout
from privacy.engine.moments.rounds import NoisyRound
from tests.factories.planted import planted_spec

SPEC = replace(
    planted_spec(),
    features=(*planted_spec().features, Feature("place", "drift", categories=("home", "work"))),
    heads=(
        Head("policy", ("wait", "ping", "hug"), "wait", (0.5, 0.3, 0.2)),
        Head("tone", ("warm", "calm"), "warm", (0.6, 0.4), when="intervening"),
    ),
)
SAME_DAY = replace(SPEC, imports=replace(SPEC.imports, next_state="next_row_same_day"))
LAYOUT, BY_DAY = ReleaseLayout.of(SPEC, hinges=False), ReleaseLayout.of(SAME_DAY, hinges=False)
D, M = 4, 2
CLIPS = {"gram": 1.5, "targets": 3.0, "effects": 2.0}
FACTS = PublicFacts(Clips(CLIPS), {"effects": 1.0}, {"effects": 8.0}, np.eye(D), np.eye(D))
COUNTS = Counts(40.0, 20.0, 0.25)
COVARIANCE = np.array([[0.21, -0.06], [-0.06, 0.16]])


def upper(gram: Floats) -> Floats:
    i, j = np.triu_indices(len(gram))
    return np.asarray(gram[i, j] * np.where(i == j, 1.0, math.sqrt(2)))


def some_gram(people: float, seed: int) -> Floats:
    a = np.random.default_rng(seed).normal(size=(D, D))
    gram = a @ a.T
    return np.asarray(gram / gram[0, 0] * people)


def stored(layout: ReleaseLayout, people: float = 40.0, seed: int = 1) -> NoisyRound:
    seen, unseen = some_gram(people * 0.7, seed), some_gram(people * 0.3, seed + 100)
    gram = np.concatenate([upper(seen), upper(unseen)]) if layout.same_day else upper(some_gram(people, seed))
    targets = np.random.default_rng(seed).normal(size=D * M) * people
    return {"gram": gram, "gram_sd": np.array([0.8]), "targets": targets, "targets_sd": np.array([1.2])}


def test_both_grams_are_per_person_and_people_are_the_first_entry() -> None:
    gram, gram_next, users = grams(LAYOUT, stored(LAYOUT))
    assert users == pytest.approx(40.0)
    np.testing.assert_allclose(gram, some_gram(40.0, 1) / 40.0)
    np.testing.assert_allclose(gram_next, gram)


def test_within_days_the_gram_of_all_rows_is_the_sum_of_those_with_and_without_a_next_state() -> None:
    gram, gram_next, users = grams(BY_DAY, stored(BY_DAY))
    assert users == pytest.approx(40.0)
    np.testing.assert_allclose(gram_next, some_gram(28.0, 1) / 40.0)
    np.testing.assert_allclose(gram, (some_gram(28.0, 1) + some_gram(12.0, 101)) / 40.0)


@pytest.mark.parametrize("layout", [LAYOUT, BY_DAY], ids=["across days", "within days"])
def test_there_is_at_least_one_person(layout: ReleaseLayout) -> None:
    gram, gram_next, users = grams(layout, stored(layout, people=0.4))
    assert users == 1.0 and gram[0, 0] == pytest.approx(0.4)
    assert gram_next[0, 0] == pytest.approx(0.28 if layout.same_day else 0.4)


def test_round_1_gives_means_per_person_with_the_noise_on_each() -> None:
    found = baseline_moments(LAYOUT, COUNTS, FACTS, stored(LAYOUT), 1.0)
    np.testing.assert_allclose(found.targets, stored(LAYOUT)["targets"].reshape(D, M) / 40.0)
    assert found.sd == pytest.approx({"gram": 0.8 / 40, "targets": 1.2 / 40})
    assert found.users == pytest.approx(40.0) and found.releases == 1
    np.testing.assert_allclose(found.actions, [0.3, 0.2])
    np.testing.assert_array_equal(found.offset, np.zeros((D, M)))
    # (1 + correlation x decisions) / (people x decisions): decision points of one person are not independent.
    assert found.sampling == pytest.approx(((1 + 0.1 * 20) / 800, (1 + 0.02 * 20) / 800))


def test_what_was_known_is_averaged_over_the_logged_actions() -> None:
    known = np.stack([np.zeros((D, M)), np.full((D, M), 0.5), np.full((D, M), -1.0)])
    found = baseline_moments(LAYOUT, COUNTS, FACTS, stored(LAYOUT) | {"known": known}, 1.0)
    np.testing.assert_allclose(found.offset, np.full((D, M), 0.3 * 0.5 - 0.2 * 1.0))


@pytest.mark.parametrize(("explored", "counts"), [(1.0, 1.0), (0.999, 1.0), (0.998, 0.1), (0.1, 0.1)])
def test_a_baseline_of_served_decisions_counts_a_tenth(explored: float, counts: float) -> None:
    """The size of a block is its noise squared plus sampling, C^2 / (entries x people): ten entries of gram, eight targets."""
    found = baseline_moments(LAYOUT, COUNTS, FACTS, stored(LAYOUT), explored)
    expected = {
        "gram": ((0.8 / 40) ** 2 + 1.5**2 / (10 * 40)) / counts,
        "targets": ((1.2 / 40) ** 2 + 3.0**2 / (8 * 40)) / counts,
    }
    assert found.sizes == pytest.approx(expected)


def _shares(first: float, second: float, sd: float) -> ActionShares:
    return ActionShares.of(np.array([0.3, 0.2]), np.array([first, second]), np.array([sd, sd]))


def _moments(seed: int, people: float, *, layout: ReleaseLayout = LAYOUT, taken: float = 0.2) -> Moments:
    rng = np.random.default_rng(seed)
    first = baseline_moments(layout, COUNTS, FACTS, stored(layout, people, seed), 1.0)
    tone = SubMoments(
        rng.normal(size=(1, D)), 0.1 * seed, 100.0 * seed, 1.0 + seed,
        ActionShares.of(np.array([0.4]), np.array([0.3]), np.array([0.01])),
    )  # fmt: skip
    shares = _shares(0.3, taken, 0.01)
    return first.with_actions(shares, 0.5, None).with_effects(
        effects=rng.normal(size=(2, D, M)), sd_effects=0.02 * seed, rows=people * 8, variances=np.array([0.9, 0.5]) * seed,
        stays=np.array([0.6 + 0.1 * seed]), sd_variances=0.03 * seed, subs={"tone": tone},
    )  # fmt: skip


ONE, TWO = _moments(1, 40.0), _moments(2, 90.0)
BOTH = pool([ONE, TWO])


def _by_precision(block: str) -> tuple[float, float]:
    a, b = 1 / ONE.sizes[block], 1 / TWO.sizes[block]
    return a / (a + b), b / (a + b)


def test_effects_and_variances_have_a_size_of_their_own() -> None:
    """Sampling of an effect: residual variance x V's mean diagonal x .4 over rows; of a variance: one over people."""
    assert TWO.sizes["effects"] == pytest.approx(0.04**2 + (1.8 + 1.0) / 2 * (0.21 + 0.16) / 2 * 0.4 / 720)
    assert TWO.sizes["variances"] == pytest.approx(0.06**2 + 1 / 90)
    assert TWO.sd["effects"] == 0.04 and TWO.sd["variances"] == 0.06
    wild = TWO.with_effects(
        effects=TWO.effects, sd_effects=0.0, rows=0.0, variances=np.array([0.01, 99.0]), stays=TWO.stays,
        sd_variances=0.0, subs={},
    )  # fmt: skip
    assert wild.sizes["effects"] == pytest.approx((0.05 + 16.0) / 2 * (0.21 + 0.16) / 2 * 0.4 / 1.0), (
        "within .05 and 16"
    )


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        ("gram", ("gram", "gram_next")),
        ("targets", ("targets", "actions", "offset")),
        ("variances", ("variances", "stays")),
    ],
)
def test_blocks_are_pooled_by_their_precision(block: str, fields: tuple[str, ...]) -> None:
    a, b = _by_precision(block)
    for name in fields:
        np.testing.assert_allclose(getattr(BOTH, name), a * getattr(ONE, name) + b * getattr(TWO, name), err_msg=name)


@pytest.mark.parametrize("block", ["gram", "targets", "effects", "variances"])
def test_noise_and_sizes_of_pooled_blocks(block: str) -> None:
    a, b = _by_precision(block)
    assert BOTH.sd[block] == pytest.approx(math.hypot(a * ONE.sd[block], b * TWO.sd[block]))
    assert BOTH.sizes[block] == pytest.approx(1 / (1 / ONE.sizes[block] + 1 / TWO.sizes[block]))


def test_people_rows_and_sampling_of_pooled_releases() -> None:
    assert BOTH.users == pytest.approx(130.0) and BOTH.releases == 2 and pool([BOTH, ONE]).releases == 3
    a, b = _by_precision("targets")
    for i in (0, 1):
        assert BOTH.sampling[i] == pytest.approx(a**2 * ONE.sampling[i] + b**2 * TWO.sampling[i])
    a, b = _by_precision("effects")
    assert BOTH.rows == pytest.approx(1 / (a**2 / 320 + b**2 / 720))


def test_effects_are_pooled_as_contrasts() -> None:
    a, b = _by_precision("effects")
    np.testing.assert_allclose(BOTH.effects, a * ONE.effects + b * TWO.effects)


def test_pooled_sub_heads_are_weighted_by_noise_and_sampling() -> None:
    one, two, both = ONE.subs["tone"], TWO.subs["tone"], BOTH.subs["tone"]
    sizes = [s.sd**2 + s.variance / s.rows for s in (one, two)]
    a, b = (1 / s / (1 / sizes[0] + 1 / sizes[1]) for s in sizes)
    np.testing.assert_allclose(both.effects, a * one.effects + b * two.effects)
    assert both.sd == pytest.approx(math.hypot(a * one.sd, b * two.sd))
    assert both.rows == pytest.approx(1 / (a**2 / 100 + b**2 / 200))
    assert both.variance == pytest.approx(a * 2.0 + b * 3.0)
    np.testing.assert_allclose(both.shares.share, [0.3])


def test_a_release_that_ended_before_round_2_adds_to_the_baseline_alone() -> None:
    early = baseline_moments(LAYOUT, COUNTS, FACTS, stored(LAYOUT, 60.0, 3), 1.0)
    both = pool([ONE, early])
    np.testing.assert_allclose(both.effects, ONE.effects)
    assert both.users == pytest.approx(100.0)
    assert both.rows == pytest.approx(ONE.rows) and both.sizes["effects"] == pytest.approx(ONE.sizes["effects"])
    assert not pool([early, replace(early, users=1.0)]).effects.size


def test_an_action_without_evidence_may_not_be_chosen() -> None:
    assert ONE.without_evidence == () and _moments(1, 40.0, taken=0.0).without_evidence == (2,)
    assert baseline_moments(LAYOUT, COUNTS, FACTS, stored(LAYOUT), 1.0).without_evidence == ()
    assert ONE.sub_without_evidence("tone") == ()


def test_a_change_is_measured_only_on_rows_with_a_next_state() -> None:
    """Variances are over all rows, of which .7 have a next state. They end at 16."""
    by_day = _moments(1, 40.0, layout=BY_DAY)
    np.testing.assert_allclose(by_day.residual_variances, [0.9, 0.5 / 0.7])
    np.testing.assert_allclose(replace(by_day, variances=np.array([99.0, 99.0])).residual_variances, [16.0, 16.0])
    nobody = replace(by_day, gram_next=np.zeros((D, D)), variances=np.array([0.9, 0.005]))
    np.testing.assert_allclose(nobody.residual_variances, [0.9, 5.0], err_msg="one in a thousand is the least")


@pytest.mark.parametrize(("layout", "parts"), [(LAYOUT, 1.0), (BY_DAY, 2.0)], ids=["across days", "within days"])
def test_the_gram_of_all_rows_has_the_noise_of_the_sums_it_was_released_as(layout: ReleaseLayout, parts: float) -> None:
    found = _moments(1, 40.0, layout=layout)
    null = public_facts(layout, 16).gram  # 20 decisions, rounded to a power of two
    level = estimate_gram(layout, found.gram, parts * 0.02**2, null)
    change = estimate_gram(layout, found.gram_next, 0.02**2, null)
    np.testing.assert_allclose(found.level_gram.mean, level.mean)
    np.testing.assert_allclose(found.level_gram.variance, level.variance)
    np.testing.assert_allclose(found.change_gram.mean, change.mean)
    np.testing.assert_allclose(found.change_gram.variance, change.variance)


def test_actions_are_pooled_over_the_releases_that_took_them() -> None:
    """The second action is absent from the second release: its share, noise and effect are the first one's."""
    one, two = _shares(0.4, 0.3, 0.02), _shares(0.2, 0.0, 0.02)
    shares, by_action = pool_shares([one, two], np.array([0.25, 0.75]))
    np.testing.assert_allclose(by_action, [[0.25, 1.0], [0.75, 0.0]])
    np.testing.assert_allclose(shares.evidence, [1.0, 0.25])
    np.testing.assert_allclose(shares.share, [0.25 * 0.4 + 0.75 * 0.2, 0.3])
    np.testing.assert_allclose(shares.sd, [math.hypot(0.25 * 0.02, 0.75 * 0.02), 0.02])
    again, weights = pool_shares([shares, one], np.array([0.5, 0.5]))
    np.testing.assert_allclose(again.evidence, [1.0, 0.5 * 0.25 + 0.5])
    np.testing.assert_allclose(weights[:, 1], [0.2, 0.8])
    first, second = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    pooled = pool_effects([COVARIANCE @ first, COVARIANCE @ second], COVARIANCE, by_action)
    np.testing.assert_allclose(pooled, COVARIANCE @ [[0.25 * 1 + 0.75 * 5, 0.25 * 2 + 0.75 * 6], [3.0, 4.0]])


def test_an_action_that_no_release_took_is_pooled_as_all_others_are() -> None:
    one, two = _shares(0.4, 0.0, 0.02), _shares(0.2, 0.0, 0.02)
    shares, by_action = pool_shares([one, two], np.array([0.25, 0.75]))
    np.testing.assert_allclose(by_action, [[0.25, 0.25], [0.75, 0.75]])
    np.testing.assert_allclose(shares.evidence, [1.0, 1.0])


@pytest.mark.parametrize(
    ("share", "sd", "supported", "present"),
    [
        (0.2, 0.01, True, True),
        (0.08, 0.01, True, True),  # just above a quarter of .3
        (0.07, 0.01, False, True),  # not clear of a quarter, nor credibly below it
        (0.05, 0.01, False, False),
        (0.2, 0.11, False, True),  # within two sd of nothing
        (0.075, 0.0, False, False),  # a quarter itself is not more than a quarter
    ],
)
def test_an_action_was_taken_if_above_a_quarter_of_what_is_declared_and_clear_of_the_noise(
    share: float, sd: float, supported: bool, present: bool
) -> None:
    found = ActionShares.of(np.array([0.3]), np.array([share]), np.array([sd]))
    assert found.supported.tolist() == [supported] and found.present.tolist() == [present]


def test_two_sds_of_noise_themselves_are_not_clear_of_it() -> None:
    found = ActionShares.of(np.array([0.5]), np.array([0.25]), np.array([0.125]))
    assert found.supported.tolist() == [False]


def test_a_released_share_is_a_share() -> None:
    assert ActionShares.of(np.array([0.3, 0.2]), np.array([-0.1, 1.3]), np.zeros(2)).share.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("shares", "taken", "reference"),
    [
        ((0.25, 0.15), (0.25, 0.15), 0.5),  # more waiting than declared counts as declared
        ((0.4, 0.3), (0.3, 0.2), 0.3),  # so do alternatives
        ((0.0, 0.01), (0.03, 0.02), 0.5),  # a tenth of what is declared is the least
        ((0.6, 0.4), (0.3, 0.2), 0.05),
    ],
)
def test_contrasts_vary_by_how_often_both_sides_were_taken(
    shares: tuple[float, float], taken: tuple[float, float], reference: float
) -> None:
    found = ActionShares.of(np.array([0.3, 0.2]), np.array(shares), np.zeros(2)).contrasts
    common = 1 / reference
    np.testing.assert_allclose(found, [[1 / taken[0] + common, common], [common, 1 / taken[1] + common]])


def test_a_gram_is_unpacked_by_rows() -> None:
    packed = np.array([1.0, math.sqrt(2) * 2.0, 5.0])
    np.testing.assert_allclose(gram_from_upper(packed, 2), [[1.0, 2.0], [2.0, 5.0]])
