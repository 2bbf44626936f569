"""Measure rounds on one population, which the policies of earlier rounds serve meanwhile: whether a better policy ever serves.

``python -m benchmarks.rounds --json``: lives in the three families of ``benchmarks/worlds``, at 1,000, 2,000 and 5,000 people,
epsilon 1 a month (delta 1e-5), by the product's engine functions: releases, training, both gates, and trials. Exploration falls
as the product lets it fall. ``share`` is the true gain of what serves, as a share of the best known policy's gain. People who
leave count 0 from then on in the true gain, whereas a trial sees those who stay.

A further part lives in worlds without a better policy. ``false_deploy`` is the share of those lives in which a policy serves that
is truly worse than the reference, with its exact upper bound.
"""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.lives import DELTA, EPSILON, Life, attainable_gain
from benchmarks.parallel import lower_bound, spread, upper_bound
from benchmarks.worlds.registry import FAMILIES, world_named
from privacy.engine.dp.accounting import epsilon_of_gdp, gaussian_mu

PEOPLE, MONTHS, NULL_MONTHS = (1_000, 2_000, 5_000), 4, 2
WITHOUT = ("null", "trap")
SERVED_BARS = {
    ("near_linear", 1_000): 0.85, ("sign_flips", 1_000): 0.85, ("hidden_states", 1_000): 0.6,
    ("near_linear", 2_000): 0.95, ("sign_flips", 2_000): 0.95, ("hidden_states", 2_000): 0.95,
}  # fmt: skip
LARGEST_FALL, FALSE_DEPLOY = 0.02, 0.02


def live(task: tuple[str, int, int, int]) -> list[dict[str, Any]]:
    """Live some months, with one result row a month."""
    name, people, seed, months = task
    life, best = Life(world_named(name), people, seed), attainable_gain(name)
    rows = [life.month() for _ in range(months)]
    for row in rows:
        row["share"] = row["gain"] / best if best else float("nan")
        row["candidate_share"] = row["candidate_gain"] / best if best else float("nan")
    rows[-1]["seconds"] = life.seconds
    return rows


def served_by(rows: list[dict[str, Any]], name: str, people: int, month: int) -> list[bool]:
    """Return for each life whether a truly better policy served by the end of a month."""
    mine = [r for r in rows if (r["world"], r["people"]) == (name, people)]
    seeds = sorted({r["seed"] for r in mine})
    return [any(r["gain"] > 0 for r in mine if r["seed"] == s and r["month"] <= month) for s in seeds]


def shares_by_month(rows: list[dict[str, Any]], name: str, people: int) -> list[float]:
    """Return the mean share by month."""
    mine = [r for r in rows if (r["world"], r["people"]) == (name, people)]
    months = sorted({r["month"] for r in mine})
    return [float(np.mean([r["share"] for r in mine if r["month"] == m])) for m in months]


def largest_fall(rows: list[dict[str, Any]]) -> float:
    """Return the largest fall of the mean share over lives from one month to the next, over all families and sizes."""
    kinds = dict.fromkeys((r["world"], r["people"]) for r in rows if r["world"] in FAMILIES)
    shares = [shares_by_month(rows, name, people) for name, people in kinds]
    return max((before - after for s in shares for before, after in pairwise(s)), default=0.0)


def falling_lives(rows: list[dict[str, Any]]) -> tuple[int, int, float]:
    """Return in how many lives the share falls by more than the bar in some month, of how many, and the largest such fall."""
    lives: dict[tuple[str, int, int], list[float]] = {}
    for r in sorted((r for r in rows if r["world"] in FAMILIES), key=lambda r: int(r["month"])):
        lives.setdefault((r["world"], r["people"], r["seed"]), [0.0]).append(r["share"])
    falls = [max(before - after for before, after in pairwise(s)) for s in lives.values()]
    return sum(f > LARGEST_FALL for f in falls), len(falls), max(falls, default=0.0)


def false_deploys(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """Return how many lives without a better policy had a worse one at some month's end, and how many lives there are."""
    lives = {(r["world"], r["people"], r["seed"]) for r in rows if r["world"] in WITHOUT}
    bad = {(r["world"], r["people"], r["seed"]) for r in rows if r["world"] in WITHOUT and r["serves"]}
    return len(bad), len(lives)


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks over all rows."""
    out = []
    for (name, people), bar in SERVED_BARS.items():
        served = served_by(rows, name, people, 2)
        if served:
            out.append(Check(f"served_by_month_2_{name}_{people}", float(np.mean(served)), bar))
    for name in FAMILIES:
        shares = shares_by_month(rows, name, 5_000)
        if shares:
            out.append(Check(f"later_months_improve_{name}_5000", max(shares[1:]) - shares[0], 0.0))
    out.append(Check("largest_fall", largest_fall(rows), LARGEST_FALL, at_most=True))
    bad, lives = false_deploys(rows)
    if lives:
        out.append(Check("false_deploy_upper_bound", upper_bound(bad, lives), FALSE_DEPLOY, at_most=True))
    return out


def print_table(rows: list[dict[str, Any]], months: int) -> None:
    """Print by family and people who was served by month 2, and the shares by month."""
    mu = gaussian_mu(EPSILON, DELTA) * np.sqrt(months)
    print(f"{months} months at epsilon {EPSILON:g} compose to epsilon {epsilon_of_gdp(mu, DELTA):.2f} (Gaussian DP)")
    print(f"{'family':<14} {'people':>6} {'lives':>5} {'served by month 2':>18} {'at least':>8}  share by month")
    for name, people in dict.fromkeys((r["world"], r["people"]) for r in rows if r["world"] in FAMILIES):
        served = served_by(rows, name, people, 2)
        shares = " ".join(f"{s:5.2f}" for s in shares_by_month(rows, name, people))
        bound = lower_bound(sum(served), len(served))
        print(f"{name:<14} {people:>6} {len(served):>5} {np.mean(served):>18.2f} {bound:>8.2f}  {shares}")
    fell, of, worst = falling_lives(rows)
    print(f"over {LARGEST_FALL:g} lost from one month to the next in {fell} of {of} lives, at most {worst:.2f}")
    bad, lives = false_deploys(rows)
    if lives:
        print(f"without a better policy: {bad} of {lives} lives deploy one, at most {upper_bound(bad, lives):.4f}")


def main(options: Namespace) -> None:
    """Run the lives, print their results and checks, and store them."""
    lives, people = (2, (1_000,)) if options.quick else (options.seeds, tuple(options.people))
    months, without = (2, 2) if options.quick else (options.months, options.without)
    tasks = [(name, n, seed, months) for name in options.families for n in people for seed in range(lives)]
    tasks += [(name, PEOPLE[0], seed, NULL_MONTHS) for name in WITHOUT for seed in range(without)]
    rows = [row for some in spread(live, tasks, options.processes) for row in some]
    print_table(rows, months)
    finish("rounds", options, rows, checks(rows))


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=20)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--people", nargs="+", type=int, default=list(PEOPLE))
    parser.add_argument("--months", type=int, default=MONTHS)
    parser.add_argument("--without", type=int, default=150, help="lives in each world without a better policy")
    parser.add_argument("--processes", type=int, default=2, help="(default: 2)")
    main(parser.parse_args())
