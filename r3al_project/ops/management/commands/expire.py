"""``manage.py expire``: delete what is older than it may be kept, give back what nobody will finish. Beat does the same."""

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
        f"Delete people's records, exports and pool rows that are {RECORDS_KEPT.days} days old and answers that were kept a day "
        "for retries, and give back what people were charged for releases that are a day old and that nobody will finish. "
        "Stop it and run it again as you like."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        gone, pool, answers, settled = records_expire(), pool_expire(), answers_expire(), reservations_sweep()
        self.stdout.write(
            f"expired: {gone.signals} signals, {gone.decisions} decisions, {gone.exports} exports, {pool} pool chunks, "
            f"{answers} answers kept for retries; "
            f"releases that nobody will finish: {settled.refunded} given back, {settled.kept} stay charged (noise was drawn)"
        )
