"""Released moments: planted truths are found again, rounds are pooled by precision, and clips follow from the loop file."""

from __future__ import annotations

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.moments.baseline import baseline_posterior
from privacy.engine.moments.clipping import public_facts
from privacy.engine.moments.effects import effects_posterior, known_effects, sub_effects_posterior
from privacy.engine.moments.pooled import Moments, pool
from privacy.engine.moments.release_layout import ReleaseLayout
from privacy.engine.moments.rounds import (
    count_totals,
    plan_release,
    read_counts,
    read_moments,
    release_counts,
)
from privacy.engine.moments.rows import ReleaseRows
from tests.factories.in_memory_release import later_rounds, release_moments
from tests.factories.planted import EFFECT, REFERENCE, TONE, close, conditional, planted_rows, planted_spec

SPEC = planted_spec()
SIGMA = 1 / gaussian_mu(1.0, 1e-5)


def _reference(moments: Moments) -> Floats:
    """Coefficients of the reward under the reference action, as the world model takes them."""
    effects = effects_posterior(moments).mean[:, :, 0]
    centre = np.array([moments.counts.centre, 0.0, 0.0])
    return np.asarray(
        baseline_posterior(moments).mean[:, 0] + moments.offset[:, 0] - moments.actions @ effects + centre
    )


def _round(rows: ReleaseRows, *, share: float, earlier: Moments | None = None, known: Floats | None = None) -> Moments:
    counts = read_counts(SPEC, release_counts(SPEC, count_totals(SPEC, rows), None), earlier)
    made = plan_release(SPEC, counts, None, explored_share=share, earlier=earlier, known=known)
    baseline, effects = later_rounds(made, rows, earlier)
    return read_moments(made, baseline, effects, earlier)


@pytest.fixture(scope="module")
def first() -> Moments:
    """2,000 people, every decision point explored, no noise."""
    return _round(planted_rows(SPEC, np.random.default_rng(1)), share=1.0)


def test_planted_effects_are_found(first: Moments) -> None:
    """Without noise; residuals are clipped at 4 scales and priors shrink, so .1 of a scale is asked for."""
    found = effects_posterior(first).mean[0, :, 0]
    assert close(found, EFFECT + 0.5 * TONE, 0.1), found  # half of those spoken to were spoken to calmly
    assert close(_reference(first), REFERENCE, 0.1)
    assert close(sub_effects_posterior(first, "tone").mean[0], TONE, 0.15)


def test_with_noise_the_effects_keep_their_signs() -> None:
    """Epsilon 1, 2,000 people: the noise on an effect is about .1, the planted one .8, so a wrong sign is an 8 sd event."""
    found = effects_posterior(release_moments(SPEC, planted_rows(SPEC, np.random.default_rng(2)), SIGMA)).mean
    assert found[0, 2, 0] > 0


def test_what_was_served_meanwhile_does_not_bias_a_later_round(first: Moments) -> None:
    """A policy that speaks exactly where it helps makes those states look good. Taking known effects off undoes that."""
    speaks = LinearPolicy(first.layout.phi, np.vstack([np.zeros(3), EFFECT]), 0.0, 0)
    rows = conditional(planted_rows(SPEC, np.random.default_rng(3), served=speaks, share=0.1), SPEC)
    known = known_effects(first, effects_posterior(first))
    naive = _reference(_round(rows, share=0.1))
    mended = _reference(pool([first, _round(rows, share=0.1, earlier=first, known=known)]))
    assert np.abs(naive - REFERENCE).max() > 0.2
    assert close(mended, REFERENCE, 0.1), mended


def test_pooling_is_more_precise_than_either_round() -> None:
    rng = np.random.default_rng(4)
    one, two = (release_moments(SPEC, planted_rows(SPEC, rng, copies=2), SIGMA) for _ in range(2))
    both = pool([one, two])
    for block, sd in both.sd.items():
        assert sd < min(one.sd[block], two.sd[block]), block
    assert both.rows > max(one.rows, two.rows) and both.releases == 2
    assert both.subs["tone"].sd < min(one.subs["tone"].sd, two.subs["tone"].sd)
    assert pool([one]) is one


def test_rounds_with_and_without_hinges_meet_on_what_both_have() -> None:
    rng = np.random.default_rng(5)
    plain = release_moments(SPEC, planted_rows(SPEC, rng, copies=1), None)
    bent = release_moments(planted_spec(features="hinges"), planted_rows(SPEC, rng, copies=1), None)
    assert pool([plain, bent]).layout.phi.width == plain.layout.phi.width == 3
    np.testing.assert_allclose(bent.linear().targets, bent.targets[:3])


def test_clips_follow_from_the_loop_file_and_from_nothing_else() -> None:
    layout = ReleaseLayout.of(SPEC, hinges=False)
    facts = public_facts(layout, 32)
    assert facts.clips.of == public_facts(ReleaseLayout.of(planted_spec(), hinges=False), 32).clips.of
    assert public_facts(layout, 64).clips["effects"] < facts.clips["effects"], "averages over more rows are shorter"
    flagged = public_facts(layout, 32, 0.1)
    assert flagged.clips["effects"] > facts.clips["effects"], "averages over the few explored rows are longer"
    assert flagged.weights["effects"] < facts.weights["effects"] == 1.0


@pytest.mark.parametrize("share", [0.0, 0.002, 0.02, 0.1])
def test_however_little_is_explored_every_block_has_a_clip(share: float) -> None:
    facts = public_facts(ReleaseLayout.of(SPEC, hinges=False), 8, share)
    assert all(clip > 0 for clip in facts.clips.of.values()), facts.clips


def test_a_round_in_which_nothing_was_explored_teaches_nothing_of_effects(first: Moments) -> None:
    speaks = LinearPolicy(first.layout.phi, np.vstack([np.zeros(3), EFFECT]), 0.0, 0)
    rows = conditional(planted_rows(SPEC, np.random.default_rng(6), served=speaks, share=0.0), SPEC)
    known = known_effects(first, effects_posterior(first))
    pooled = pool([first, _round(rows, share=0.0, earlier=first, known=known)])
    assert close(effects_posterior(pooled).mean[0, :, 0], effects_posterior(first).mean[0, :, 0], 1e-3)
    assert close(_reference(pooled), REFERENCE, 0.1)


def test_shares_of_a_joint_release_are_one_budget() -> None:
    for subs in ((), ("tone",)):
        assert 0.99 < sum(ReleaseLayout.of(SPEC, hinges=False, subs=subs).shares.values()) <= 1.0


def test_a_baseline_logged_while_a_policy_served_counts_a_tenth(first: Moments) -> None:
    """Two months of the same size: the effects are pooled by their precision, the baseline mostly from the explored month."""
    speaks = LinearPolicy(first.layout.phi, np.vstack([np.zeros(3), EFFECT]), 0.0, 0)
    rows = conditional(planted_rows(SPEC, np.random.default_rng(7), served=speaks, share=0.1), SPEC)
    later = _round(rows, share=0.1, earlier=first, known=known_effects(first, effects_posterior(first)))
    pooled = pool([first, later])
    weight = (pooled.targets[0, 0] - first.targets[0, 0]) / (later.targets[0, 0] - first.targets[0, 0])
    assert 0.05 < weight < 0.15, weight


def test_errors_of_known_effects_hardly_reach_the_baseline_where_a_policy_acts(first: Moments) -> None:
    """Speaking is believed to help by .5 too little. Three months that speak to everybody must not credit the people with it."""
    speaks = LinearPolicy(first.layout.phi, np.vstack([np.zeros(3), np.array([1.0, 0.0, 0.0])]), 0.0, 0)
    known = known_effects(first, effects_posterior(first))
    known[1, 0, 0] -= 0.5
    pooled = first
    for seed in (8, 9, 10):
        rows = conditional(planted_rows(SPEC, np.random.default_rng(seed), served=speaks, share=0.1), SPEC)
        pooled = pool([pooled, _round(rows, share=0.1, earlier=pooled, known=known)])
    assert abs(_reference(pooled)[0] - REFERENCE[0]) < 0.2, _reference(pooled)
