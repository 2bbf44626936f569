"""Scheduled Celery tasks of the privacy floor, and its job handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task
from django.conf import settings

from core.durations import DAY
from jobs.handlers import JobContext, handler
from jobs.queues import PRIVACY
from jobs.schedules import schedule
from privacy.models import Release
from privacy.services.people.key_age import key_age_check
from privacy.services.people.retention import records_expire
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.releases.reservations import ANONYMIZE_JOB
from privacy.services.vault.adopt import default_caps_record
from privacy.services.vault.anchors import head_anchor
from privacy.services.vault.sealed_decisions import decisions_seal
from privacy.services.vault.verify import vault_check


@shared_task(name="privacy.close_outcomes", ignore_result=True)
def close_outcomes() -> None:
    """Close every decision whose deadline has passed."""
    outcomes_close()


@shared_task(name="privacy.seal_decisions", ignore_result=True)
def seal_decisions() -> None:
    """Seal served decisions in the Trust Vault until none is left."""
    while decisions_seal() is not None:
        pass


@shared_task(name="privacy.verify_vault", ignore_result=True)
def verify_vault() -> None:
    """Audit the Trust Vault, store the result, and anchor the head of a chain that held. A broken one is logged as an error."""
    default_caps_record()
    head_anchor(vault_check())


@shared_task(name="privacy.expire", ignore_result=True)
def expire() -> None:
    """Delete records that are older than their retention."""
    records_expire()


@shared_task(name="privacy.key_age", ignore_result=True)
def key_age() -> None:
    """Tell operators when the newest master key is old."""
    key_age_check()


@handler(ANONYMIZE_JOB, queue=PRIVACY)
def anonymize_job(context: JobContext) -> Callable[[], dict[str, Any]]:
    """Compute an anonymisation whose people are already charged."""
    from privacy.services.anonymize.run import anonymize_finish  # only workers import the libraries that draw noise

    release = Release.objects.select_related("loop_version__loop").get(pk=context.arguments["release"])
    finished = anonymize_finish(release=release)
    return lambda: {"release": finished.pk}


schedule(
    "privacy: close outcomes at their deadline",
    task="privacy.close_outcomes",
    seconds=settings.R3AL_TICK_SECONDS,
    watched_as="closing outcomes",
)
schedule(
    "privacy: put decisions into the vault",
    task="privacy.seal_decisions",
    seconds=settings.R3AL_TICK_SECONDS,
    watched_as="sealing decisions",
)
schedule("privacy: verify the vault", task="privacy.verify_vault", seconds=DAY)
schedule("privacy: look at the age of the master key", task="privacy.key_age", seconds=DAY, queue=PRIVACY)
schedule("privacy: delete what has expired", task="privacy.expire", seconds=DAY, queue=PRIVACY)
