"""``manage.py expire``: delete what is older than it may be kept, now. Beat does the same once a day."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from privacy.services.retention import records_expire
from training.services.pool import pool_expire


class Command(BaseCommand):
    help = "Delete people's records, exports and pool rows that are 90 days old. Stop it and run it again as you like."

    def handle(self, *args: Any, **options: Any) -> None:
        gone, pool = records_expire(), pool_expire()
        self.stdout.write(
            f"expired: {gone.signals} signals, {gone.decisions} decisions, {gone.exports} exports, {pool} pool chunks"
        )
