"""Show that the evidence cannot be fooled: planted worlds, intervals that hold what they say, and attempts that share one level.

``python -m benchmarks.evidence --json``: three parts, of which ``--parts`` selects.

* ``planted``: lives of two months in worlds where the reference is the right answer (``benchmarks/worlds``), 1,000 people, by the
  product's engine functions. A life fails if a learned policy serves at its end. Two naive rules judge the same candidates by the
  same outcomes, without noise: the estimate is above 0, and a 95% lower bound that takes the model as certain is above 0.
  ``--worlds`` also takes those in which a part of life is hurt and everybody ends better. Deploying is right there.
* ``coverage``: the gate's 95% intervals at 400 people, with fixed candidates, by propensity and tail, and a trial's first.
* ``attempts``: twelve candidates without an effect on the same people; any pass counts.

Bounds in the rows are exact one-sided 95% bounds (Clopper and Pearson). The whole path from a file to a deployment is
``benchmarks/whole_path.py``.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.coverage import PROPENSITIES, TAILS, Cell, attempts, coverage, trial_coverage
from benchmarks.lives import Life, Outcome, gain_of
from benchmarks.parallel import spread, upper_bound
from benchmarks.worlds.month import Month
from benchmarks.worlds.registry import OUTWEIGHED, PLANTED, world_named
from privacy.engine.evaluation.statistics import person_values
from training.engine.pipeline import LearnedPolicy

PARTS = ("planted", "coverage", "attempts")
PEOPLE, MONTHS = 1_000, 2
_Z95 = 1.645


class ObservedLife(Life):
    """Live as the product does, and note what naive rules would have done with the first month's candidate."""

    naive: dict[str, bool]

    def _judge(self, learned: LearnedPolicy, log: Month, exploration: float) -> Outcome:
        if not hasattr(self, "naive"):
            self.naive = naive_rules(self, learned, log)
        return super()._judge(learned, log, exploration)


def naive_rules(life: Life, learned: LearnedPolicy, log: Month) -> dict[str, bool]:
    """Return which naive rules would deploy a candidate: its estimate, or its lower bound with a certain model, is above 0."""
    gains = person_values(life.world.spec, log.evaluation(), learned.candidate())["improvement"].value
    mean, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return {"estimate": mean > 0, "interval": mean - _Z95 * error > 0}


def planted_life(task: tuple[str, int, int, int]) -> dict[str, Any]:
    """Live some months in a planted world, and tell what serves at the end."""
    name, people, seed, months = task
    life = ObservedLife(world_named(name), people, seed, knows_truth=False)
    rows = [life.month() for _ in range(months)]
    return {
        "part": "planted", "world": name, "people": people, "seed": seed, "deployed": life.serving is not None,
        "naive_estimate": life.naive["estimate"], "naive_interval": life.naive["interval"],
        "gain": gain_of(life.world, life.serving), "steps": [r["step"] for r in rows], "z": [r["z"] for r in rows],
        "open": [r["open"] for r in rows],
    }  # fmt: skip


def print_planted(rows: list[dict[str, Any]]) -> None:
    """Print, by world, how many lives ended with a learned policy, with the bound, beside the naive rules."""
    print(
        f"{'planted world':<24} {'lives':>5} {'deployed':>8} {'at most':>8} {'estimate > 0':>13} {'interval > 0':>13}"
    )
    for name in dict.fromkeys(r["world"] for r in rows):
        mine = [r for r in rows if r["world"] == name]
        found = sum(r["deployed"] for r in mine)
        naive = [np.mean([r[f"naive_{rule}"] for r in mine]) for rule in ("estimate", "interval")]
        bound = upper_bound(found, len(mine))
        print(f"{name:<24} {len(mine):>5} {found:>8} {bound:>8.3f} {naive[0]:>13.2f} {naive[1]:>13.2f}")


def print_intervals(rows: list[dict[str, Any]]) -> None:
    """Print coverage by cell and metric, and passes among twelve attempts."""
    for r in (r for r in rows if r["part"] == "coverage"):
        cell = f"p {r['propensity']:<4} {r['tail']:<7} {r['metric']:<19}"
        print(f"{cell} coverage {r['coverage']:.3f} (truth below {r['above']:.3f}, above {r['below']:.3f})")
    for r in (r for r in rows if r["part"] == "attempts"):
        share = r["any_passed"] / r["replications"]
        print(f"p {r['propensity']:<4} {r['tail']:<7} any of twelve attempts passed: {share:.4f}")


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks of the parts that ran."""
    out = []
    planted = [r for r in rows if r["part"] == "planted" and r["world"] in PLANTED]
    for name in dict.fromkeys(r["world"] for r in planted):
        mine = [r["deployed"] for r in planted if r["world"] == name]
        out.append(Check(f"deployed_{name}", float(np.mean(mine)), 0.01, at_most=True))
    covered = [r["coverage"] for r in rows if r["part"] == "coverage"]
    if covered:
        out.append(Check("least_coverage", min(covered), 0.93))
    tried = [r for r in rows if r["part"] == "attempts"]
    if tried:
        worst = max(r["any_passed"] / r["replications"] for r in tried)
        out.append(Check("any_of_twelve_attempts", worst, 0.05, at_most=True))
    return out


def main(options: Namespace) -> None:
    """Run the parts, print them with their checks, and store them."""
    lives = 3 if options.quick else options.seeds
    replications = 150 if options.quick else options.replications
    cells = [Cell(p, tail) for p in PROPENSITIES for tail in TAILS]
    rows: list[dict[str, Any]] = []
    if "coverage" in options.parts:
        for some in spread(coverage, [(c, replications) for c in cells], options.processes):
            rows += some
        rows += spread(trial_coverage, [(tail, replications) for tail in TAILS], options.processes)
    if "attempts" in options.parts:
        rows += spread(attempts, [(c, replications) for c in cells], options.processes)
    print_intervals(rows)
    if "planted" in options.parts:
        tasks = [(name, PEOPLE, seed, MONTHS) for name in options.worlds for seed in range(lives)]
        planted = list(spread(planted_life, tasks, options.processes))
        print_planted(planted)
        rows += planted
    finish("evidence", options, rows, checks(rows))


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=100)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run (default: all)")
    worlds = [*PLANTED, *OUTWEIGHED]
    parser.add_argument("--worlds", nargs="+", choices=worlds, default=list(PLANTED), help="(default: all of PLANTED)")
    parser.add_argument("--replications", type=int, default=1_000, help="of each cell (default: 1000)")
    parser.add_argument("--processes", type=int, default=2, help="(default: 2)")
    main(parser.parse_args())
