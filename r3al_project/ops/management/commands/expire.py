"""``manage.py expire``: delete expired records and refund abandoned releases. Beat runs the same daily."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from core.durations import RECORDS_KEPT
from jobs.idempotent_answers import answers_expire
from privacy.services.people.retention import records_expire
from r3al_project.ops.expired_logins import logins_expire
from r3al_project.turns.services import reservations_sweep
from training.services.pool import pool_expire


class Command(BaseCommand):
    help = (
        f"Delete people's records, exports and pool rows after {RECORDS_KEPT.days} days. "
        "Delete answers stored for retries after a day, failed logins after 15 minutes, and sessions and tokens that have ended. "
        "Refund people for releases that were abandoned more than a day ago. "
        "It is safe to stop this command and to run it again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        logins, pool, answers, settled = logins_expire(), pool_expire(), answers_expire(), reservations_sweep()
        records = records_expire()  # last, because it empties the write-ahead log
        self.stdout.write(
            f"expired: {records.signals} signals, {records.decisions} decisions, {records.exports} exports, {pool} pool chunks, "
            f"{answers} answers stored for retries, {logins} rows of logins; "
            f"abandoned releases: {settled.refunded} refunded, {settled.kept} stay charged (noise was drawn)"
        )
