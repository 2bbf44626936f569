"""Close the record of an A/B test with what it found."""

from __future__ import annotations

from deployments.models import AbExperiment, Deployment
from deployments.selectors.shadow import last_check


def experiment_end(rollout: Deployment, state: AbExperiment.State) -> None:
    """Store how the comparison of an A/B test ended, and the last look at rewards. Other rollouts have none."""
    check = last_check(rollout)
    result = check.figures.get("reward", {}) if check is not None else {}
    AbExperiment.objects.filter(deployment=rollout).update(state=state, result=result)
