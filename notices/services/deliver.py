"""Deliver notices at least once: to each webhook and by e-mail, with ten attempts over three days.

A worker claims a delivery by a conditional UPDATE that also says until when it holds it. A worker that dies leaves a claim that
ends, and another worker then sends the same message again. Receivers drop repeats by the message's id.
"""

from __future__ import annotations

import queue
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import F, Min, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from core.durations import CLOCK_TOLERANCE
from jobs.leases import from_now
from notices.engine.retry_times import JITTER, PAUSES, pause_after
from notices.models import Delivery, DeliveryState, WebhookEndpoint
from notices.services.mail import notice_mail
from notices.services.record import list_page, notice_record
from notices.services.webhook_post import NO_ANSWER, TOTAL_SECONDS, PostResult, message_of, webhook_post

HOLD_SECONDS = 60.0  # for which a worker holds a delivery; longer than an attempt may take
_ATTEMPT_SECONDS = 2 * TOTAL_SECONDS  # a name server that is silent counts too
_RUN_SECONDS = 40.0  # after which a run begins no further attempt
_AT_ONCE = 16
_LATEST = PAUSES[-1] * (1 + JITTER) + CLOCK_TOLERANCE.total_seconds()


@dataclass(frozen=True)
class DeliveryCounts:
    """How many attempts of a run were delivered, and how many failed."""

    delivered: int
    failed: int


@dataclass(frozen=True)
class _Attempt:
    """A claimed delivery, and when its worker stops waiting for it (monotonic seconds)."""

    delivery: Delivery
    token: str
    until: float


def deliveries_send() -> DeliveryCounts:
    """Attempt every delivery that is due, several ways at once. Returns the counts.

    Each way has one attempt at a time. A way whose attempt failed is left alone until the next run, so that a receiver that never
    answers costs one attempt, in a thread of its own.
    """
    return _Run().work()


class _Run:
    """One run over what is due. Threads talk to other machines, and this thread alone to the database."""

    def __init__(self) -> None:
        self._open: dict[str, _Attempt] = {}  # by token
        self._left_alone: set[int | None] = set()
        self._results: queue.SimpleQueue[tuple[str, PostResult]] = queue.SimpleQueue()
        self._delivered = self._failed = 0

    def work(self) -> DeliveryCounts:
        end = time.monotonic() + _RUN_SECONDS
        while True:
            if time.monotonic() < end:
                self._begin_due()
            if not self._open:
                return DeliveryCounts(self._delivered, self._failed)
            self._collect()

    def _begin_due(self) -> None:
        busy = {attempt.delivery.endpoint_id for attempt in self._open.values()} | self._left_alone
        for pk in _oldest_of_each_way(busy, _AT_ONCE - len(self._open)):
            token = secrets.token_hex(16)
            if delivery := delivery_claim(pk, token):
                self._open[token] = _Attempt(delivery, token, time.monotonic() + _ATTEMPT_SECONDS)
                threading.Thread(target=self._send, args=(token, _sender(delivery)), daemon=True).start()

    def _send(self, token: str, send: Callable[[], PostResult]) -> None:
        """Run in a thread of its own."""
        result = PostResult("the program failed")
        try:
            result = send()
        finally:
            self._results.put((token, result))

    def _collect(self) -> None:
        """Store the next result, or the silence of an attempt whose time is over."""
        first = min(self._open.values(), key=lambda attempt: attempt.until)
        try:
            token, result = self._results.get(timeout=max(0.0, first.until - time.monotonic()))
        except queue.Empty:
            token, result = first.token, PostResult(NO_ANSWER)
        attempt = self._open.pop(token, None)
        if attempt is None:  # it was given up before it answered
            return
        delivery_finish(attempt.delivery, token, result)
        if result.error:
            self._left_alone.add(attempt.delivery.endpoint_id)
        self._delivered += not result.error
        self._failed += bool(result.error)


def _due() -> QuerySet[Delivery]:
    """Return the deliveries that may be attempted. A time beyond every pause was stored before the clock was set back."""
    come = Q(next_attempt_at__lte=Now()) | Q(next_attempt_at__gt=from_now(_LATEST))
    reachable = Q(endpoint__isnull=True) | Q(endpoint__enabled=True)
    return Delivery.objects.filter(come, reachable, state=DeliveryState.PENDING)


def _oldest_of_each_way(busy: set[int | None], most: int) -> list[int]:
    due = _due().exclude(endpoint__in=[way for way in busy if way is not None])
    if None in busy:
        due = due.exclude(endpoint__isnull=True)
    ways = due.values("endpoint").annotate(oldest=Min("pk"), since=Min("next_attempt_at")).order_by("since", "oldest")
    return list(ways.values_list("oldest", flat=True)[: max(most, 0)])


def delivery_claim(pk: int, token: str) -> Delivery | None:
    """Claim a delivery that is due, for ``HOLD_SECONDS``. Returns it, or None when somebody else has it."""
    come = Q(next_attempt_at__lte=Now()) | Q(next_attempt_at__gt=from_now(_LATEST))
    claimed = Delivery.objects.filter(come, pk=pk, state=DeliveryState.PENDING).update(
        token=token, attempts=F("attempts") + 1, next_attempt_at=from_now(HOLD_SECONDS)
    )
    return Delivery.objects.select_related("notice", "endpoint").get(pk=pk) if claimed else None


def _sender(delivery: Delivery) -> Callable[[], PostResult]:
    if delivery.endpoint is None:
        return partial(notice_mail, delivery.notice)
    return partial(webhook_post, message_of(delivery.notice, delivery.endpoint, now=timezone.now()))


@transaction.atomic
def delivery_finish(delivery: Delivery, token: str, result: PostResult) -> bool:
    """Store what became of an attempt. Returns whether this worker still held the delivery."""
    pause = None if result.final else pause_after(delivery.attempts, random.random())  # noqa: S311 (no secret)
    if not result.error:
        columns = {"state": DeliveryState.DELIVERED, "finished_at": Now(), "last_error": ""}
    elif pause is None:
        columns = {"state": DeliveryState.GIVEN_UP, "finished_at": Now(), "last_error": result.error}
    else:
        columns = {"next_attempt_at": from_now(pause), "last_error": result.error}
    held = Delivery.objects.filter(pk=delivery.pk, token=token, state=DeliveryState.PENDING)
    if not held.update(token="", **columns):
        return False
    _note(delivery, result)
    if result.error and pause is None:
        _given_up(delivery, result.error)
    return True


def _note(delivery: Delivery, result: PostResult) -> None:
    """Write the result into the webhook's row, where operators look first."""
    if delivery.endpoint is None:
        return
    when = "last_failure_at" if result.error else "last_success_at"
    WebhookEndpoint.objects.filter(pk=delivery.endpoint.pk).update(**{when: Now(), "last_error": result.error})


def _given_up(delivery: Delivery, error: str) -> None:
    """Say on the page that a way does not work, once a day."""
    way = f"webhook {delivery.endpoint_id}" if delivery.endpoint else "e-mail"
    notice_record(
        kind="delivery_given_up",
        key=f"given up {way} {timezone.now():%Y-%m-%d}",
        subject=f"the webhook {delivery.endpoint.name}" if delivery.endpoint else "the addresses of R3AL_NOTICE_EMAILS",
        facts={"attempts": delivery.attempts, "cause": error},
        link=list_page(Delivery),
    )
