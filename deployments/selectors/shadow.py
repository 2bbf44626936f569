"""Read the figures of shadow tests."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Max, Sum

from deployments.engine.rollouts.shadow import ShadowCounts
from deployments.models import Deployment, RolloutCheck, ShadowMinute

_SUMS = tuple(name for name in ShadowCounts.__dataclass_fields__ if name != "slowest_us")


def shadow_began(rollout: Deployment) -> datetime:
    """Return when the present time of a shadow test began: at its start, or when it was resumed."""
    return rollout.stage_began_at or rollout.created_at


def shadow_counts(rollout: Deployment) -> ShadowCounts:
    """Return the sums of a shadow test since it began, or since it was resumed. They end with the test."""
    minutes = ShadowMinute.objects.filter(
        version=rollout.version_id, minute__gte=shadow_began(rollout).replace(second=0, microsecond=0)
    )
    if rollout.finished_at is not None:
        minutes = minutes.filter(minute__lte=rollout.finished_at)
    sums = minutes.aggregate(**{name: Sum(name, default=0) for name in _SUMS}, slowest_us=Max("slowest_us", default=0))
    return ShadowCounts(**sums)


def last_check(rollout: Deployment) -> RolloutCheck | None:
    """Return the newest verdict on a rollout, or None."""
    return rollout.checks.order_by("-pk").first()
