"""Simulated people for the r3al loop: demo and test cohorts, and the true value of any policy.

Never part of a production loop: only the demo, the tests and the benchmarks import this package.
"""

from training.engine.simulator.cohort import Cohort, simulate
from training.engine.simulator.files import write_csv
from training.engine.simulator.people import People, make_people
from training.engine.simulator.values import ValueEstimate, best_known_policy, compare_policies, true_value

__all__ = [
    "Cohort",
    "People",
    "ValueEstimate",
    "best_known_policy",
    "compare_policies",
    "make_people",
    "simulate",
    "true_value",
    "write_csv",
]
