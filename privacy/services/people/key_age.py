"""Tell operators when the newest master key is old, so that they add a new one and rotate."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Min

from core import clock
from notices.services.record import notice_record
from privacy.models import DataKey, MasterKeyVersion
from privacy.selectors.keys import master_version_current

REMINDED_AFTER = 30  # days


@transaction.atomic
def key_age_check(*, now: datetime | None = None) -> bool:
    """Note since when the newest master key is in use, and tell once in 30 days that it is older than declared.

    Returns: whether operators are told now.
    """
    now, version = now or clock.now(), master_version_current()
    seen, _ = MasterKeyVersion.objects.get_or_create(version=version, defaults={"first_seen_at": _since(version, now)})
    days, declared = (now - seen.first_seen_at).days, settings.R3AL_KEY_DAYS
    if days < declared:
        return False
    return notice_record(
        kind="key_old",
        key=f"master key {version} old, reminder {(days - declared) // REMINDED_AFTER}",
        subject=f"Version {version} of DATA_MASTER_KEYS",
        facts={"days": days, "declared": declared},
        link="/admin/privacy-page/",
    )


def _since(version: int, now: datetime) -> datetime:
    """Return since when a version is in use: the first one since the oldest data key, a later one since it was first seen."""
    oldest: datetime | None = DataKey.objects.aggregate(oldest=Min("created_at"))["oldest"] if version == 1 else None
    return min(oldest or now, now)
