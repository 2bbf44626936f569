"""Compare one release for four heads with a release of the same rows for policy alone, in the companion simulator.

``python -m benchmarks.joint_heads --json``: 5,000 simulated people over 30 days, epsilon 1 (delta 1e-5), before any gate.
``joint_share`` and ``single_share`` are the policy's shares of the attainable gain. ``subheads_gain`` is what the others add.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.cohorts import builtin_spec
from benchmarks.common import Check, arguments, finish
from benchmarks.lives import DAYS, DELTA, EPSILON, Learner
from benchmarks.living import Population
from benchmarks.privacy_utility import TRUTH_SEED, Truth, truth_of
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import gaussian_mu
from simulator import make_people, true_value


def joint(spec: LoopSpec, truth: Truth, people: int, seed: int) -> dict[str, Any]:
    """Release the same rows for four heads and for policy alone, and train on both."""
    rng = np.random.default_rng([seed, people, 3])
    rows = Population(spec, make_people(people, rng), rng).live(DAYS, {}, 1.0).training(spec, 0, people)
    sigma = 1 / gaussian_mu(EPSILON, DELTA)
    four, single = (Learner(spec, sigma, subs).learn(rows, 1.0, None, seed) for subs in (None, ()))
    candidates = {h: s.policy for h, s in four.subs.items()}
    alone = value_of(spec, four.policy, {})
    return {
        "people": people, "seed": seed, "joint_share": truth.share(alone),
        "single_share": truth.share(value_of(spec, single.policy, {})),
        "subheads_gain": value_of(spec, four.policy, candidates) - alone,
        "heads": {
            h: {"z": s.z, "passed": s.passed, "gain": value_of(spec, four.policy, {h: s.policy}) - alone}
            for h, s in four.subs.items()
        },
    }  # fmt: skip


def value_of(spec: LoopSpec, policy: LinearPolicy, subs: Mapping[str, LinearPolicy]) -> float:
    """Return the true value of a policy. Sub-heads without a policy take their reference actions."""
    return true_value(spec, policy, seed=TRUTH_SEED, sub_policies=dict(subs)).value


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks over all rows."""
    worst = min((h["gain"] for r in rows for h in r["heads"].values() if h["passed"]), default=0.0)
    ratio = float(np.mean([r["joint_share"] for r in rows]) / np.mean([r["single_share"] for r in rows]))
    return [
        Check("joint_policy_share", ratio, 0.9),
        Check("subheads_gain", float(np.mean([r["subheads_gain"] for r in rows])), 0.0),
        Check("worst_passed_head_gain", worst, 0.0),
    ]


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    spec = builtin_spec()
    truth = truth_of(spec, "companion")
    rows = [joint(spec, truth, 5_000, s) for s in range(1 if options.quick else options.seeds)]
    for r in rows:
        print(
            f"joint {r['joint_share']:.3f}, single {r['single_share']:.3f}, sub-heads {r['subheads_gain']:+.4f} {r['heads']}"
        )
    finish("joint_heads", options, rows, checks(rows))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=5).parse_args())
