"""Share the false-alarm rate of one metric and deployment among all tests that will ever start. The shares sum to 1.

The tests share people, so their evidence is never added up. A test of share w proves harm at evidence 1 / (alpha w), and the
union bound holds under any dependence.

- The *first day* test takes each person's first day. It sees gross harm soon.
- Tests of one week start in each week, those of four weeks in every fourth. New ones see a fault after a long good time.
- A test of two weeks starts with the deployment.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Over = Literal["first day", "1 week", "2 weeks", "4 weeks"]
TILES: tuple[tuple[Over, int], ...] = (("1 week", 1), ("2 weeks", 2), ("4 weeks", 4))
SPAN = 4  # weeks of the longest tile
FIRST_DAY = 0.05
_RUN, _TWO_WEEKS, _FOUR_WEEKS = 0.30, 0.10, 0.30  # the tests that start with the deployment, when harm is likeliest
_LATER = {1: (0.125, 26), 4: (0.125, 7)}  # by weeks of a tile: share of the later tests, and how many share it evenly
_TAIL = 0.1  # part of a later share that is kept for tests after the even ones
# Of minutes: the test that starts with the deployment, and those of later hours or days together.
_FIRST_MINUTES, _LATER_MINUTES = 0.75, 0.125  # an eighth is left over, because minutes have no longer tiles
# Of a rotating holdback: all weeks are one mixture, in which the test of the whole deployment has this part.
ROTATING = 1.0 - FIRST_DAY
_ROTATING_RUN, _ROTATING_EVEN = 0.5, 26


def log_share(weeks: int, number: int) -> float:
    """Return the log share of the test over tiles of so many weeks that starts with tile 1, 2, ...; -inf if there is none."""
    first = {1: _RUN, 2: _TWO_WEEKS, 4: _FOUR_WEEKS}[weeks]
    if number == 1:
        return float(np.log(first))
    if weeks not in _LATER:
        return float("-inf")
    share, even = _LATER[weeks]
    return float(np.log(share * _part(number - 1, even)))


def log_rotating_share(number: int) -> float:
    """Return the log part of the mixture of a rotating holdback for the test that starts in week 1, 2, ...."""
    if number == 1:
        return float(np.log(_ROTATING_RUN))
    return float(np.log((1.0 - _ROTATING_RUN) * _part(number - 1, _ROTATING_EVEN)))


def log_minutes_share(number: int) -> float:
    """Return the log share of a test of minutes that starts in hour or day 1, 2, ... of the deployment."""
    return float(np.log(_FIRST_MINUTES if number == 1 else _LATER_MINUTES * _slow_part(number - 1)))


def _part(k: int, even: int) -> float:
    """Return the part of the k-th later test: equal parts for the first ``even``, then a tail that falls slowly."""
    return (1.0 - _TAIL) / even if k <= even else _TAIL * _slow_part(k - even)


def _slow_part(k: int) -> float:
    """Return 1 / (1 + ln k) - 1 / (1 + ln (k + 1)).

    These sum to 1 over k = 1, 2, ... and decrease nearly as slowly as any sequence that does.
    """
    return float(1 / (1 + np.log(k)) - 1 / (1 + np.log(k + 1)))
