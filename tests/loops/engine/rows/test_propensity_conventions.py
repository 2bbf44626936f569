"""The convention that a propensity column follows, found from the column and the actions beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.rows.propensity_conventions import likely_convention
from loops.engine.spec import Head, ImportHead

TWO = Head("policy", ("wait", "ping"), "wait", (0.5, 0.5))
THREE = Head("policy", ("wait", "ping", "hug"), "wait", (0.4, 0.3, 0.3))
TAKEN = ImportHead("did", "p")


def strata(head: Head, n: int = 4_000) -> tuple[np.ndarray, Floats, Floats]:
    """Draw actions with probabilities that differ by stratum: actions (n,), probabilities (n, K), those taken (n,)."""
    rng = np.random.default_rng(1)
    if head is TWO:
        other = np.where(rng.random(n) < 0.5, 0.2, 0.8)
        p = np.c_[1 - other, other]
    else:
        p = np.where(rng.random((n, 1)) < 0.5, [0.5, 0.3, 0.2], [0.2, 0.2, 0.6])
    action = (rng.random((n, 1)) > p.cumsum(1)).sum(1)
    return action, p, p[np.arange(n), action]


def named(head: Head, logged: Callable[[Floats, Floats], Floats], columns: ImportHead = TAKEN) -> tuple[str, str]:
    action, p, taken = strata(head)
    found = likely_convention(head, columns, action, logged(p, taken))
    return (found.looks_like, found.remedy) if found else ("", "")


@pytest.mark.parametrize(
    ("logged", "looks_like", "remedy"),
    [
        (lambda p, taken: p[:, 1], "P(ping) on every row", 'propensity_of = "ping"'),
        (lambda p, taken: p[:, 0], "P(wait) on every row", 'propensity_of = "wait"'),
        (lambda p, taken: 100 * taken, "a percentage of the action taken", 'p = "x / 100"'),
        (lambda p, taken: np.log(taken), "the logarithm of a probability", 'p = "exp(x)"'),
        (lambda p, taken: np.log(taken / (1 - taken)), "the logit", 'p = "1 / (1 + exp(-x))"'),
        (lambda p, taken: 1 / taken, "an inverse probability", 'p = "1 / x"'),
        (lambda p, taken: 100 * p[:, 1], "P(ping) on every row", 'propensity_of = "ping" in [import.csv.heads.policy] and tran'),
    ],
)  # fmt: skip
def test_of_two_actions(logged: Callable[[Floats, Floats], Floats], looks_like: str, remedy: str) -> None:
    found = named(TWO, logged)
    assert looks_like in found[0] and remedy in found[1], found


def test_of_three_actions_one_of_them() -> None:
    looks_like, remedy = named(THREE, lambda p, taken: p[:, 1])
    assert "P(ping) on every row" in looks_like and "propensities = { wait =" in remedy
    assert "probability of not taking" in named(THREE, lambda p, taken: 1 - taken)[0]


def test_that_was_declared_wrongly() -> None:
    found = named(TWO, lambda p, taken: taken, ImportHead("did", "p", "ping"))
    assert found[0] == "a probability of the action taken" and "leave propensity_of" in found[1]


def test_of_a_constant_logging_distribution() -> None:
    rng = np.random.default_rng(2)
    action, number = rng.choice(3, 4_000, p=THREE.logging), rng.random(4_000)
    found = likely_convention(THREE, TAKEN, action, number)
    assert found is not None and "declared logging" in found.looks_like


def test_of_none_or_of_a_few_rows_is_not_named() -> None:
    rng = np.random.default_rng(3)
    action, number = rng.choice(2, 4_000, p=(0.8, 0.2)), rng.random(4_000)
    assert likely_convention(TWO, TAKEN, action, number) is None
    assert likely_convention(TWO, TAKEN, action[:5], number[:5]) is None
