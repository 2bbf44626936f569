"""Measure k-anonymity on a generated census-like table of six quasi-identifiers: speed, information loss and correctness.

Loss is the normalised certainty penalty, averaged over all cells: the width of a record's box over its column's public range, or
for a category the number of other categories spanned over the number of all others. With ``--peers``, ``anjana`` runs on the same
table in the same run, and ``pycanon`` verifies the published tables.
"""

from __future__ import annotations

import csv
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.census import COLUMNS, census
from benchmarks.common import Check, arguments, finish
from benchmarks.peers_anonymity import QUASI, peer
from core.arrays import Floats, Ints
from privacy.engine.anonymize.k_anonymity import Partition, mondrian

ROWS, QUICK, SEED, K = 30_000, 5_000, 1, 10
NCP, SPEEDUP = 0.06, 8.0


def ours(
    values: Floats, occupation: Ints, *, k: int, rows_each: int = 1, diversity: int = 1
) -> tuple[dict[str, Any], Partition]:
    """Time one partition. Each person has ``rows_each`` consecutive rows."""
    users = np.arange(len(values)) // rows_each
    began = time.perf_counter()
    partition = mondrian(values, columns=COLUMNS, users=users, k=k, sensitive=occupation, diversity=diversity)
    seconds = time.perf_counter() - began
    row = {
        "k": k, "rows": len(values), "rows_a_person": rows_each, "diversity": diversity,
        "rows_a_second": len(values) / seconds, "ncp": partition.loss, "classes": int(partition.classes.max()) + 1,
        "smallest": partition.smallest, "least_diverse": partition.diversity, "suppressed": len(values) - len(partition.low),
    }  # fmt: skip
    return row, partition


def publish(path: Path, partition: Partition, occupation: Ints) -> None:
    """Write the table as it would be published: boxes as texts, and the occupation unchanged."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*QUASI, "occupation"])
        for low, high, work in zip(partition.low.tolist(), partition.high.tolist(), occupation.tolist(), strict=True):
            writer.writerow([*(f"{a:g}..{b:g}" for a, b in zip(low, high, strict=True)), work])


def write_raw(path: Path, values: Floats) -> None:
    """Write the original table, as input for anjana."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(QUASI)
        writer.writerows(values.astype(int).tolist())


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    values, occupation = census(QUICK if options.quick else ROWS, SEED)
    rows = [ours(values, occupation, k=k)[0] for k in (2, 5, 50)]
    ten, partition = ours(values, occupation, k=K)
    diverse, diverse_partition = ours(values, occupation, k=K, diversity=6)
    rows += [ten, diverse, ours(values, occupation, k=K, rows_each=3)[0]]
    for row in rows:
        print(
            f"k {row['k']:>2}, {row['rows_a_person']} rows each, l {row['diversity']}: {row['rows_a_second']:>9,.0f} rows/s, "
            f"NCP {row['ncp']:.4f}, {row['classes']} classes, smallest {row['smallest']} people"
        )
    checks = [
        Check("suppressed", float(max(r["suppressed"] for r in rows)), 0.0, at_most=True),
        Check("ncp_k10", ten["ncp"], NCP, at_most=True),
    ]
    if options.peers:
        anjana, confirmed = against_peers(values, occupation, partition, diverse_partition)
        print(
            f"anjana: {anjana['rows_a_second']:,.0f} rows/s, {anjana['suppressed']:,} of {len(values):,} rows suppressed"
        )
        rows.append({"peer": "anjana", **anjana})
        checks += [
            Check("speedup_vs_anjana", ten["rows_a_second"] / anjana["rows_a_second"], SPEEDUP),
            Check("pycanon_confirms", confirmed, 1.0),
        ]
    finish("kanonymity", options, rows, checks)


def against_peers(values: Floats, occupation: Ints, ten: Partition, diverse: Partition) -> tuple[dict[str, Any], float]:
    """Return anjana's result on the same table, and the share of the platform's claims that pycanon confirms."""
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as home:
        folder = Path(home)
        write_raw(folder / "raw.csv", values)
        publish(folder / "published-k10.csv", ten, occupation)
        publish(folder / "published-k10-l6.csv", diverse, occupation)
        anjana, verified = peer("anjana", folder), peer("pycanon", folder)
    print(f"pycanon: {verified}")
    claims = [
        verified["published-k10"]["k"] >= K, verified["published-k10-l6"]["k"] >= K, verified["published-k10-l6"]["l"] >= 6,
    ]  # fmt: skip
    return anjana, sum(claims) / len(claims)


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--peers", action="store_true", help="also run anjana and pycanon, installed into .peers/")
    main(parser.parse_args())
