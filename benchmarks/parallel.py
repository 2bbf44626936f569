"""Spread independent simulations over processes, and bound the shares that they find."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def spread(function: Callable[[T], R], tasks: Sequence[T], processes: int) -> Iterator[R]:
    """Yield function(task) of every task, in order. Each process uses one thread for linear algebra."""
    if processes <= 1:
        yield from map(function, tasks)
        return
    for name in _ONE_THREAD:  # read by a new process before it imports numpy
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, tasks)


def upper_bound(found: int, of: int, level: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if found >= of else float(beta.ppf(level, found + 1, of - found))


def lower_bound(found: int, of: int, level: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a share (Clopper and Pearson 1934)."""
    return 1.0 - upper_bound(of - found, of, level)
