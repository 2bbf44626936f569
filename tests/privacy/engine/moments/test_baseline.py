"""The baseline's posterior against the joint normal distribution that it conditions, and what a change is worth later."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.spec import Feature
from privacy.engine.moments.action_shares import ActionShares
from privacy.engine.moments.baseline import BASELINE_WIDTHS, Baseline, _posterior, baseline_posterior, prior_mean
from privacy.engine.moments.continuation_value import continuation_slope, continuation_spread
from privacy.engine.moments.contributions import whitened_targets
from privacy.engine.moments.effect_posterior import NoisyMoments, TargetEffects
from privacy.engine.moments.effects import (
    SUB_WIDTHS,
    Effects,
    draw_baseline,
    effects_posterior,
    known_effects,
    sub_effects_posterior,
)
from privacy.engine.moments.gram_matrix import Gram
from privacy.engine.moments.null_population import null_rows
from privacy.engine.moments.pooled import Moments, SubMoments
from privacy.engine.moments.release_layout import Counts, ReleaseLayout
from tests.factories.planted import planted_spec

SPEC = replace(
    planted_spec(),
    features=(
        Feature("energy", "drift", bounds=(0.0, 1.0), scale=0.2),
        Feature("mood", "learned", bounds=(-1.0, 3.0), scale=0.5),
        Feature("calm", "learned", bounds=(0.0, 1.0), scale=0.1),
    ),
)
LAYOUT = ReleaseLayout.of(SPEC, hinges=False)  # columns 1, energy, mood, calm; targets reward, mood, calm
GRAM = np.array([[1.0, 0.1, 0.0, 0.2], [0.1, 0.4, 0.05, 0.0], [0.0, 0.05, 0.3, 0.0], [0.2, 0.0, 0.0, 0.35]])


def test_learned_features_are_drawn_to_their_middle_by_a_fifth_of_the_half_width() -> None:
    expected = np.zeros((4, 3))
    expected[2, 1] = -0.2 * 2.0 / 0.5
    expected[3, 2] = -0.2 * 0.5 / 0.1
    np.testing.assert_allclose(prior_mean(LAYOUT), expected)


def _conditioned(
    released: Gram, error: Floats, target: Floats, prior: Floats, width: float
) -> tuple[float, Floats, Floats]:
    """Log density of the target, and theta given it: theta ~ N(prior, D), target = G theta + noise, in information form."""
    variance = np.array([0.25, *(width**2 + prior[1:] ** 2)])
    noise = error + np.diag([float(released.variance[i] @ (variance + prior**2)) for i in range(4)])
    precision = np.diag(1 / variance) + released.mean.T @ np.linalg.inv(noise) @ released.mean
    covariance = np.linalg.inv(precision)
    mean = covariance @ (prior / variance + released.mean.T @ np.linalg.inv(noise) @ target)
    marginal = released.mean @ np.diag(variance) @ released.mean.T + noise
    off = target - released.mean @ prior
    score = -0.5 * float(off @ np.linalg.inv(marginal) @ off) - 0.5 * math.log(np.linalg.det(marginal))
    return score, np.asarray(mean), np.asarray(covariance)


def _mixed(released: Gram, error: Floats, target: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of the mixture over the four widths, each weighted by the target's density."""
    parts = [_conditioned(released, error, target, prior, w) for w in BASELINE_WIDTHS]
    weights = np.exp([p[0] for p in parts])
    weights /= weights.sum()
    mean = sum(w * p[1] for w, p in zip(weights, parts, strict=True))
    second = sum(w * (p[2] + np.outer(p[1], p[1])) for w, p in zip(weights, parts, strict=True))
    return np.asarray(mean), np.asarray(second - np.outer(mean, mean))


@pytest.mark.parametrize("doubt", [0.0, 0.02])
def test_the_posterior_is_the_prior_conditioned_on_the_target(doubt: float) -> None:
    released = Gram(GRAM, np.full((4, 4), doubt) + doubt * np.eye(4))
    error = 0.003 * GRAM + 1e-3 * np.eye(4)
    target, prior = np.array([0.3, -0.1, 0.15, 0.05]), np.array([0.0, 0.0, -0.8, 0.0])
    mean, covariance = _posterior(released, error, target, prior)
    expected, spread = _mixed(released, error, target, prior)
    np.testing.assert_allclose(mean, expected, atol=1e-10)
    np.testing.assert_allclose(covariance, spread, atol=1e-10)


def _moments() -> Moments:
    rng = np.random.default_rng(1)
    tone = SubMoments(
        rng.normal(size=(1, 4)) * 0.05, 0.02, 400.0, 1.3,
        ActionShares.of(np.array([0.5]), np.array([0.4]), np.array([0.01])),
    )  # fmt: skip
    return Moments(
        layout=LAYOUT,
        counts=Counts(80.0, 16.0, 0.0),
        users=80.0,
        gram=GRAM,
        gram_next=0.8 * GRAM,
        targets=rng.normal(size=(4, 3)) * 0.2,
        sd={"gram": 0.01, "targets": 0.05, "effects": 0.03, "variances": 0.01},
        sampling=(0.004, 0.001),
        actions=np.array([0.4]),
        offset=np.zeros((4, 3)),
        sizes={},
        effects=rng.normal(size=(1, 4, 3)) * 0.1,
        shares=ActionShares.of(np.array([0.4]), np.array([0.35]), np.array([0.01])),
        rows=900.0,
        variances=np.array([1.1, 0.6, 0.7]),
        subs={"tone": tone},
    )


def test_each_target_has_the_gram_and_the_sampling_of_its_own_rows() -> None:
    """The reward is known at all rows. A change is known where there is a next state, and is less alike within a person."""
    moments = _moments()
    found, prior = baseline_posterior(moments), prior_mean(LAYOUT)
    for j, (gram, sampling) in enumerate(
        [(moments.level_gram, 0.004), (moments.change_gram, 0.001), (moments.change_gram, 0.001)]
    ):
        error = sampling * gram.mean + 0.05**2 * np.eye(4)
        mean, covariance = _mixed(gram, error, moments.targets[:, j], prior[:, j])
        np.testing.assert_allclose(found.mean[:, j], mean, atol=1e-8)
        np.testing.assert_allclose(found.covariance[j], covariance, atol=1e-8)


def test_a_baseline_is_drawn_from_its_normal_distribution() -> None:
    """4,000 draws: means within 5 sd, covariances within a tenth of the largest."""
    a = np.random.default_rng(2).normal(size=(3, 4, 4)) * 0.3
    baseline = Baseline(np.arange(12.0).reshape(4, 3), a @ a.swapaxes(1, 2))
    rng = np.random.default_rng(3)
    drawn = np.stack([draw_baseline(baseline, rng) for _ in range(4_000)])
    for j in range(3):
        sd = np.sqrt(np.diag(baseline.covariance[j]))
        assert (np.abs(drawn[:, :, j].mean(axis=0) - baseline.mean[:, j]) < 5 * sd / math.sqrt(4_000)).all()
        scale = sd.max() ** 2
        np.testing.assert_allclose(np.cov(drawn[:, :, j].T) / scale, baseline.covariance[j] / scale, atol=0.1)
    flat = Baseline(np.ones((2, 1)), np.array([[[1.0, 1.0], [1.0, 1.0 - 1e-12]]]))
    assert np.isfinite(draw_baseline(flat, rng)).all(), "rounding may make a variance negative"


def test_each_targets_effects_are_inferred_from_its_own_block() -> None:
    """A change was stored at .6 of its scale, so the noise on its effects is 1 / .6 of the reward's."""
    moments, asked = _moments(), []

    def note(phi: object, released: NoisyMoments) -> TargetEffects:
        assert phi is LAYOUT.phi
        asked.append(released)
        return TargetEffects(np.full((2, 1, 4), float(len(asked))), np.zeros((2, 1, 4, 4)), np.eye(1))

    found = effects_posterior(moments, note)
    assert [r.gram is moments.level_gram for r in asked] == [True, False, False]
    assert all(r.gram is moments.change_gram for r in asked[1:])
    assert [r.noise for r in asked] == pytest.approx([0.03, 0.05, 0.05])
    assert [r.variance for r in asked] == pytest.approx([1.1, 0.6 / 0.8, 0.7 / 0.8])
    for j, released in enumerate(asked):
        np.testing.assert_array_equal(released.moment, moments.effects[:, :, j])
        assert released.rows == 900.0 and released.shares is moments.shares
        np.testing.assert_allclose(released.covariance, [[0.24]])
    assert found.mean[0, 0].tolist() == [1.0, 2.0, 3.0]


def test_known_effects_are_the_means_and_nothing_for_the_reference() -> None:
    effects = Effects(tuple(TargetEffects(np.full((2, 1, 4), j), np.zeros((2, 1, 4, 4)), np.eye(1)) for j in (1, 2, 3)))
    known = known_effects(_moments(), effects)
    assert known.shape == (2, 4, 3) and not known[0].any()
    np.testing.assert_array_equal(known[1], np.tile([1.0, 2.0, 3.0], (4, 1)))
    np.testing.assert_array_equal(effects.draw(np.random.default_rng(0))[0], known[1])


def test_a_sub_heads_effects_are_inferred_on_linear_features_with_narrow_widths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments, asked = _moments(), []
    from privacy.engine.moments import effects

    monkeypatch.setattr(effects, "released_posterior", lambda *args: asked.append(args))
    sub_effects_posterior(moments, "tone")
    ((phi, released, widths),) = asked
    tone = moments.subs["tone"]
    assert phi.width == 4 and widths == SUB_WIDTHS
    np.testing.assert_array_equal(released.gram.mean, moments.level_gram.mean[:4, :4])
    assert (released.variance, released.rows, released.noise) == (1.3, 400.0, 0.02)
    assert released.moment is tone.effects and released.shares is tone.shares
    np.testing.assert_allclose(released.covariance, [[0.25]])


def _theta(mood_on_mood: float = 0.0, calm_on_mood: float = 0.0) -> Floats:
    """The reward grows by .3 with mood's column and by .1 with calm's. Changes are in units of a half and of a tenth."""
    theta = np.zeros((4, 3))
    theta[2, 0], theta[3, 0] = 0.3, 0.1
    theta[2, 1], theta[2, 2] = mood_on_mood, calm_on_mood
    return theta


def test_a_change_that_lasts_is_worth_its_discounted_rewards() -> None:
    """One whitened unit of mood is .25 of its column, of calm .2. It lasts: gain x (1 + g + ... + g^19), a step later."""
    lasts = sum(0.97**k for k in range(20))
    expected = [0.0, 0.97 * 0.3 * lasts * 0.25, 0.97 * 0.1 * lasts * 0.2]
    np.testing.assert_allclose(continuation_slope(LAYOUT, _theta()), expected)


def test_a_change_that_decays_and_moves_another_is_worth_what_both_bring() -> None:
    """A unit of mood's column keeps 1 - .25 x .8 of itself a step, and adds .2 x .5 to calm's column."""
    theta = _theta(mood_on_mood=-0.8, calm_on_mood=0.5)
    state, worth = np.array([1.0, 0.0]), 0.0
    for k in range(20):
        worth += 0.97**k * float(state @ [0.3, 0.1])
        state = np.array([state[0] * 0.8, state[1] + state[0] * 0.1])
    assert continuation_slope(LAYOUT, theta)[1] == pytest.approx(0.97 * worth * 0.25)


def test_an_explosive_baseline_makes_no_change_worth_more_than_ten_reward_scales() -> None:
    explosive = continuation_slope(LAYOUT, _theta(mood_on_mood=9.0))
    assert explosive[1] == pytest.approx(0.97 * 10.0) and explosive[2] < 1.0
    assert continuation_slope(LAYOUT, -_theta(mood_on_mood=-9.0))[1] == pytest.approx(-0.97 * 10.0)


def test_without_learned_features_nothing_is_worth_anything_later() -> None:
    plain = ReleaseLayout.of(replace(SPEC, features=SPEC.features[:1]), hinges=False)
    assert continuation_slope(plain, np.ones((2, 1))).tolist() == [0.0]


def test_the_unit_of_a_sub_heads_target_is_its_standard_deviation() -> None:
    assert continuation_spread(np.array([0.0, 2.0, 2.0])) == pytest.approx(3.0)


def test_a_feature_without_a_scale_is_in_its_own_units() -> None:
    """In the targets, in the prior and in what a change is worth; a null user's value of it stays where it is."""
    bare = replace(SPEC, features=(SPEC.features[0], replace(SPEC.features[1], scale=None)))
    layout = ReleaseLayout.of(bare, hinges=False)
    assert prior_mean(layout)[2, 1] == pytest.approx(-0.2 * 2.0)
    lasts = sum(0.97**k for k in range(20))
    theta = np.zeros((3, 2))
    theta[2, 0] = 0.3
    assert continuation_slope(layout, theta)[1] == pytest.approx(0.97 * 0.3 * lasts * 0.5)
    rows = null_rows(bare, decisions=2).of_people(0, 3)
    np.testing.assert_array_equal(rows.state[:, 1], rows.next_state[:, 1])
    moved = replace(rows, next_state=rows.state + 0.75)
    np.testing.assert_allclose(whitened_targets(layout, moved, 0.0)[:, 1], np.full(6, 0.75))
