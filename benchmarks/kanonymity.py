"""k-anonymity on a generated census-like table of six quasi-identifiers: how fast, how much is lost, and is it true.

Loss is the normalised certainty penalty: the side of a record's box over its column's public range (of a category the number
of other categories spanned over the number of others), averaged over all cells. ``--peers``: ``anjana`` on the same table in the
same run, and ``pycanon`` as the judge of what is published.
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
    """One partition, timed; ``rows_each``: so many neighbouring rows belong to one person."""
    users = np.arange(len(values)) // rows_each
    began = time.perf_counter()
    made = mondrian(values, columns=COLUMNS, users=users, k=k, sensitive=occupation, diversity=diversity)
    seconds = time.perf_counter() - began
    summary = {
        "k": k, "rows": len(values), "rows_a_person": rows_each, "diversity": diversity,
        "rows_a_second": len(values) / seconds, "ncp": made.loss, "classes": int(made.classes.max()) + 1,
        "smallest": made.smallest, "least_diverse": made.diversity, "suppressed": len(values) - len(made.low),
    }  # fmt: skip
    return summary, made


def publish(path: Path, made: Partition, occupation: Ints) -> None:
    """The table as it would leave: boxes as texts, the occupation as it is."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*QUASI, "occupation"])
        for low, high, work in zip(made.low.tolist(), made.high.tolist(), occupation.tolist(), strict=True):
            writer.writerow([*(f"{a:g}..{b:g}" for a, b in zip(low, high, strict=True)), work])


def write_raw(path: Path, values: Floats) -> None:
    """The table itself, for the peer."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(QUASI)
        writer.writerows(values.astype(int).tolist())


def main(options: Namespace) -> None:
    values, occupation = census(QUICK if options.quick else ROWS, SEED)
    rows = [ours(values, occupation, k=k)[0] for k in (2, 5, 50)]
    ten, partition = ours(values, occupation, k=K)
    diverse, diverse_partition = ours(values, occupation, k=K, diversity=6)
    rows += [ten, diverse, ours(values, occupation, k=K, rows_each=3)[0]]
    for row in rows:
        print(
            f"k {row['k']:>2}, {row['rows_a_person']} rows a person, l {row['diversity']}: {row['rows_a_second']:>9,.0f} rows/s, "
            f"NCP {row['ncp']:.4f}, {row['classes']} classes, the smallest of {row['smallest']} people"
        )
    checks = [
        Check("suppressed", float(max(r["suppressed"] for r in rows)), 0.0, at_most=True),
        Check("ncp_k10", ten["ncp"], NCP, at_most=True),
    ]
    if options.peers:
        found, confirmed = against_peers(values, occupation, partition, diverse_partition)
        print(
            f"anjana: {found['rows_a_second']:,.0f} rows/s, {found['suppressed']:,} of {len(values):,} rows suppressed"
        )
        rows.append({"peer": "anjana", **found})
        checks += [
            Check("speedup_vs_anjana", ten["rows_a_second"] / found["rows_a_second"], SPEEDUP),
            Check("pycanon_confirms", confirmed, 1.0),
        ]
    finish("kanonymity", options, rows, checks)


def against_peers(values: Floats, occupation: Ints, ten: Partition, diverse: Partition) -> tuple[dict[str, Any], float]:
    """What anjana does with the table, and the share of our claims that pycanon confirms."""
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as home:
        folder = Path(home)
        write_raw(folder / "raw.csv", values)
        publish(folder / "published-k10.csv", ten, occupation)
        publish(folder / "published-k10-l6.csv", diverse, occupation)
        found, judged = peer("anjana", folder), peer("pycanon", folder)
    print(f"pycanon: {judged}")
    claims = [
        judged["published-k10"]["k"] >= K, judged["published-k10-l6"]["k"] >= K, judged["published-k10-l6"]["l"] >= 6,
    ]  # fmt: skip
    return found, sum(claims) / len(claims)


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--peers", action="store_true", help="also anjana and pycanon, installed into .peers/")
    main(parser.parse_args())
