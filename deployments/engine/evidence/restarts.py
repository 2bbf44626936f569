"""Share the false-alarm rate of one metric and deployment among all tests that will ever start. The shares sum to 1.

The tests share people, so their evidence is never added up. A test of share w proves harm at evidence 1 / (alpha w), and the
union bound holds under any dependence.

- The *first day* test takes each person's first day. It sees gross harm soon.
- Tests of one week start in each week, those of four weeks in every fourth. New ones see a fault after a long good time.
- A test of two weeks starts with the deployment.

A rollout in stages has a table of its own. The test of one week that starts with the rollout goes through all stages, because the
bet holds at every share of traffic. The second and the third stage start tests of their own, so that good people of an earlier
stage cannot hide a fault. Tiles of two and four weeks never reach from one stage into the next, in which people change their arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

Over = Literal["first day", "1 week", "2 weeks", "4 weeks"]
TILES: tuple[tuple[Over, int], ...] = (("1 week", 1), ("2 weeks", 2), ("4 weeks", 4))
SPAN = 4  # weeks of the longest tile
FIRST_DAY = 0.05
_RUN, _TWO_WEEKS, _FOUR_WEEKS = 0.30, 0.10, 0.30  # the tests that start with the deployment, when harm is likeliest
_LATER = {1: (0.125, 26), 4: (0.125, 7)}  # by weeks of a tile: share of the later tests, and how many share it evenly
_TAIL = 0.1  # part of a later share that is kept for tests after the even ones
# Of a rollout in stages: the tests that start with it, and those that start with its second and third stage. The third is usually
# everybody. Later stages have no share of their own, only the later tests.
_STAGED_FIRST = {1: 0.35, 2: 0.05, 4: 0.05}
_STAGED = {1: (0.10, 0.05), 2: (), 4: (0.05, 0.05)}
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


@dataclass(frozen=True)
class Restart:
    """Describe a test: the week with which its first tile starts, the last week that it may use, and its log share.

    ``origin``: a week with which a tile starts. Tests with one origin have the same tiles.
    """

    origin: int
    week: int
    last: int
    log_share: float


def restarts(weeks: int, first: int, closed: int, stage_starts: tuple[int, ...] = ()) -> list[Restart]:
    """Return the tests over tiles of so many weeks that start in the weeks ``first``..``closed`` with a whole tile.

    Args: stage_starts: the first whole week of each stage of a rollout, in order and beginning with week 1. Empty for a
        deployment without stages.
    """
    if stage_starts:
        return [test for test in _staged(weeks, closed, stage_starts) if test.week >= first]
    numbers = range((first - 1) // weeks + 1, closed // weeks + 1)
    tests = [Restart(1, (n - 1) * weeks + 1, closed, log_share(weeks, n)) for n in numbers]
    return [test for test in tests if test.log_share > -np.inf]


def _staged(weeks: int, closed: int, stage_starts: tuple[int, ...]) -> list[Restart]:
    """Return all tests of a rollout in stages. A tile that began has used its share, even if its stage ended too soon."""
    later, tests = 0, []
    for stage, (start, end) in enumerate(pairwise((*stage_starts, closed + 1))):
        for week in range(start, min(end, closed + 1), weeks):
            share = _stage_share(weeks, stage) if week == start else 0.0
            if week > stage_starts[0] and weeks in _LATER and (weeks == 1 or not share):
                later += 1
                share += _LATER[weeks][0] * _part(later, _LATER[weeks][1])
            last = closed if weeks == 1 else min(end - 1, closed)
            if share and week + weeks - 1 <= last:
                tests.append(Restart(1 if weeks == 1 else start, week, last, float(np.log(share))))
    return tests


def _stage_share(weeks: int, stage: int) -> float:
    if stage == 0:
        return _STAGED_FIRST[weeks]
    return _STAGED[weeks][stage - 1] if stage <= len(_STAGED[weeks]) else 0.0


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
