"""``manage.py notices`` lists what was told, tests a webhook now, and queues again what was given up."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from notices.models import Delivery, Notice
from notices.services.record import notice_record
from notices.services.webhook_secrets import webhook_secret
from tests.factories.receivers import is_genuine, receiver, status
from tests.factories.rows import NOW, Rows

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("notices", *arguments, stdout=out)
    return out.getvalue()


def test_the_list_is_newest_first_by_level_and_as_json() -> None:
    assert run("list") == "No notice yet.\n"
    notice_record(kind="turn_failed", key="1", subject="r3al", facts={"turn": 1, "stage": "train"})
    notice_record(kind="rollout_resumed", key="2", subject="s", facts={"strategy": "canary", "version": "v1"})
    lines = run("list").splitlines()
    assert lines[0].endswith("UTC  info     The canary of v1 in s goes on.")
    assert lines[1].endswith("UTC  warning  Turn 1 of r3al failed at its stage train.") and len(lines) == 2
    assert len(run("list", "--level", "warning").splitlines()) == len(run("list", "--last", "1").splitlines()) == 1
    assert json.loads(run("list", "--json", "--last", "1"))["kind"] == "rollout_resumed"
    with pytest.raises(CommandError, match="--last is 0"):
        run("list", "--last", "0")


def test_a_test_is_sent_now_and_said_and_not_stored(loopback: None) -> None:
    with receiver(status(204), status(503)) as to:
        endpoint = to.endpoint(enabled=False)
        assert run("test-webhook", "chat").startswith("The webhook chat took the test in 0.")
        with pytest.raises(CommandError, match="the webhook 'chat' did not take the test: status 503, after"):
            run("test-webhook", "chat")
        assert to.heard[0].json["type"] == "test" and is_genuine(to.heard[0], webhook_secret(endpoint))
    assert not Notice.objects.exists() and not Delivery.objects.exists()


def test_an_unknown_webhook_is_one_sentence(loopback: None) -> None:
    with pytest.raises(CommandError, match="there is no webhook 'chat'; add one in the admin first"):
        run("test-webhook", "chat")
    with receiver() as to:
        to.endpoint("pager")
    with pytest.raises(CommandError, match="choose one of: pager"):
        run("retry", "chat")


def test_what_was_given_up_is_queued_again_of_one_webhook_or_of_all() -> None:
    rows = Rows()
    over = {"state": "given_up", "finished_at": NOW, "attempts": 10, "last_error": "status 500"}
    webhook, mail = rows.fresh(Delivery, **over), rows.fresh(Delivery, endpoint=None, **over)
    done = rows.fresh(Delivery, state="delivered", finished_at=NOW)
    assert run("retry", webhook.endpoint.name) == "1 delivery is queued again.\n"
    mail.refresh_from_db()
    assert mail.state == "given_up"
    assert run("retry") == "1 delivery is queued again.\n" and run("retry") == "Nothing was given up.\n"
    assert set(Delivery.objects.exclude(pk=done.pk).values_list("state", "attempts", "finished_at")) == {
        ("pending", 0, None)
    }
