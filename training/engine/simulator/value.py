"""The true value of a policy: mean reward a decision point over many simulated people.

Policies that are compared with one seed meet the same people and the same chances, so that differences are far more
precise than values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loops.engine.spec import LoopSpec
from training.engine.simulator.cohort import Policy, simulate
from training.engine.simulator.people import Floats, Variant, make_people

PEOPLE, DAYS = 4_000, 15


@dataclass(frozen=True)
class ValueEstimate:
    """Mean reward a decision point, its standard error over people, and each person's mean (people,) for paired differences."""

    value: float
    standard_error: float
    per_person: Floats

    def gain_over(self, other: ValueEstimate) -> tuple[float, float]:
        """Paired difference and its standard error; both estimates must come from one seed."""
        difference = self.per_person - other.per_person
        return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def true_value(
    spec: LoopSpec,
    seed: int,
    policy: Policy | None,
    *,
    n_people: int = PEOPLE,
    days: int = DAYS,
    variant: Variant = "companion",
    sub_policies: Mapping[str, Policy] | None = None,
) -> ValueEstimate:
    """Value over ``days`` from a first morning. None: the logging distribution, which also holds for heads not in
    ``sub_policies``. Decision points without availability count as they are.
    """
    rng = np.random.default_rng([seed, n_people])
    people = make_people(n_people, rng, variant=variant)
    per_person = simulate(spec, people, days, rng, policy, sub_policies).reward.mean(axis=1)
    return ValueEstimate(
        float(per_person.mean()), float(per_person.std(ddof=1) / np.sqrt(max(n_people, 2))), per_person
    )


def compare_policies(
    spec: LoopSpec, policy: Policy, *, seed: int, variant: Variant = "companion", n_people: int = PEOPLE
) -> dict[str, float]:
    """True values by name: ``value`` of the policy, ``random`` (logging), ``reference`` and ``best_known``."""
    from training.engine.simulator.best import best_known_policy, constant_policy

    reference = constant_policy(spec, spec.head("policy").reference)
    named: dict[str, Policy | None] = {
        "value": policy,
        "random": None,
        "reference": reference,
        "best_known": best_known_policy(spec, variant=variant),
    }
    return {k: true_value(spec, seed, p, n_people=n_people, variant=variant).value for k, p in named.items()}
