"""Name the convention that a propensity column follows, where it is not the one that the loop file says.

Each convention turns the column's numbers into probabilities. Those that give a mean of 1{a}/p of 1 for every action fit, and
the one under which the logged actions are likeliest is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.rows.assignment_check import FAR
from loops.engine.rows.propensities import LEAST_PROPENSITY, ROUNDING
from loops.engine.rows.transforms import parse_transform
from loops.engine.spec import Head, ImportHead

CONVENTION_ROWS = 200_000  # read to find the convention of a file that was refused
_LEAST_ROWS = 20
_STRAY = 0.01  # share of rows that may contradict a convention
_SURE = 3.0  # standard errors of a mean under the convention
_SCALES: dict[str, tuple[str, Callable[[Floats], bool]]] = {  # transform: words, and whether numbers may be written so
    "x": ("a probability", lambda x: True),
    "x / 100": ("a percentage", lambda x: bool(x.max() > 1)),
    "exp(x)": ("the logarithm of a probability", lambda x: bool(x.max() <= 0)),
    "1 / (1 + exp(-x))": ("the logit of a probability", lambda x: bool(x.min() < 0 or x.max() > 1)),
    "1 / x": ("an inverse probability (a weight)", lambda x: bool(x.min() >= 1)),
}
_Way = tuple[str | None, str]  # the action whose probability it is (None: the one taken), and the transform


@dataclass(frozen=True)
class Convention:
    """Hold one meaning of a propensity column: what it looks like, and what to do in the loop file."""

    looks_like: str
    remedy: str


def likely_convention(head: Head, columns: ImportHead, action: Ints, number: Floats) -> Convention | None:
    """Return the convention that fits rows best, or None if none does.

    Args: action (n,): indices. number (n,): the propensity column before any transform.
    """
    if len(action) < _LEAST_ROWS:
        return None
    declared = (columns.propensity_of, columns.transforms.get(columns.propensity or "", "x"))
    candidates = _candidates(head, columns, action, number)
    fits = [(fit, convention) for way, convention, fit in candidates if fit is not None and way != declared]
    return max(fits, key=lambda found: found[0])[1] if fits else None


def _candidates(
    head: Head, columns: ImportHead, action: Ints, number: Floats
) -> Iterator[tuple[_Way, Convention, float | None]]:
    """Yield conventions, each with the mean log-likelihood of the actions under it (None: it does not fit)."""
    where, count = f"[import.csv.heads.{head.name}]", len(head.actions)
    for transform, words in ((t, words) for t, (words, may_be) in _SCALES.items() if may_be(number)):
        p = parse_transform(transform)(number)
        plain = transform == "x"
        rescale = f'transforms = {{ {columns.propensity} = "{transform}" }} in [import.csv]'
        for a, name in enumerate(head.actions):
            looks = f"P({name}) on every row, not the probability of the action taken"
            looks, say = looks + ("" if plain else f", written as {words}"), _of_action(head, name, where)
            say += "" if plain else f" and {rescale}"
            yield (name, transform), Convention(looks, say), _fit_one(action, a, p, count)
        say = f"leave propensity_of and any transform of the column out of {where}" if plain else f"say {rescale}"
        yield (None, transform), Convention(f"{words} of the action taken", say), _fit(action, p, count)
    flipped = f'say transforms = {{ {columns.propensity} = "1 - x" }} in [import.csv]'
    looks = "the probability of not taking the action that was taken"
    yield (None, "1 - x"), Convention(looks, flipped), _fit(action, 1 - number, count)
    looks = "something else, because the actions follow the declared logging distribution"
    say = f"leave the column out of {where}"
    yield (None, ""), Convention(looks, say), _fit(action, np.array(head.logging)[action], count)


def _of_action(head: Head, name: str, where: str) -> str:
    if len(head.actions) == 2:
        return f'say propensity_of = "{name}" in {where}'
    listed = ", ".join(f'{a} = "column"' for a in head.actions)
    return f"give one column an action, propensities = {{ {listed} }} in {where}"


def _fit(action: Ints, p: Floats, count: int) -> float | None:
    """Return the mean log-likelihood of actions (n,) with probabilities p (n,), or None where 1{a}/p does not average to 1."""
    is_bad = ~((p >= LEAST_PROPENSITY) & (p <= 1 + ROUNDING))
    drawn = ~is_bad & (p < 1)
    if is_bad.mean() > _STRAY or drawn.mean() < 1 / 2:
        return None
    action, p = action[drawn], p[drawn]
    own = [1 / p[action == a] for a in range(count)]
    is_one = [_is_one(w.sum() / len(p), math.sqrt((w**2).sum()) / len(p)) for w in own if w.size]
    return float(np.log(p).mean()) if all(is_one) else None


def _fit_one(action: Ints, a: int, p: Floats, count: int) -> float | None:
    """Return the fit of a column that holds the probability of action ``a`` on every row.

    The other actions count with their shares, so that the fit compares with that of other conventions.
    """
    taken = action == a
    is_bad = ~((p >= 0) & (p <= 1)) | (taken & (p == 0)) | (~taken & (p == 1))
    drawn = ~is_bad & (p > 0) & (p < 1)
    if is_bad.mean() > _STRAY or drawn.mean() < 1 / 2 or len(np.unique(taken[drawn])) == 1:
        return None
    fit = _fit(taken[drawn].astype(np.int64), np.where(taken, p, 1 - p)[drawn], 2)
    shares = np.bincount(action[~taken], minlength=count) / (~taken).sum()
    entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return None if fit is None else fit - entropy * float((~taken).mean())


def _is_one(mean: float, error: float) -> bool:
    """Return whether a mean is within FAR of 1, or nearly so within its own error."""
    return abs(mean - 1) <= max(FAR, min(_SURE * error, 3 * FAR))
