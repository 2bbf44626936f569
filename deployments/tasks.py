"""Scheduled tasks of the deployments floor."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from deployments.services.health.check import health_tick
from deployments.services.ticks.rollout_tick import rollout_tick
from jobs.schedules import schedule


@shared_task(name="deployments.health", ignore_result=True)
def health() -> None:
    """Check the health of every deployed version."""
    health_tick()


@shared_task(name="deployments.rollouts", ignore_result=True)
def rollouts() -> None:
    """Take the next step of every rollout in progress."""
    rollout_tick()


schedule(
    "deployments: steps of rollouts",
    task="deployments.rollouts",
    seconds=settings.R3AL_TICK_SECONDS,
    watched_as="rollouts",
)
schedule(
    "deployments: health of what serves",
    task="deployments.health",
    seconds=settings.R3AL_TICK_SECONDS,
    watched_as="health checks",
)
