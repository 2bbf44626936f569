"""Many processes or threads that want the same thing at the same moment, and processes that are killed while they want it.

Processes are forked from a script on a fresh database (``tests.fresh_database``); threads run in the test itself.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, connections, transaction

PROCESSES = 8
FORK = multiprocessing.get_context("fork")


def scenarios(*acts: Callable[..., Any], given: Any) -> dict[str, Any]:
    """What each scenario found, by its name; all are given the same."""
    return {act.__name__: act(given) for act in acts}


def in_processes(work: Callable[[int], Counter[str]], processes: int = PROCESSES) -> dict[str, int]:
    """Run ``work`` in all processes at once; what they counted, added up. An exception is counted by its name."""
    return dict(sum(results(work, processes, lambda error: Counter([f"Error {error}"])), Counter[str]()))


def results(work: Callable[[int], Any], processes: int, failed: Callable[[str], Any] = str) -> list[Any]:
    """What ``work(0)`` to ``work(processes - 1)`` returned, all begun at once; for an exception, what ``failed`` makes of it."""
    barrier, queue = FORK.Barrier(processes), FORK.Queue()

    def run(process: int) -> None:
        barrier.wait(20)
        try:
            queue.put(work(process))
        except Exception as error:
            queue.put(failed(f"{type(error).__name__}: {error}"))

    running = [forked(run, i) for i in range(processes)]
    found = [queue.get(timeout=200) for _ in running]
    for process in running:
        process.join(20)
    return found


def forked(work: Callable[..., None], *arguments: Any) -> Any:
    """Start ``work`` in a process of its own."""
    connections.close_all()  # a connection must not be shared with a fork
    process = FORK.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def kill(process: Any) -> None:
    """SIGKILL, and wait until it is gone."""
    os.kill(process.pid, signal.SIGKILL)
    process.join(20)


def kill_again_and_again(
    work: Callable[[int], None],
    *,
    times: int,
    progress: Callable[[], int],
    within: float,
    after_each: Callable[[], None] = lambda: None,
) -> None:
    """Start ``work`` and kill it at a random moment ``within`` so many seconds of its first progress, again and again."""
    chance = random.Random(5)
    for number in range(times):
        before = progress()
        process = forked(work, number)
        wait_until(lambda before=before: progress() > before)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, within))
        kill(process)
        wait_for_quiet()
        after_each()


def overtaken(hold: Callable[[], None], act: Callable[[], Any]) -> tuple[bool, Any]:
    """Begin ``act`` in a thread while a transaction that did ``hold`` is open: whether it had to wait, and what it returned."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            hold()
            begun = pool.submit(_and_close, act)
            waited = wait_until(lambda: count(_WAITING) > 0)
        return waited, begun.result(60)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each returned, or the exception it raised; threads begin together, each with a connection of its own."""
    barrier, found = threading.Barrier(len(acts)), [None] * len(acts)

    def work(number: int) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(20)
            found[number] = acts[number]()
        except Exception as error:
            found[number] = error  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def in_threads(work: Callable[[Any], Any], given: Any, threads: int) -> list[Any]:
    """``work`` of each thing given, several at a time, each with a connection of its own. Raises what any of them raised."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda one: _and_close(lambda: work(one)), given))


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether a condition came to hold in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def wait_for_quiet() -> None:
    """Until PostgreSQL has noticed that the killed clients are gone and has rolled them back; SQLite needs no time."""
    if connection.vendor == "postgresql" and not wait_until(lambda: count(_OTHERS) == 0):
        sys.exit("a killed client's session is still open")


_HERE = "pg_stat_activity a WHERE a.datname = current_database()"
_OTHERS = f"SELECT count(*) FROM {_HERE} AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
_WAITING = f"SELECT count(*) FROM {_HERE} AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted)"


def count(query: str) -> int:
    """The one number that a query finds, now: in a transaction PostgreSQL would show the sessions of its first look again."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def _and_close(act: Callable[[], Any]) -> Any:
    try:
        return act()
    finally:
        connection.close()
