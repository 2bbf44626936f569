"""Measure the cost of a served decision: HTTP load on loopback against two web processes, with every answer committed.

A cell is a fresh database, the r3al loop with a learned version of all four heads, and the platform's own web command with two
processes. PostgreSQL runs with fsync and synchronous commit (as it reports itself), SQLite with synchronous=FULL. The callers are
people's devices with one token each, then one service that acts for them. Clients run in separate processes. Every acknowledged
decision is counted in the database afterwards. CPU time is reported for the web processes and separately for the database. Both
share the machine with the clients. With ``--peers``, ``mlflow models serve`` runs under the same clients, with two processes and
an equally small numpy model. It logs nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.collect import database
from benchmarks.common import Check, arguments, finish
from benchmarks.peers_mlflow import mlflow_command, mlflow_requests
from r3al_project.processes import commands

ROOT = Path(__file__).parent.parent
WORKERS, CONNECTIONS, CLIENTS = 2, 8, 2
WARM_UP, SECONDS, PEOPLE, MOST_A_SECOND = 3.0, 15.0, 2_000, 2_500
P99_US, CPU_RATIO, CALLS = 150.0, 3.0, 20_000
READY_SECONDS = 120.0
_TICK = os.sysconf("SC_CLK_TCK")


def cell(kind: str, quick: bool) -> list[dict[str, Any]]:
    """Measure one kind of database: under load, and for SQLite also in process. Return the result rows."""
    seconds, people = (5.0, 200) if quick else (SECONDS, PEOPLE)
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as folder, database(kind, Path(folder)) as url:
        home = Path(folder)
        env = _environment(url, home)
        _step(env, "--prepare", str(home), str(people), str(int((seconds + WARM_UP) * MOST_A_SECOND)))
        port = _free_port()
        with running(commands.web(port, workers=WORKERS), env, home / "web.log", port) as pid:
            watched = {"web": pid} | ({"database": _postmaster(home)} if kind == "postgresql" else {})
            loads = {
                caller: under_load(
                    home,
                    port,
                    "/api/v1/optima/decisions",
                    json.loads((home / f"{caller}.json").read_text()),
                    seconds,
                    watched,
                )
                for caller in ("device", "service")
            }
        facts_found = _step(env, "--facts")
        acknowledged = sum(row["requests"] for row in loads.values())
        if facts_found["decisions"] < acknowledged:
            raise SystemExit(
                f"{acknowledged} decisions were acknowledged, but only {facts_found['decisions']} are in the database"
            )
        rows = [
            {"part": f"{kind}, {caller}", "workers": WORKERS, **row, **facts_found} for caller, row in loads.items()
        ]
        if kind == "sqlite":
            rows.append(_step(env, "--inprocess", str(CALLS // 4 if quick else CALLS)))
        return rows


def mlflow(quick: bool) -> list[dict[str, Any]]:
    """Measure mlflow under the same clients, with features by name and as a tensor."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="r3al-bench-") as folder:
        home = Path(folder)
        command, version = mlflow_command(home, port, WORKERS)
        path = f"{Path(command[0]).parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with running(command, env, home / "mlflow.log", port, path="/ping") as pid:
            return [
                {"part": f"mlflow {version}, {how}", "workers": WORKERS, "decisions": 0}
                | under_load(home, port, "/invocations", requests, 5.0 if quick else SECONDS, {"web": pid})
                for how, requests in mlflow_requests().items()
            ]


def under_load(
    home: Path, port: int, path: str, requests: list[Any], seconds: float, watched: dict[str, int]
) -> dict[str, Any]:
    """Measure latencies in ms, answers per second, and the CPU of each watched process tree in us per answer."""
    clients = []
    for i in range(CLIENTS):
        plan = {
            "host": "127.0.0.1", "port": port, "path": path, "connections": CONNECTIONS // CLIENTS, "warm_up": WARM_UP,
            "seconds": seconds, "requests": requests[i::CLIENTS] or requests,
        }  # fmt: skip
        file = home / f"plan-{i}.json"
        file.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "benchmarks.http_load", str(file)]
        clients.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
    time.sleep(WARM_UP)
    before = {name: cpu_of(pid) for name, pid in watched.items()}
    time.sleep(seconds)
    used = {name: cpu_of(pid) - before[name] for name, pid in watched.items()}
    reports = [json.loads(_output(client).splitlines()[-1]) for client in clients]
    wrong = {status: n for report in reports for status, n in report["statuses"].items() if status != "200"}
    if wrong:
        raise SystemExit(f"some answers had a status other than 200: {wrong}")
    latencies = sorted(ms for report in reports for ms in report["latencies"])
    count = len(latencies)
    return {
        "requests": count,
        "rps": count / max(report["seconds"] for report in reports),
        "p50_ms": latencies[count // 2],
        "p99_ms": latencies[count * 99 // 100],
        **{f"{name}_cpu_us": 1e6 * cpu / count for name, cpu in used.items()},
        "client_cpu_us": 1e6 * sum(report["cpu"] for report in reports) / count,
    }


def cpu_of(root: int) -> float:
    """Return the CPU seconds of a process and its descendants, including those that have ended (Linux)."""
    parents: dict[int, list[int]] = {}
    times = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process ended meanwhile
        pid = int(stat.parent.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        times[pid] = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    tree = [root]
    for pid in tree:
        tree += parents.get(pid, [])
    return (sum(times[pid][0] for pid in tree if pid in times) + times[root][1]) / _TICK


@contextmanager
def running(command: list[str], env: dict[str, str], log: Path, port: int, path: str = "/healthz") -> Iterator[int]:
    """Start a server in its own session, yield its pid once it responds, and end it with all its descendants."""
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + READY_SECONDS
        while not _responds(port, path):
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[2]} does not respond; the end of its log:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield server.pid
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def facts() -> dict[str, Any]:
    """Return the number of decisions in the configured database, and its durability settings."""
    from benchmarks.decisions_world import start_django

    start_django()
    from django.db import connection

    from privacy.models import ServedDecision

    found: dict[str, Any] = {"decisions": ServedDecision.objects.count()}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for name in ("server_version", "fsync", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                found[name] = cursor.fetchone()[0]
        else:
            cursor.execute("PRAGMA synchronous")
            found["synchronous"] = cursor.fetchone()[0]  # 2: FULL
    return found


def _environment(url: str, home: Path) -> dict[str, str]:
    generated = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "ANONYMIZATION_SALT")}
    generated["DATA_MASTER_KEYS"] = "1:" + secrets.token_urlsafe(48)
    return {
        **os.environ, **generated, "DATABASE_URL": url, "R3AL_VAR_DIR": str(home / "var"), "OMP_NUM_THREADS": "1",
        "HTTPS": "false", "LOG_LEVEL": "WARNING",
    }  # fmt: skip


def _step(env: dict[str, str], *options: str) -> dict[str, Any]:
    """Run one step in a separate process on the cell's database, and return the JSON that it prints."""
    command = [sys.executable, "-m", "benchmarks.decisions", *options]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    printed: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return printed


def _output(client: subprocess.Popen[str]) -> str:
    out, _ = client.communicate(timeout=60)
    if client.returncode:
        raise SystemExit("a client process failed; see its output above")
    return out


def _postmaster(home: Path) -> int:
    return int((home / "pg" / "postmaster.pid").read_text().split()[0])


def _responds(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one line for each part under load."""
    print(f"{'':>22} {'rps':>6} {'p50 ms':>7} {'p99 ms':>7} {'web us':>7} {'db us':>6} {'client us':>9}")
    for r in rows:
        if "rps" in r:
            print(
                f"{r['part']:>22} {r['rps']:6.0f} {r['p50_ms']:7.2f} {r['p99_ms']:7.2f} {r['web_cpu_us']:7.0f} "
                f"{r.get('database_cpu_us', 0):6.0f} {r['client_cpu_us']:9.0f}"
            )


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    rows = [*cell("postgresql", options.quick), *cell("sqlite", options.quick)]
    print_table(rows)
    checks = [Check("decide_inprocess_p99_us", rows[-1]["p99_us"], P99_US, at_most=True)]
    if options.peers:
        peer = mlflow(options.quick)
        print_table(peer)
        ours, names, tensor = rows[0], peer[0]["web_cpu_us"], peer[1]["web_cpu_us"]
        ratios = {
            "names": names / ours["web_cpu_us"],
            "tensor": tensor / ours["web_cpu_us"],
            "names, the database's CPU added to ours": names / (ours["web_cpu_us"] + ours["database_cpu_us"]),
        }
        print("CPU of mlflow over ours: " + "; ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
        checks.append(Check("mlflow_cpu_ratio", ratios["names"], CPU_RATIO))
        rows += [*peer, {"part": "ratios", **ratios}]
    finish("decisions", options, rows, checks)


def inner(options: Namespace) -> dict[str, Any]:
    """Run one internal step of a cell, in a separate process."""
    from benchmarks.decisions_world import measure_inprocess, prepare

    if options.prepare:
        folder, people, requests = options.prepare
        prepare(Path(folder), int(people), int(requests))
        return {}
    return measure_inprocess(options.inprocess) if options.inprocess else facts()


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--peers", action="store_true", help="also measure mlflow models serve, installed into .peers/")
    parser.add_argument("--prepare", nargs=3, help="fill the configured database (internal)")
    parser.add_argument("--inprocess", type=int, help="measure this number of calls in process (internal)")
    parser.add_argument("--facts", action="store_true", help="print the database's contents and settings (internal)")
    chosen = parser.parse_args()
    if chosen.prepare or chosen.inprocess or chosen.facts:
        print(json.dumps(inner(chosen)))
    else:
        main(chosen)
