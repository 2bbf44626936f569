"""Simulate people for the r3al loop: demo and test cohorts, and the true value of any policy.

Only the demo, the tests and the benchmarks import this package. Production code never does.
"""

from simulator.cohort import Cohort, simulate
from simulator.files import write_csv
from simulator.people import SimulatedPeople, make_people
from simulator.values import ValueEstimate, best_known_policy, compare_policies, true_value

__all__ = [
    "Cohort",
    "SimulatedPeople",
    "ValueEstimate",
    "best_known_policy",
    "compare_policies",
    "make_people",
    "simulate",
    "true_value",
    "write_csv",
]
