"""Check that people were assigned to the arms in the declared ratio, with a Bayes factor that may be looked at every minute.

A mismatch means that one arm lost people on the way, and then no comparison of the arms can be trusted. The Bayes factor of a
beta prior around the declared share is a martingale while the ratio is as declared. It ever reaches ``ALARM`` with a probability
of at most 1 / ``ALARM`` (Ville's inequality). Each stage is a new check, of people's first assignments in it.
"""

from __future__ import annotations

import math

ALARM = 1_000.0  # false alarms: at most .1% of stages
PRIOR_PEOPLE = 100.0  # how many people the prior around the declared share is worth


def log_bayes_factor(ours: int, theirs: int, share: float, prior_people: float = PRIOR_PEOPLE) -> float:
    """Return the log Bayes factor against "each person is assigned to the candidate with probability ``share``".

    Args: ours, theirs: people assigned to the candidate and to the stable version, each person once. share: in (0, 1).
    """
    a, b = prior_people * share, prior_people * (1.0 - share)
    return _log_beta(a + ours, b + theirs) - _log_beta(a, b) - ours * math.log(share) - theirs * math.log1p(-share)


def ratio_is_off(ours: int, theirs: int, share: float) -> bool:
    """Tell whether the ratio of the arms is proven to differ from the declared one."""
    return log_bayes_factor(ours, theirs, share) >= math.log(ALARM)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
