"""The bell counts what an operator has not seen; the page lists notices, newest first, and marks them as seen."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from notices.models import Notice, NoticeSeen
from notices.selectors import MOST_COUNTED, notices_page, notices_unseen
from notices.services.record import notice_record
from notices.services.seen import notices_mark_seen
from r3al_project.permissions import VIEW_NOTICES, VIEW_VERSIONS
from tests.factories.users import browser, staff

pytestmark = pytest.mark.django_db
PAGE, SEEN = "/r3al/notices/", "/r3al/notices/seen/"


def happen(*numbers: int) -> list[Notice]:
    for number in numbers:
        notice_record(
            kind="turn_failed",
            key=f"t{number}",
            subject="r3al<b>",
            facts={"turn": number, "stage": "train"},
            link="/admin/",
        )
    return list(Notice.objects.order_by("pk"))


def bell(client: Client, page: str = PAGE) -> str:
    found = re.search(
        r'class="r3-bell" href="/r3al/notices/" aria-label="Notices: (.+?)"', client.get(page).content.decode()
    )
    return found[1] if found else ""


def rows(client: Client, page: str = PAGE) -> list[int]:
    return [int(turn) for turn in re.findall(r"Turn (\d+) of r3al&lt;b&gt; failed", client.get(page).content.decode())]


def test_the_bell_counts_until_all_are_seen_and_then_what_is_new() -> None:
    client = staff(VIEW_NOTICES, VIEW_VERSIONS)
    assert bell(client) == "all seen"
    newest = happen(1, 2, 3)[-1].pk
    assert bell(client) == "3 not seen" == bell(client, reverse("admin:index"))
    happen(4)  # after the page was shown
    assert client.post(SEEN, {"newest": newest}).headers["Location"] == PAGE
    assert bell(client) == "1 not seen"
    text = client.get(PAGE).content.decode()
    assert text.count('class="np-mark">new') == 1 and 'class="r3-count" aria-hidden="true">1<' in text


def test_each_operator_has_seen_their_own() -> None:
    one, other = staff(VIEW_NOTICES), staff(VIEW_NOTICES, name="other")
    one.post(SEEN, {"newest": happen(1)[-1].pk})
    assert (bell(one), bell(other)) == ("all seen", "1 not seen")


def test_the_bell_forgets_after_thirty_days_and_counts_to_ninety_nine() -> None:
    user = User.objects.create_user("ann")
    happen(1, 2)
    Notice.objects.filter(key="t1").update(created_at=timezone.now() - timedelta(days=31))
    assert notices_unseen(user.pk) == 1
    happen(*range(10, 10 + MOST_COUNTED + 5))
    assert notices_unseen(user.pk) == MOST_COUNTED
    assert bell(staff(VIEW_NOTICES)) == "99+ not seen"


def test_seeing_never_goes_back_and_never_ahead() -> None:
    user = User.objects.create_user("ann")
    newest = happen(1, 2)[-1].pk
    for up_to in (newest, 1, 10**15):
        notices_mark_seen(user_id=user.pk, up_to=up_to)
        assert NoticeSeen.objects.get().last_seen == newest
    happen(3)
    assert notices_unseen(user.pk) == 1


def test_the_newest_come_first_and_pages_stay_put_while_new_ones_come() -> None:
    client = staff(VIEW_NOTICES)
    happen(*range(1, 121))
    first = client.get(PAGE).content.decode()
    assert rows(client) == list(range(120, 70, -1))
    older = re.findall(r'href="\?before=(\d+)"', first)
    happen(121)
    assert rows(client, f"{PAGE}?before={older[0]}") == list(range(70, 20, -1))
    last = notices_page(before=Notice.objects.get(key="t21").pk)
    assert [n.key for n in last.notices][:1] == ["t20"] and last.older is None


@pytest.mark.parametrize("before", ["x", "-1", "1" * 40, "²", "1 OR 1=1", ""])
def test_a_wrong_number_shows_the_newest(before: str) -> None:
    happen(1)
    assert rows(staff(VIEW_NOTICES), f"{PAGE}?before={before}") == [1]


def test_a_notice_is_said_in_words_and_leads_to_its_page() -> None:
    happen(1)
    text = staff(VIEW_NOTICES).get(PAGE).content.decode()
    assert "Turn failed" in text and "turn_failed" not in text and '<a href="/admin/">Turn 1 of' in text
    assert "r3al<b>" not in text


def test_only_who_may_see_notices_sees_the_page_or_the_bell(client: Client) -> None:
    happen(1)
    nobody = staff(VIEW_VERSIONS)
    assert nobody.get(PAGE).status_code == 403 and nobody.post(SEEN, {"newest": 1}).status_code == 403
    assert bell(nobody, reverse("admin:index")) == ""
    assert client.get(PAGE).status_code == 302 and not NoticeSeen.objects.exists()


def test_marking_is_a_post() -> None:
    assert staff(VIEW_NOTICES).get(SEEN).status_code == 405


@pytest.mark.parametrize(
    ("role", "webhooks"), [("Operator", 200), ("Privacy officer", 403), ("Analyst", 403), ("Viewer", 403)]
)
def test_every_role_sees_notices_and_operators_alone_see_where_they_go(role: str, webhooks: int) -> None:
    call_command("roles", verbosity=0)
    client = browser(role)
    assert client.get(PAGE).status_code == 200
    assert client.get(reverse("admin:notices_webhookendpoint_changelist")).status_code == webhooks
    assert client.get(reverse("admin:notices_delivery_changelist")).status_code == webhooks


def test_the_bell_costs_a_page_one_query() -> None:
    user = User.objects.create_user("ann")
    happen(1)
    with CaptureQueriesContext(connection) as seen:
        assert notices_unseen(user.pk) == 1
    assert len(seen) == 1
