"""Simulate how much a policy overstates itself on the people who trained it, in a loop whose actions have no effect.

A doubly robust improvement on the training people holds their sampling error, and the policy was chosen by that same error. In a
null population the overstatement is mean_s phi(s) . eps[pi(s)], with eps the sampling error of the reward's effects. Both the
error and the release's noise are drawn in moment space from the loop file alone, so the allowance is public and costs no privacy.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from privacy.engine.moments.clipping import PublicFacts, nominal_decisions, pick_hinges, public_facts
from privacy.engine.moments.effect_posterior import GibbsSchedule, NoisyMoments, released_posterior
from privacy.engine.moments.gram_matrix import estimate_gram
from privacy.engine.moments.null_population import null_rows
from privacy.engine.moments.release_layout import ReleaseLayout

_POPULATIONS = 60
_SCHEDULE = GibbsSchedule(burn_in=30, draws=15, thin=2)  # the greedy policy needs the mean alone; 60 sweeps give it
_STATES = 4_000
_SEED = 20_250_102  # public: the same loop file gives the same allowance everywhere
_PEOPLE_STEPS = 2.0  # sizes are rounded to this many steps an octave, which the allowance hardly notices


def optimism_allowance(
    spec: LoopSpec, *, people: float, decisions: float, sigma: float | None, explored_share: float = 1.0
) -> tuple[float, float]:
    """Return mean and standard deviation over null populations of a trained policy's overstated improvement, in reward scales.

    Args:
        people: noised number of people who trained; it is rounded to a coarse grid.
        decisions: released decision points a person. sigma: noise multiplier of the training release, None for no noise.
        explored_share: public share of decisions that were drawn from the logging distribution.
    """
    size = 2.0 ** (round(np.log2(max(people, 2.0)) * _PEOPLE_STEPS) / _PEOPLE_STEPS)
    return _allowance(_LoopKey(spec), size, nominal_decisions(spec, decisions), sigma, explored_share)


class _LoopKey:
    """Cache key of a loop: its content."""

    def __init__(self, spec: LoopSpec) -> None:
        self.spec, self.identity = spec, repr(spec)

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _LoopKey) and self.identity == other.identity


@lru_cache(maxsize=64)
def _allowance(
    key: _LoopKey, people: float, decisions: int, sigma: float | None, explored_share: float
) -> tuple[float, float]:
    hinges = pick_hinges(key.spec, users=people, decisions=decisions, sigma=sigma, explored_share=explored_share)
    layout = ReleaseLayout.of(key.spec, hinges=hinges)
    facts = public_facts(layout, decisions, explored_share)
    states = null_rows(key.spec, decisions=decisions).state
    phi = layout.phi.phi(states[:: max(1, len(states) // _STATES)])
    rng = np.random.default_rng(_SEED)
    values = [_overstated(layout, facts, phi, people, sigma, rng) for _ in range(_POPULATIONS)]
    return float(np.mean(values)), float(np.std(values, ddof=1))


def _overstated(
    layout: ReleaseLayout, facts: PublicFacts, phi: Floats, people: float, sigma: float | None, rng: np.random.Generator
) -> float:
    """Draw one null population and its release, train on it, and return what its own sampling error adds to the policy."""
    rows, weight = people * facts.rows["effects"], people * facts.weights["effects"]
    sds = {name: _noise_sd(layout, facts, name, sigma) for name in ("gram", "effects")}
    gram_sd, effects_sd = sds["gram"] / people, sds["effects"] / weight
    # B = V G eps has covariance V (x) G s^2 / rows, and whitened null rewards have s = 1.
    shape = (len(layout.alternatives), layout.phi.width)
    sampled = _root(layout.covariance) @ rng.normal(size=shape) @ _root(facts.gram).T / np.sqrt(rows)
    noisy = _symmetric_noise(layout.phi.width, gram_sd, rng)
    released = NoisyMoments(
        gram=estimate_gram(layout, facts.gram + noisy, gram_sd**2, facts.gram),
        covariance=layout.covariance,
        moment=sampled + effects_sd * rng.normal(size=shape),
        variance=1.0,
        rows=rows,
        noise=effects_sd,
    )
    believed = released_posterior(layout.phi, released, schedule=_SCHEDULE).mean
    error = np.linalg.solve(layout.covariance, sampled) @ np.linalg.inv(facts.gram)
    scores, actual = phi @ believed.T, phi @ error.T
    best, at = scores.argmax(axis=1), np.arange(len(phi))
    # The support cap: trained policies intervene no more often than the logging distribution.
    margin = max(0.0, float(np.quantile(scores[at, best], layout.main.logging[layout.main.reference_index])))
    return float(np.where(scores[at, best] > margin, actual[at, best], 0.0).mean())


def _noise_sd(layout: ReleaseLayout, facts: PublicFacts, block: str, sigma: float | None) -> float:
    """Return the noise on an entry of a block's sum."""
    return 0.0 if sigma is None else float(facts.clips[block] * sigma / np.sqrt(layout.shares[block]))


def _symmetric_noise(width: int, sd: float, rng: np.random.Generator) -> Floats:
    """Draw the noise of a released gram (d, d): off-diagonals were released times sqrt 2, so theirs is smaller."""
    upper = np.triu(rng.normal(size=(width, width)), 1) * sd / np.sqrt(2.0)
    return np.asarray(upper + upper.T + np.diag(rng.normal(size=width) * sd))


def _root(matrix: Floats) -> Floats:
    """Return R with R R' equal to a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
