"""A real worker delivers what a transaction left, on the queue that no health check waits in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction
from django_celery_beat.models import PeriodicTask

from jobs.schedules import schedules_sync
from notices.engine.kinds import Fact
from notices.models import Delivery, Notice
from notices.services.record import notice_record
from notices.services.webhook_secrets import webhook_secret
from notices.tasks import deliver
from tests.factories.receivers import LOOPBACK, is_genuine, receiver
from tests.races import wait_until
from tests.stack import Worker


@pytest.mark.django_db
def test_every_task_of_notices_has_the_queue_that_may_wait() -> None:
    schedules_sync()
    found = PeriodicTask.objects.filter(task__startswith="notices.").values_list("task", "queue", "interval__every")
    assert set(found) == {
        ("notices.deliver", "notices", 15), ("notices.watch", "notices", 60), ("notices.expire", "notices", 86_400),
    }  # fmt: skip
    assert not PeriodicTask.objects.exclude(task__startswith="notices.").filter(queue="notices").exists()


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_tells_what_was_committed(loopback: None, start_worker: Callable[..., Worker]) -> None:
    with receiver() as to:
        endpoint = to.endpoint()
        start_worker(R3AL_WEBHOOK_NETWORKS=LOOPBACK)
        for number, rolled_back in ((1, False), (2, True)):
            with transaction.atomic():
                facts: dict[str, Fact] = {"turn": number, "stage": "train"}
                notice_record(kind="turn_failed", key=str(number), subject="r3al", facts=facts)
                transaction.set_rollback(rolled_back)
        deliver.apply_async(queue="notices")
        assert wait_until(lambda: Delivery.objects.filter(state="delivered").exists())
        assert [heard.id for heard in to.heard] == [f"msg_{Notice.objects.get().public_id.hex}"]
        assert is_genuine(to.heard[0], webhook_secret(endpoint))
