"""``manage.py expire``: delete expired records and refund abandoned releases. Beat runs the same daily."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from core.durations import RECORDS_KEPT
from jobs.idempotent_answers import answers_expire
from privacy.services.people.retention import records_expire
from r3al_project.turns.services import reservations_sweep
from training.services.pool import pool_expire


class Command(BaseCommand):
    help = (
        f"Delete people's records, exports and pool rows after {RECORDS_KEPT.days} days. "
        "Delete answers stored for retries after a day. "
        "Refund people for releases that were abandoned more than a day ago. "
        "It is safe to stop this command and to run it again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        records, pool, answers, settled = records_expire(), pool_expire(), answers_expire(), reservations_sweep()
        self.stdout.write(
            f"expired: {records.signals} signals, {records.decisions} decisions, {records.exports} exports, {pool} pool chunks, "
            f"{answers} answers stored for retries; "
            f"abandoned releases: {settled.refunded} refunded, {settled.kept} stay charged (noise was drawn)"
        )
