"""What is told arrives at least once: after errors and silences, without blocking anybody else. No answer is stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db.models import F
from django.utils import timezone

from notices.engine.kinds import Fact
from notices.engine.retry_times import ATTEMPTS, JITTER, PAUSES
from notices.models import Delivery, Notice, WebhookEndpoint
from notices.services import deliver as module
from notices.services import webhook_post
from notices.services.deliver import HOLD_SECONDS, DeliveryCounts, deliveries_send, delivery_claim, delivery_finish
from notices.services.endpoints import endpoint_save
from notices.services.record import notice_record
from notices.services.send_out import notices_send_out
from notices.services.webhook_post import TOTAL_SECONDS, PostResult
from tests.factories.receivers import is_genuine, receiver, silence, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback")]


FACTS: dict[str, dict[str, Fact]] = {
    "turn_failed": {"turn": 1, "stage": "train"},
    "rollout_resumed": {"strategy": "canary", "version": "v1"},
}


def happened(number: int = 1, kind: str = "turn_failed") -> Notice:
    notice_record(kind=kind, key=f"{kind} {number}", subject="r3al", facts=FACTS[kind])
    return Notice.objects.get(key=f"{kind} {number}")


def tick() -> DeliveryCounts:
    notices_send_out()
    return deliveries_send()


def later(seconds: float) -> None:
    """Let time pass for what waits."""
    Delivery.objects.update(next_attempt_at=F("next_attempt_at") - timedelta(seconds=seconds))


@contextmanager
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(webhook_post, "STEP_SECONDS", 0.5)
    yield


def test_a_notice_arrives_and_is_done() -> None:
    with receiver() as to:
        to.endpoint()
        notice = happened()
        assert tick() == DeliveryCounts(1, 0) and tick() == DeliveryCounts(0, 0)
        assert [heard.id for heard in to.heard] == [f"msg_{notice.public_id.hex}"]
    delivery, endpoint = Delivery.objects.get(), WebhookEndpoint.objects.get()
    assert (delivery.state, delivery.attempts, delivery.token, delivery.last_error) == ("delivered", 1, "", "")
    assert endpoint.last_success_at is not None and endpoint.last_failure_at is None


def test_after_an_error_it_is_tried_again_with_the_same_id_and_a_new_time() -> None:
    with receiver(status(500), status(503), status(200)) as to:
        endpoint = to.endpoint()
        happened()
        assert tick() == DeliveryCounts(0, 1)
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.last_error, delivery.token) == ("pending", "status 500", "")
        pause = (delivery.next_attempt_at - timezone.now()).total_seconds()
        assert PAUSES[0] - 2 < pause <= PAUSES[0] * (1 + JITTER)
        assert tick() == DeliveryCounts(0, 0), "not before its time"
        later(PAUSES[0] * 1.2)
        assert tick() == DeliveryCounts(0, 1)
        endpoint.refresh_from_db()
        assert endpoint.last_error == "status 503" and endpoint.last_success_at is None
        later(PAUSES[1] * 1.2)
        assert tick() == DeliveryCounts(1, 0)
        assert len(to.heard) == 3 and len({heard.id for heard in to.heard}) == 1
        from notices.services.webhook_secrets import webhook_secret

        assert all(is_genuine(heard, webhook_secret(endpoint)) for heard in to.heard)
    endpoint.refresh_from_db()
    assert endpoint.last_error == ""


def test_after_ten_attempts_it_is_given_up_and_the_page_says_so_without_a_circle() -> None:
    with receiver(status(500)) as to:
        to.endpoint()
        happened()
        for _ in range(ATTEMPTS + 3):
            tick()
            later(2 * PAUSES[-1])
        assert len(to.heard) == ATTEMPTS
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("given_up", ATTEMPTS, "status 500")
    said = Notice.objects.get(kind="delivery_given_up")
    assert said.sentence == "Notices did not reach the webhook chat, after 10 attempts: status 500."
    assert not said.deliveries.exists()


def test_a_receiver_that_is_gone_is_given_up_at_once() -> None:
    with receiver(status(410)) as to:
        to.endpoint()
        happened()
        tick()
    assert Delivery.objects.get().state == "given_up"


def test_a_receiver_that_never_answers_costs_its_timeout_and_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with quick(monkeypatch), ExitStack() as stack:
        bad = stack.enter_context(receiver(silence(20)))
        good = [stack.enter_context(receiver()) for _ in range(3)]
        bad.endpoint("bad")
        for number, to in enumerate(good):
            to.endpoint(f"good-{number}")
        for number in range(5):
            happened(number)
        began = time.monotonic()
        assert tick() == DeliveryCounts(15, 1)
        assert time.monotonic() - began < 5
        assert [len(to.heard) for to in good] == [5, 5, 5] and len(bad.heard) == 1, "one attempt a run"
    waiting = Delivery.objects.filter(endpoint__name="bad")
    assert {d.state for d in waiting} == {"pending"} and sorted(d.attempts for d in waiting) == [0, 0, 0, 0, 1]


def test_a_thread_that_never_returns_is_given_up_and_its_late_answer_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that is silent cannot be interrupted."""
    monkeypatch.setattr(module, "_ATTEMPT_SECONDS", 0.3)
    with receiver(silence(1.5)) as to:
        to.endpoint()
        happened()
        began = time.monotonic()
        assert tick() == DeliveryCounts(0, 1)
        assert time.monotonic() - began < 1.2
    assert Delivery.objects.get().last_error == "no answer in time"


def test_a_claim_outlasts_every_attempt() -> None:
    assert HOLD_SECONDS > module._ATTEMPT_SECONDS > TOTAL_SECONDS


def test_of_two_claims_one_wins_and_a_lost_claim_writes_nothing() -> None:
    with receiver() as to:
        to.endpoint()
        happened()
        notices_send_out()
        pk = Delivery.objects.get().pk
        first = delivery_claim(pk, "a" * 32)
        assert first is not None and delivery_claim(pk, "b" * 32) is None
        later(HOLD_SECONDS + 1)  # the first worker froze
        second = delivery_claim(pk, "b" * 32)
        assert second is not None and second.attempts == 2
        assert not delivery_finish(first, "a" * 32, PostResult("status 500"))
        assert delivery_finish(second, "b" * 32, PostResult(""))
        assert not delivery_finish(first, "a" * 32, PostResult(""))
    assert Delivery.objects.get().state == "delivered"


def test_a_time_that_was_stored_before_the_clock_was_set_back_does_not_hold_up() -> None:
    with receiver() as to:
        to.endpoint()
        happened()
        notices_send_out()
        Delivery.objects.update(next_attempt_at=timezone.now() + timedelta(days=300))
        assert tick() == DeliveryCounts(1, 0)


def test_nothing_of_an_answer_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(status(500), status(200)) as to:
        to.endpoint()
        happened()
        tick()
        later(10)
        tick()
    stored = [list(model.objects.values()) for model in (Notice, Delivery, WebhookEndpoint)]
    assert "nobody may store this" not in str(stored)


class TestWhoHears:
    def test_each_webhook_hears_its_levels_and_kinds(self) -> None:
        with receiver() as to:
            for name, level, kinds in (
                ("all", "info", []),
                ("loud", "warning", []),
                ("one", "info", ["rollout_resumed"]),
            ):
                to.endpoint(name, least_level=level, kinds=kinds)
            to.endpoint("off", enabled=False)
            happened(1, "turn_failed")
            happened(2, "rollout_resumed")
            tick()
        ways = Delivery.objects.values_list("notice__kind", "endpoint__name").order_by("pk")
        assert list(ways) == [
            ("turn_failed", "all"), ("turn_failed", "loud"), ("rollout_resumed", "all"), ("rollout_resumed", "one"),
        ]  # fmt: skip

    def test_a_later_webhook_does_not_hear_the_past(self) -> None:
        happened()
        tick()
        with receiver() as to:
            to.endpoint()
            assert tick() == DeliveryCounts(0, 0)

    def test_what_waits_for_a_webhook_that_is_switched_off_is_given_up(self) -> None:
        with receiver(status(500)) as to:
            endpoint = to.endpoint()
            happened()
            tick()
            endpoint.enabled = False
            endpoint_save(endpoint)
            later(99)
            assert tick() == DeliveryCounts(0, 0)
        assert Delivery.objects.get().last_error == "switched off"
        assert not Notice.objects.filter(kind="delivery_given_up").exists()


class TestMail:
    def test_what_is_loud_goes_to_every_address_as_plain_text(self, settings: Any) -> None:
        settings.R3AL_NOTICE_EMAILS, settings.R3AL_NOTICE_FROM = (
            ["a@example.org", "b@example.org"],
            "R3AL <r@example.org>",
        )
        settings.R3AL_PUBLIC_URL = "https://r3al.example.org"
        loud = happened(1, "turn_failed")
        Notice.objects.filter(pk=loud.pk).update(link="/admin/turns/turn/1/change/")
        happened(2, "rollout_resumed")
        assert tick() == DeliveryCounts(1, 0)
        (sent,) = mail.outbox
        assert sent.subject == "[R3AL] Turn failed: r3al" and sent.to == ["a@example.org", "b@example.org"]
        assert sent.body.startswith("Turn 1 of r3al failed at its stage train.\n\nhttps://r3al.example.org/admin/turns")
        assert sent.extra_headers["Message-ID"] == f"<{loud.public_id.hex}@example.org>"
        assert sent.content_subtype == "plain"

    def test_without_addresses_nothing_is_mailed(self) -> None:
        happened()
        assert tick() == DeliveryCounts(0, 0) and not mail.outbox

    def test_a_mail_server_that_is_away_is_tried_again(self, settings: Any) -> None:
        settings.R3AL_NOTICE_EMAILS, settings.R3AL_NOTICE_FROM = ["a@example.org"], "r@example.org"
        settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1"
        settings.EMAIL_PORT = 1
        happened()
        assert tick() == DeliveryCounts(0, 1)
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.last_error) == ("pending", "no connection")
