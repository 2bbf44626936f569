"""Note which notices an operator has seen."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max

from notices.models import Notice, NoticeSeen


@transaction.atomic
def notices_mark_seen(*, user_id: int, up_to: int) -> None:
    """Note that an operator has seen all notices up to one, such as the newest on the page. It never goes back."""
    newest: int = Notice.objects.aggregate(newest=Max("pk"))["newest"] or 0
    seen, _ = NoticeSeen.objects.get_or_create(user_id=user_id)
    NoticeSeen.objects.filter(pk=seen.pk, last_seen__lt=min(up_to, newest)).update(last_seen=min(up_to, newest))
