"""Read what people lived under a past rollout, and show what a canary with other terms would have done there."""

from __future__ import annotations

from core.errors import InsufficientData
from deployments.engine.rollouts.dry_run import DryWeek, canary_dry_run
from deployments.engine.rollouts.staged import CanaryTerms
from deployments.models import Deployment
from deployments.selectors.health import lived_under
from loops.engine.thresholds import stability_margin
from loops.selectors import loop_version_current


def rollout_dry_run(rollout: Deployment, terms: CanaryTerms) -> list[DryWeek]:
    """Return the weeks of a canary over what was lived under a rollout. Nothing is written.

    Raises InsufficientData when no closed week of it is stored.
    """
    spec = loop_version_current(rollout.slot.loop.name).spec
    lived = lived_under(rollout, spec)
    if lived is None or not (lived.week >= lived.first).any():
        raise InsufficientData(
            f"no closed week of rollout {rollout.pk} is stored; a week closes when its last outcomes do, "
            "and old evidence is deleted"
        )
    return canary_dry_run(terms, lived, margin=stability_margin(spec), silence=spec.reward.silence)
