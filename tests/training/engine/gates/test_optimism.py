"""The allowance for optimism: it is what null people's own releases show, and the same for everybody who has the loop file."""

from __future__ import annotations

import numpy as np
import pytest

from core.arrays import Floats
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.moments.effects import effects_posterior
from privacy.engine.moments.rows import ReleaseRows
from tests.factories.in_memory_release import release_moments
from tests.factories.planted import planted_spec
from training.engine.gates import optimism
from training.engine.gates.optimism import optimism_allowance
from training.engine.trainers.fitted_q import capped_policy

SPEC = planted_spec()
SIGMA = np.sqrt(2.0) / gaussian_mu(1.0, 1e-5)
PEOPLE, POINTS = 256, 32


def _null_people(rng: np.random.Generator) -> ReleaseRows:
    """People whose rewards are noise of the declared scale, whatever was done."""
    n, p = PEOPLE * POINTS, np.array(SPEC.main_head.logging)
    action = rng.choice(len(p), size=n, p=p)
    state = np.column_stack(
        [rng.integers(len(f.categories), size=n) if f.is_category else rng.uniform(*f.range, n) for f in SPEC.features]
    ).astype(np.float64)
    return ReleaseRows(
        person=np.repeat(np.arange(PEOPLE), POINTS), state=state, next_state=state, has_next=np.ones(n, bool),
        dropped_out=np.zeros(n, bool), action=action, propensity=p[action], explored=np.ones(n, bool),
        reward=rng.normal(size=n) * SPEC.reward.scale,
    )  # fmt: skip


def _improvement(seed: int) -> float:
    """Return the improvement of a policy on the people of its own release, each row weighted by its propensity."""
    rows = _null_people(np.random.default_rng(seed))
    moments = release_moments(SPEC, rows, SIGMA, subs=())
    phi, effects = moments.layout.phi, effects_posterior(moments).mean[:, :, 0]
    weights: Floats = np.vstack([np.zeros((1, phi.width)), effects])
    chosen = capped_policy(SPEC, "policy", phi, weights, rows.state).actions(rows.state)
    paired = ((chosen == rows.action).astype(float) - (rows.action == 0)) / rows.propensity
    return float((paired * rows.reward / SPEC.reward.scale).mean())


def test_it_is_what_null_people_show() -> None:
    """40 populations of 256 people: their own policies overstate themselves by no more than the allowance, which is no multiple.

    Their spread is wider than the allowance's, because it holds the sampling error that the interval states anyway.
    """
    found = np.array([_improvement(seed) for seed in range(40)])
    mean, sd = optimism_allowance(SPEC, people=PEOPLE, decisions=POINTS, sigma=SIGMA)
    error = 3.0 * float(found.std(ddof=1)) / np.sqrt(len(found))
    assert found.mean() - error < mean < 3.0 * (abs(found.mean()) + error), (found.mean(), mean, error)
    assert 0.0 < sd < 1.5 * found.std(ddof=1)


def test_many_people_overstate_less_and_noise_hides_whom_to_please() -> None:
    few, many = (optimism_allowance(SPEC, people=n, decisions=POINTS, sigma=None)[0] for n in (256, 16_384))
    assert 0.0 < many < few / 4.0
    assert optimism_allowance(SPEC, people=256, decisions=POINTS, sigma=10 * SIGMA)[0] < few


def test_it_follows_from_the_loop_file_and_from_coarse_numbers_alone() -> None:
    first = optimism_allowance(SPEC, people=1_000, decisions=POINTS, sigma=SIGMA)
    optimism._allowance.cache_clear()
    assert optimism_allowance(SPEC, people=1_011, decisions=POINTS, sigma=SIGMA) == first


@pytest.mark.parametrize("people", [0.0, 1.0, 3.7])
def test_hardly_anybody_gives_a_finite_allowance(people: float) -> None:
    assert np.isfinite(optimism_allowance(SPEC, people=people, decisions=POINTS, sigma=SIGMA)).all()
