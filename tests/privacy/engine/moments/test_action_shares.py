"""Released action shares: an action that was never logged has no evidence, one logged as declared has, and rounds pool them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.spec import Head, LoopSpec
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.moments.action_shares import ActionShares
from privacy.engine.moments.effects import effects_posterior, sub_effects_posterior
from privacy.engine.moments.pooled import Moments, pool
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows
from tests.factories.in_memory_release import release_moments
from tests.factories.planted import planted_spec

SIGMA = float(np.sqrt(2.0)) / gaussian_mu(1.0, 1e-5)
POINTS = 16
SPEC = replace(
    planted_spec(),
    heads=(
        Head("policy", ("wait", "ping", "hug"), "wait", (0.4, 0.3, 0.3)),
        Head("tone", ("warm", "calm"), "warm", (0.5, 0.5), when="intervening"),
    ),
)
PING, HUG = np.array([0.2, 0.0, 0.5]), np.array([0.5, 0.4, 0.0])  # effects on (1, mood, energy)


def _logged(
    people: int, taken: tuple[float, ...], seed: int, *, calm: float = 0.5, spec: LoopSpec = SPEC
) -> ReleaseRows:
    """People whose actions were drawn from ``taken``, each row with its true propensity."""
    rng, n, p = np.random.default_rng(seed), people * POINTS, np.array(taken)
    action = rng.choice(len(p), size=n, p=p)
    state = np.column_stack([rng.uniform(-1, 1, n), rng.uniform(0, 1, n)])
    phi = np.column_stack([np.ones(n), state[:, 0], 2 * state[:, 1] - 1])
    effect = phi @ np.column_stack([np.zeros(3), PING, HUG])
    tone = np.where(action > 0, rng.random(n) < calm, -1).astype(np.int64)
    return ReleaseRows(
        person=np.repeat(np.arange(people), POINTS), state=state, next_state=state, has_next=np.ones(n, bool),
        dropped_out=np.zeros(n, bool), action=action, propensity=p[action], explored=np.ones(n, bool),
        reward=0.3 * phi[:, 1] + effect[np.arange(n), action] + 0.5 * rng.normal(size=n),
        subs={"tone": SubHeadRows(tone, np.where(tone == 1, calm, 1.0 - calm), np.ones(n, bool))},
    )  # fmt: skip


def _shares(moments: Moments) -> ActionShares:
    assert moments.shares is not None
    return moments.shares


@pytest.mark.parametrize("people", [500, 2_000])
def test_an_action_that_was_never_logged_has_no_evidence(people: int) -> None:
    """60 releases: at most 5% take it as logged. The other actions keep their evidence."""
    rows = _logged(people, (0.5, 0.5, 0.0), 1)
    found = [_shares(release_moments(SPEC, rows, SIGMA)).supported for _ in range(60 if people < 1_000 else 20)]
    assert np.mean([s[1] for s in found]) <= 0.05
    assert np.mean([s[0] for s in found]) >= 0.95


def test_actions_logged_as_declared_have_evidence_from_1000_people_on() -> None:
    rows = _logged(1_000, (0.4, 0.3, 0.3), 2)
    found = [release_moments(SPEC, rows, SIGMA) for _ in range(20)]
    assert all(m.without_evidence == () and m.sub_without_evidence("tone") == () for m in found)


def test_shares_are_those_of_the_log_and_their_noise_is_as_stated() -> None:
    rows = _logged(1_000, (0.6, 0.3, 0.1), 3)
    assert np.allclose(_shares(release_moments(SPEC, rows, None)).share, [0.3, 0.1], atol=0.02)
    exact = release_moments(SPEC, _logged(1_000, (0.4, 0.3, 0.3), 3, calm=0.2), None)
    assert np.allclose(exact.subs["tone"].shares.share, [0.2], atol=0.02)
    noised = [_shares(release_moments(SPEC, rows, SIGMA)) for _ in range(40)]
    spread = np.std([s.share for s in noised], axis=0, ddof=1)
    assert np.allclose(spread, noised[0].sd, rtol=5 / np.sqrt(2 * 39)), (spread, noised[0].sd)


def test_without_evidence_an_effect_is_its_prior() -> None:
    """Waiting pays .3 mood here; with the declared shares taken for granted, hug would be thought to cost that."""
    moments = release_moments(SPEC, _logged(1_000, (0.5, 0.5, 0.0), 4), SIGMA)
    assert moments.without_evidence == (2,)
    effects = effects_posterior(moments)
    rng = np.random.default_rng(0)
    drawn = np.stack([effects.draw(rng)[:, :, 0] for _ in range(200)])
    assert not effects.mean[1].any() and drawn[:, 1].std() > 0.05
    assert np.abs(effects.mean[0, :, 0] - PING).max() < 0.25  # the other action's effect is learned as always


def test_a_tone_that_was_never_taken_keeps_its_prior_too() -> None:
    moments = release_moments(SPEC, _logged(1_000, (0.4, 0.3, 0.3), 5, calm=0.0), SIGMA)
    assert moments.sub_without_evidence("tone") == (1,)
    assert not sub_effects_posterior(moments, "tone").mean.any()


def test_frequencies_that_differ_from_the_declared_ones_bias_no_effect() -> None:
    """50 and 10% where 30 and 30% were declared: both effects are found, the rarer one with more doubt."""
    moments = release_moments(SPEC, _logged(2_000, (0.4, 0.5, 0.1), 6), None)
    assert moments.without_evidence == ()
    effects = effects_posterior(moments)
    assert np.abs(effects.mean[:, :, 0] - np.stack([PING, HUG])).max() < 0.08, effects.mean[:, :, 0]
    as_declared = effects_posterior(release_moments(SPEC, _logged(2_000, (0.4, 0.3, 0.3), 6), None))
    assert _doubt(effects)[1] > 1.4 * _doubt(as_declared)[1]
    assert _doubt(effects)[0] < 1.2 * _doubt(as_declared)[0]


def _doubt(effects: object) -> Floats:
    rng = np.random.default_rng(0)
    return np.asarray(np.std([effects.draw(rng)[:, :, 0] for _ in range(400)], axis=0).mean(axis=1))  # type: ignore[attr-defined]


def test_a_month_without_an_action_says_nothing_about_it() -> None:
    """The first file never took hug. Once exploration tried it, its effect comes from that month alone."""
    first = release_moments(SPEC, _logged(2_000, (0.5, 0.5, 0.0), 7), None)
    second = release_moments(SPEC, _logged(2_000, (0.4, 0.3, 0.3), 8), None)
    both = pool([first, second])
    assert first.without_evidence == (2,) and both.without_evidence == ()
    assert np.abs(effects_posterior(both).mean[:, :, 0] - np.stack([PING, HUG])).max() < 0.08
    assert 0.3 < _shares(both).evidence[1] < 0.7 and _shares(both).evidence[0] == pytest.approx(1.0)
    again = pool([pool([first, second]), first])
    assert np.abs(effects_posterior(again).mean[1, :, 0] - HUG).max() < 0.08


def test_pooled_shares_are_surer_than_one_months() -> None:
    rows = _logged(600, (0.4, 0.3, 0.3), 9)
    months = [release_moments(SPEC, rows, SIGMA) for _ in range(2)]
    pooled = _shares(pool(months))
    assert (pooled.sd < min(_shares(m).sd.min() for m in months)).all()
