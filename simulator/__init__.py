"""Simulate people for the r3al loop: demo and test cohorts, and the true value of any policy.

This package simulates the world of ``loops/specs/r3al.toml``. It is the only code that knows more about a loop's heads than the
loop file states. Its people react to the five actions of ``policy``, and to ``timing``, ``tone`` and ``empathy`` where the loop
has them. A head with another name is drawn and logged in the same way, and affects nobody.

Only the demo, the tests and the benchmarks import this package. Production code never does.
"""

from simulator.cohort import Cohort, simulate
from simulator.files import write_csv
from simulator.living import LivingPeople
from simulator.people import SimulatedPeople, make_people
from simulator.values import ValueEstimate, best_known_policy, compare_policies, true_value

SIMULATED_LOOP = "r3al"  # the loop whose people these are

__all__ = [
    "SIMULATED_LOOP",
    "Cohort",
    "LivingPeople",
    "SimulatedPeople",
    "ValueEstimate",
    "best_known_policy",
    "compare_policies",
    "make_people",
    "simulate",
    "true_value",
    "write_csv",
]
