"""Measure the generators of synthetic rows: can trees tell their rows from real ones, are they useful, do they give people away.

Parts:

- ``transitions``: 10,000 transitions of simulated people. Detection is against fresh ones.
- ``adult``: the census table on which papers compare. Detection is against the test split; the trees that learn the outcome from
  synthetic rows are tested there too. It is read from ``--data`` and is not part of the project.
- ``second``: a table on which nothing was tuned (scikit-learn's breast cancer measurements, and HeartSteps in ``--data``).
- ``sizes``: seconds and memory at 1,000, 10,000 and 100,000 rows.
- ``--peers``: SDV's TVAE and CTGAN on the same tables, in an environment of their own. SDV is not a dependency: its licence
  allows comparison, but not to ship it.
"""

from __future__ import annotations

import csv
import resource
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.generator_measures import detection, downstream, members_found, timed
from benchmarks.peers_sdv import peer_rows
from benchmarks.worlds.population import Population
from benchmarks.worlds.registry import world_named
from loops.engine.spec import KNOWN_DYNAMICS
from training.engine.generators.registry import TABLE_GENERATORS
from training.engine.tables.infer import table_of_rows, values_of
from training.engine.tables.table import Table

DATA = Path(__file__).parents[2] / "shared" / "data"
PARTS = ("transitions", "adult", "second", "sizes")
C2ST = {"vae": 0.55, "diffusion": 0.55, "gan": 0.62}
ADULT = {"mixture": 0.60, "vae": 0.62, "diffusion": 0.58, "autoregressive": 0.58}
ADULT_TPR = {"mixture": 0.03, "vae": 0.02, "diffusion": 0.02, "autoregressive": 0.02}
ADULT_MLE, ADULT_MINUTES = 0.905, 3.0
TVAE_RATIO, CTGAN_RATIO = 4.0, 15.0  # of processor time, on the transitions
_DAYS = 3
Row = dict[str, Any]


def transitions_tables(rows: int, seed: int) -> tuple[Table, Table]:
    """Return transitions of simulated people to learn from, and as many of other people.

    The columns are those that generators learn from in the product: state, action, reward, and the change of each feature
    that is not computed by known dynamics.
    """
    world = world_named("near_linear")
    spec = world.spec
    # Two rows a person, so that trees cannot tell the parts apart by whose rows they are.
    log = Population(world, rows, np.random.default_rng([seed, 5])).live(_DAYS).training()
    kept = np.flatnonzero(log.has_next)
    columns = dict[str, np.ndarray]()
    for i, feature in enumerate(spec.features):
        state, following = log.state[kept, i], log.next_state[kept, i]
        if feature.is_category:
            names = np.array(feature.categories)
            columns[f"state {feature.name}"] = names[state.astype(int)]
        else:
            columns[f"state {feature.name}"] = state
        if feature.dynamics not in KNOWN_DYNAMICS:
            change = names[following.astype(int)] if feature.is_category else following - state
            columns[f"next {feature.name}"] = change
    columns["action"] = np.array(spec.main_head.actions)[log.action[kept]]
    columns["reward"] = log.reward[kept]
    parts = table_of_rows(columns, log.person[kept]).split(0.5, seed)
    rng = np.random.default_rng(seed)
    train, held = (part.take(rng.permutation(part.rows)[:rows]) for part in parts)
    return train, held


def adult_tables(data: Path) -> tuple[Table, Table]:
    """Return the train and the test split of Adult."""
    splits = [_read(data / f"adult_{split}.csv", missing="?") for split in ("train", "test")]
    train = table_of_rows(splits[0])
    test = {c.name: values_of(c, splits[1][c.name]) for c in train.schema.columns}
    return train, Table(train.schema, test)


def _read(path: Path, missing: str) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    out = dict[str, np.ndarray]()
    for i, name in enumerate(names):
        cells = [row[i].strip() for row in rows]
        out[name] = _column(cells, missing)
    return out


def _column(cells: list[str], missing: str) -> np.ndarray:
    try:
        return np.array([np.nan if cell in (missing, "") else float(cell) for cell in cells])
    except ValueError:
        return np.array([None if cell in (missing, "") else cell for cell in cells], dtype=object)


def second_tables(data: Path) -> Iterator[tuple[str, Table, Table]]:
    """Yield tables on which nothing was tuned: their name, a part to learn from, and a part held out."""
    from sklearn.datasets import load_breast_cancer

    sample = load_breast_cancer()
    columns = {str(name): sample.data[:, i] for i, name in enumerate(sample.feature_names)}
    whole = table_of_rows(columns | {"benign": sample.target})
    yield ("breast_cancer", *whole.split(0.5, seed=1))
    path = data / "heartsteps_v1_suggestions.csv"
    if path.exists():
        raw = _read(path, missing="NA")
        columns = {n: v for n, v in raw.items() if n not in ("user.index", "decision.index", "sugg.select.utime")}
        yield ("heartsteps", *table_of_rows(columns, raw["user.index"].astype(np.int64)).split(0.5, seed=1))


def measured(name: str, part: str, train: Table, held: Table, seed: int, target: str | None) -> Row:
    """Fit one generator, draw as many rows, and measure them."""
    fitted, fit = timed(lambda: TABLE_GENERATORS[name].fit(train, seed=seed))
    drawn, sample = timed(lambda: fitted.sample(train.rows, seed=seed))
    row: Row = {"part": part, "generator": name, "seed": seed, "rows": train.rows, "fit_s": fit, "sample_s": sample}
    row |= {"steps": int(fitted.curves.steps[-1]) if len(fitted.curves.steps) else 0}
    row |= _scores(train, held, drawn, seed, target) | {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    }
    _tell(row)
    return row


def _scores(train: Table, held: Table, drawn: Table, seed: int, target: str | None) -> Row:
    row: Row = {"auc": detection(held, drawn, seed), "tpr": members_found(train, held, drawn, seed)}
    if target is not None:
        row["tstr"] = downstream(drawn, held, target, seed)
    return row


def _tell(row: Row) -> None:
    print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


def control(part: str, train: Table, held: Table, target: str | None) -> Row:
    """Measure the training rows themselves as if they were synthetic: the best that can be reached, apart from privacy."""
    row = {"part": part, "generator": "real", "rows": train.rows} | _scores(train, held, train, 0, target)
    _tell(row)
    return row


def checks_of(rows: list[Row]) -> list[Check]:
    """Return the checks of the parts that were measured."""
    checks = [
        *(_check(rows, "transitions", g, "auc", f"{g}_c2st", bar) for g, bar in C2ST.items()),
        *(_check(rows, "adult", g, "auc", f"adult_{g}", bar) for g, bar in ADULT.items()),
        *(_check(rows, "adult", g, "tpr", f"adult_tpr_{g}", bar) for g, bar in ADULT_TPR.items()),
    ]
    found = [check for check in checks if check is not None]
    adult = [r for r in rows if r["part"] == "adult" and r["generator"] in ADULT]
    if adult:
        worst = min(
            float(np.mean([r["tstr"] for r in adult if r["generator"] == g])) for g in {r["generator"] for r in adult}
        )
        found.append(Check("adult_mle_auc", worst, ADULT_MLE))
        minutes = max(r["fit_s"] + r["sample_s"] for r in adult) / 60
        found.append(Check("adult_cpu_minutes", minutes, ADULT_MINUTES, at_most=True))
    for peer, ours, bar in (("tvae", "vae", TVAE_RATIO), ("ctgan", "gan", CTGAN_RATIO)):
        slow, fast = _seconds(rows, peer), _seconds(rows, ours)
        if slow is not None and fast is not None:
            found.append(Check(f"{peer}_cpu_ratio", slow / fast, bar))
    return found


def _check(rows: list[Row], part: str, generator: str, key: str, name: str, bar: float) -> Check | None:
    values = [r[key] for r in rows if (r["part"], r["generator"]) == (part, generator)]
    return Check(name, float(np.mean(values)), bar, at_most=True) if values else None


def _seconds(rows: list[Row], generator: str) -> float | None:
    values = [r["fit_s"] for r in rows if (r["part"], r["generator"]) == ("transitions", generator)]
    return float(np.mean(values)) if values else None


def measure(options: Namespace) -> list[Row]:
    """Measure the parts that were asked for."""
    rows, names = list[Row](), options.generators or list(TABLE_GENERATORS)
    seeds, few = range(1, options.seeds + 1), 2_000 if options.quick else 10_000
    if "transitions" in options.parts:
        train, held = transitions_tables(few, 1)
        rows += [control("transitions", train, held, None)]
        rows += [measured(n, "transitions", train, held, s, None) for n in names for s in seeds]
        if options.peers:
            for peer in ("tvae", "ctgan"):
                drawn, seconds = peer_rows(peer, train)
                rows += [
                    {"part": "transitions", "generator": peer, "fit_s": seconds} | _scores(train, held, drawn, 1, None)
                ]
                _tell(rows[-1])
    if "adult" in options.parts:
        rows += _adult(options, names, seeds)
    if "second" in options.parts:
        for part, train, held in second_tables(options.data):
            rows += [control(part, train, held, None), *(measured(n, part, train, held, 1, None) for n in names)]
    if "sizes" in options.parts:
        for size in (1_000,) if options.quick else (1_000, 10_000, 100_000):
            train, held = transitions_tables(size, 2)
            rows += [
                measured(n, f"sizes_{size}", train, held.take(np.arange(min(size, 10_000))), 1, None) for n in names
            ]
    return rows


def _adult(options: Namespace, names: list[str], seeds: range) -> list[Row]:
    if not (options.data / "adult_train.csv").exists():
        print(f"NOT TESTED: adult_train.csv and adult_test.csv are not in {options.data}")
        return []
    train, held = adult_tables(options.data)
    if options.quick:
        train = train.take(np.arange(3_000))
    rows = [control("adult", train, held, "outcome")]
    return rows + [measured(n, "adult", train, held, s, "outcome") for n in names for s in seeds]


def main() -> int:
    """Run the benchmark. Returns 1 where a bar is not met."""
    parser = arguments(__doc__, seeds=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--generators", nargs="+", choices=list(TABLE_GENERATORS), help="default: all")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables that are not part of the project")
    parser.add_argument(
        "--peers", action="store_true", help="also measure SDV's TVAE and CTGAN (first use: minutes, 3 GB)"
    )
    options = parser.parse_args()
    rows = measure(options)
    checks = checks_of(rows)
    del options.data  # a folder of this machine
    finish("generators", options, rows, checks)
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
