"""Measure the gain of denoising: the same noised release, estimated in several ways. Estimation costs no privacy.

``python -m benchmarks.denoising --json``: 1,000 and 5,000 simulated people, 30 days of full logging, epsilon 1 (delta 1e-5).
The measure is the share of the attainable gain of the policy that training proposes, before any gate, when the release is
estimated with

* ``plain``: the Gram matrix as released, one prior width per group of columns (benchmarks/plain_posterior.py)
* ``gram``: the Gram matrix with its public structure restored (privacy/engine/moments/gram_matrix.py), one width per group
* ``both``: also one prior width per column (privacy/engine/moments/effect_posterior.py), as on the platform

Three more estimates follow the platform, but use a Gram matrix without noise (``clean gram``), effects without noise
(``clean effects``), or both.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.cohorts import builtin_spec
from benchmarks.common import Check, arguments, finish
from benchmarks.living import Population
from benchmarks.plain_posterior import group_posterior, with_released_grams
from benchmarks.privacy_utility import TRUTH_SEED, Truth, truth_of
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.moments.baseline import baseline_posterior
from privacy.engine.moments.effects import Effects, effects_posterior
from privacy.engine.moments.pooled import Moments
from r3al_project.turns.limits import UNREQUESTED_STATES
from simulator import make_people, true_value
from tests.factories.in_memory_release import release_moments
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.trainers.fitted_q import best_candidate, train_candidates

DELTA, DAYS = 1e-5, 30
PEOPLE = (1_000, 5_000)


def readings(spec: LoopSpec, truth: Truth, people: int, seed: int) -> dict[str, Any]:
    """Estimate one cohort's release in each way, and return the shares of the attainable gain."""
    rng = np.random.default_rng([seed, people, 13])
    population = Population(spec, make_people(people, rng), rng)
    rows = population.live(DAYS, {}, 1.0).training(spec, round(people * spec.evaluation_share), people)
    noisy, clean = (release_moments(spec, rows, sigma) for sigma in (2**0.5 / gaussian_mu(1.0, DELTA), None))
    if clean.layout.phi.width != noisy.layout.phi.width:
        noisy, clean = noisy.linear(), clean.linear()
    plain = with_released_grams(noisy)

    def share(moments: Moments, effects: Effects) -> float:
        world = mean_world(moments, baseline_posterior(moments), effects)
        pool = synthesize(world, np.random.default_rng(seed), states=UNREQUESTED_STATES)
        policy = best_candidate(list(train_candidates(spec, world, pool, seed))).policy
        return truth.share(true_value(spec, policy, seed=TRUTH_SEED).value)

    read = {
        "plain": share(plain, effects_posterior(plain, group_posterior)),
        "gram": share(noisy, effects_posterior(noisy, group_posterior)),
    }
    for name, blocks in {
        "both": (), "clean gram": ("gram",), "clean effects": ("effects",), "clean gram and effects": ("gram", "effects"),
    }.items():  # fmt: skip
        moments = _cleaned(noisy, clean, blocks)
        read[name] = share(moments, effects_posterior(moments))
    return {"people": people, "seed": seed, "hinges": noisy.layout.phi.hinges, **read}


def _cleaned(noisy: Moments, clean: Moments, blocks: tuple[str, ...]) -> Moments:
    """Replace some blocks of the noised moments by those of the release without noise."""
    replaced: dict[str, Any] = {"sd": noisy.sd | dict.fromkeys(blocks, 0.0)}
    if "gram" in blocks:
        replaced |= {"gram": clean.gram, "gram_next": clean.gram_next}
    if "effects" in blocks:
        replaced |= {"effects": clean.effects}
    return replace(noisy, **replaced)


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks. Estimation costs no privacy, so it may lose nothing at any size, and it must gain at 1,000 people."""
    gain = {n: np.mean([r["both"] - r["plain"] for r in rows if r["people"] == n]) for n in {r["people"] for r in rows}}
    share = np.mean([r["both"] for r in rows if r["people"] == 1_000])
    out = [Check("share_1000", float(share), 0.80), Check("gain_1000", float(gain[1_000]), 0.05)]
    return [*out, Check("gain_5000", float(gain[5_000]), -0.01)] if 5_000 in gain else out


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the mean shares per size, with twice their standard errors."""
    names = [n for n in rows[0] if n not in ("people", "seed", "hinges")]
    for people in sorted({r["people"] for r in rows}):
        mine = [r for r in rows if r["people"] == people]
        print(f"{people} people, {len(mine)} releases, {sum(r['hinges'] for r in mine)} with hinges")
        for name in names:
            values = np.array([r[name] for r in mine])
            print(f"  {name:<24} {values.mean():.3f} +- {2 * values.std(ddof=1) / np.sqrt(len(values)):.3f}")


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    spec = builtin_spec()
    truth = truth_of(spec, "companion")
    seeds = range(4 if options.quick else options.seeds)
    sizes = (1_000,) if options.quick else PEOPLE
    rows = [readings(spec, truth, n, s) for n in sizes for s in seeds]
    print_table(rows)
    finish("denoising", options, rows, checks(rows))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=16).parse_args())
