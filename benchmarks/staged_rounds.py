"""Compare rounds whose policies are rolled out in stages, tried in the private trial, or go to everybody or nobody.

``python -m benchmarks.staged_rounds --json``: the same people, seeds and budgets as ``benchmarks/rounds.py``, in each style
(``benchmarks/staged_lives.py``). ``lived`` is the mean reward of all decisions of a month, in scales: what people got while it
was decided. Lives are compared in pairs.

A further part lives in worlds in which no policy should serve, with rollouts in stages alone. A life is false if a policy serves
at its end that is truly worse than the reference. Of the null world, where no policy changes anything, the table tells how many
serve.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.lives import Life, attainable_gain, gain_of
from benchmarks.parallel import spread, upper_bound
from benchmarks.staged_lives import GatedLife, StagedLife
from benchmarks.worlds.registry import FAMILIES, PLANTED, world_named

PEOPLE, MONTHS, PLANTED_MONTHS = (1_000, 5_000), 6, 4
STYLES: dict[str, type[Life]] = {"stages": StagedLife, "trial": Life, "gates": GatedLife}
WORSE = -0.005  # reward scales a decision below the reference, from which a policy that serves is a false one
FALSE_BAR = 0.01
_LIVED_SD = 2.0  # standard errors by which more must be lived


def live(task: tuple[str, str, int, int, int]) -> list[dict[str, Any]]:
    """Live some months. The task: how policies are rolled out, world, people, seed and months. Returns a row a month."""
    style, name, people, seed, months = task
    family = name in FAMILIES
    life = STYLES[style](world_named(name), people, seed, knows_truth=family)
    rows = [life.month() | {"rollouts": style} for _ in range(months)]
    if family:
        for row in rows:
            row["share"] = row.get("gain", 0.0) / attainable_gain(name)
    elif life.serving is not None:
        rows[-1]["gain"] = gain_of(life.world, life.serving)
    return rows


Table = dict[tuple[str, str, int], np.ndarray]  # (style, world, people) -> (lives, months)


def table_of(rows: list[dict[str, Any]], column: str) -> Table:
    """Return a column of the families' rows by style, family and people, with one row a life in the order of seeds."""
    found: dict[tuple[str, str, int], dict[int, list[float]]] = {}
    for row in sorted((r for r in rows if r["world"] in FAMILIES), key=lambda r: (r["seed"], r["month"])):
        lives = found.setdefault((row["rollouts"], row["world"], row["people"]), {})
        lives.setdefault(row["seed"], []).append(float(row[column]))
    return {key: np.array(list(lives.values())) for key, lives in found.items()}


def lived_difference(lived: Table, name: str, people: int, style: str) -> tuple[float, float]:
    """Return by how much more is lived a month than with gates alone: mean over paired lives, and standard error, in scales."""
    apart = (lived[style, name, people] - lived["gates", name, people])[:, 1:].mean(axis=1)
    return float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else float("nan")


def false_lives(rows: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Return how many planted lives end with a worse policy, with one that is not worse, and how many there are."""
    last = [r for r in rows if r["world"] in PLANTED and r["month"] == PLANTED_MONTHS]
    served = [r["gain"] for r in last if r["serves"]]
    return sum(g < WORSE for g in served), sum(g >= WORSE for g in served), len(last)


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks over all rows."""
    shares, lived, out = table_of(rows, "share"), table_of(rows, "lived"), list[Check]()
    for style, name, people in shares:
        if style == "gates":
            continue
        ours, without = (float((shares[s, name, people][:, :2] > 0).any(axis=1).mean()) for s in (style, "gates"))
        months = shares[style, name, people].mean(axis=0)
        mean, error = lived_difference(lived, name, people, style)
        kind = f"{style}_{name}_{people}"
        out += [
            Check(f"served_by_month_2_beside_gates_{kind}", ours - without, 0.0),
            Check(f"month_{len(months)}_beside_month_2_{kind}", float(months[-1] - months[1]), 0.0),
            Check(f"lived_beside_gates_{kind}", mean - _LIVED_SD * error, 0.0),
        ]
    false, _, lives = false_lives(rows)
    if lives:
        out.append(Check("false_upper_bound", upper_bound(false, lives), FALSE_BAR, at_most=True))
    return out


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print shares by month of both styles, and what was lived."""
    shares, lived = table_of(rows, "share"), table_of(rows, "lived")
    for (style, name, people), table in shares.items():
        served = float((table[:, :2] > 0).any(axis=1).mean())
        by_month = " ".join(f"{share:5.2f}" for share in table.mean(axis=0))
        print(
            f"{name:<14} {people:>6} {style:<7} {len(table):>3} lives, served by month 2: {served:.2f}, shares {by_month}"
        )
    for style, name, people in (key for key in shares if key[0] != "gates"):
        mean, error = lived_difference(lived, name, people, style)
        print(f"{name:<14} {people:>6} {style:<7} lived a month beside gates: {mean:+.4f} scales ({error:.4f})")
    for name in dict.fromkeys(r["world"] for r in rows if r["world"] in PLANTED):
        false, other, lives = false_lives([r for r in rows if r["world"] == name])
        print(f"{name:<24} {lives:>4} lives: {false} end with a worse policy, {other} with one that is not")


def main(options: Namespace) -> None:
    """Run the lives, print their results and checks, and store them."""
    lives, people, months = (2, (1_000,), 2) if options.quick else (options.seeds, options.people, options.months)
    tasks = [
        (style, name, n, seed, months)
        for name in options.families
        for n in people
        for seed in range(lives)
        for style in STYLES
    ]
    tasks += [
        ("stages", name, 1_000, seed, PLANTED_MONTHS) for name in options.worlds for seed in range(options.planted)
    ]
    rows = [row for some in spread(live, tasks, options.processes) for row in some]
    print_table(rows)
    finish("staged_rounds", options, rows, checks(rows))


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=20)
    parser.add_argument("--families", nargs="*", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--people", nargs="+", type=int, default=list(PEOPLE))
    parser.add_argument("--months", type=int, default=MONTHS)
    parser.add_argument("--worlds", nargs="*", choices=list(PLANTED), default=list(PLANTED))
    parser.add_argument("--planted", type=int, default=20, help="lives in each world where no policy should serve")
    parser.add_argument("--processes", type=int, default=2, help="(default: 2)")
    main(parser.parse_args())
