"""Several worker processes deliver the same notices at once, and some are killed while they do."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from django.db import transaction
from django.db.models import F

from notices.models import Delivery, Notice
from notices.services import deliver
from notices.services.deliver import deliveries_send
from notices.services.record import notice_record
from notices.services.send_out import notices_send_out
from tests.factories.receivers import Receiver, receiver, status
from tests.fresh_database import create_tables
from tests.races import forked, in_processes, kill, kill_again_and_again, scenarios, wait_for_quiet, wait_until

NOTICES = 30


def main() -> dict[str, Any]:
    create_tables()
    deliver.HOLD_SECONDS = 1.0
    return scenarios(
        several_workers, killed_between_sending_and_marking, killed_anywhere, recorded_by_all_and_rolled_back_by_some, given=None
    )  # fmt: skip


def happen(name: str, number: int) -> None:
    notice_record(kind="turn_failed", key=f"{name} {number}", subject=name, facts={"turn": number, "stage": "train"})


def work(_: int) -> Counter[str]:
    notices_send_out()
    counts = deliveries_send()
    return Counter(delivered=counts.delivered, failed=counts.failed)


def work_alone(_: int) -> None:
    work(0)


def finished(to: Receiver, notices: int) -> dict[str, Any]:
    """Work until nothing is left, then say what was heard."""
    end = time.monotonic() + 60
    while Delivery.objects.filter(state="pending").exists() or Notice.objects.filter(sent_out_at=None).exists():
        work(0)
        time.sleep(0.2)
        assert time.monotonic() < end, "it is never delivered"
    heard = Counter(one.id for one in to.heard)
    return {
        "notices": notices,
        "heard": len(heard),
        "most": max(heard.values()),
        "states": dict(Counter(Delivery.objects.values_list("state", flat=True))),
    }


def several_workers(_: None) -> dict[str, Any]:
    with receiver() as to:
        to.endpoint("several")
        for number in range(NOTICES):
            happen("several", number)
        counts = in_processes(work)
        found = finished(to, NOTICES) | {"counts": counts}
    _remove("several")
    return found


def killed_between_sending_and_marking(_: None) -> dict[str, Any]:
    """The receiver has the message, and its sender dies before it hears the answer."""

    def slow(handler: Any) -> None:
        time.sleep(1.0)
        status(204)(handler)

    with receiver(slow, status(204)) as to:
        to.endpoint("killed")
        happen("killed", 1)
        worker = forked(work_alone, 0)
        assert wait_until(lambda: bool(to.heard))
        kill(worker)
        wait_for_quiet()
        before = Delivery.objects.get().state
        found = finished(to, 1) | {"before": before, "attempts": Delivery.objects.get().attempts}
    _remove("killed")
    return found


def killed_anywhere(_: None) -> dict[str, Any]:
    with receiver() as to:
        to.endpoint("anywhere")
        for number in range(NOTICES * 4):
            happen("anywhere", number)
        kill_again_and_again(work_alone, times=6, progress=lambda: len(to.heard), within=0.15)
        Delivery.objects.filter(state="pending").update(next_attempt_at=F("created_at"))
        found = finished(to, NOTICES * 4)
    _remove("anywhere")
    return found


def recorded_by_all_and_rolled_back_by_some(_: None) -> dict[str, Any]:
    """Eight processes tell of the same ten happenings; every second process rolls back."""

    def tell(process: int) -> Counter[str]:
        for number in range(10):
            with transaction.atomic():
                happen("all", number)
                if process % 2:
                    transaction.set_rollback(True)
        with transaction.atomic():
            happen("rolled back", process)
            transaction.set_rollback(True)
        return Counter(done=1)

    with receiver() as to:
        to.endpoint("all")
        counts = in_processes(tell)
        found = finished(to, 10) | {"counts": counts, "stored": Notice.objects.count()}
    _remove("all")
    return found


def _remove(name: str) -> None:
    from notices.models import WebhookEndpoint

    Notice.objects.all().delete()
    WebhookEndpoint.objects.filter(name=name).delete()
