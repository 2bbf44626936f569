"""A message is signed by Standard Webhooks and posted once, in bounded time, to a checked address, without redirects."""

from __future__ import annotations

import ipaddress
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from core.errors import InputError
from notices.models import Notice, WebhookEndpoint
from notices.services import webhook_post as module
from notices.services.endpoints import endpoint_secret_renew
from notices.services.record import notice_record
from notices.services.web_addresses import AddressRefused, addresses_of, web_address_parsed
from notices.services.webhook_post import PostResult, SignedMessage, message_of, webhook_post
from notices.services.webhook_secrets import OVERLAP, signatures, webhook_secret
from tests.factories.receivers import Answer, Receiver, drip, is_genuine, receiver, silence, status

pytestmark = pytest.mark.django_db


def told() -> Notice:
    notice_record(
        kind="rollout_paused",
        key="deployment 3 paused",
        subject="r3al/policy",
        facts={"strategy": "canary", "version": "v3", "cause": "the reward fell, by 5% – or more"},
        link="/admin/deployments/deployment/3/change/",
    )
    return Notice.objects.get()


def post(to: Receiver, notice: Notice | None = None, *, now: datetime | None = None) -> PostResult:
    return webhook_post(message_of(notice or told(), to.endpoint(), now=now or datetime.now(UTC)))


class TestSigning:
    def test_the_published_vector_of_the_specification(self) -> None:
        """https://github.com/standard-webhooks/standard-webhooks, the test of every library."""
        at = datetime.fromtimestamp(1614265330, UTC)
        signed = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}'
        )
        assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_a_receiver_verifies_with_the_library_and_without_any(self, loopback: None) -> None:
        with receiver() as to:
            assert post(to) == PostResult("")
            heard, secret = to.heard[0], webhook_secret(WebhookEndpoint.objects.get())
        assert is_genuine(heard, secret)
        assert Webhook(secret).verify(heard.body, heard.headers) == heard.json
        changed = heard.body.replace(b"canary", b"parrot")
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, heard.headers)

    def test_the_message_says_what_happened(self, loopback: None) -> None:
        with override_settings(R3AL_PUBLIC_URL="https://r3al.example.org"), receiver() as to:
            notice = told()
            post(to, notice)
            heard = to.heard[0]
        assert heard.id == f"msg_{notice.public_id.hex}" and heard.headers["content-type"] == "application/json"
        assert heard.json == {
            "type": "rollout.paused",
            "timestamp": notice.created_at.isoformat(),
            "data": {
                "level": "warning",
                "subject": "r3al/policy",
                "sentence": "The canary of v3 in r3al/policy is paused: the reward fell, by 5% – or more.",
                "facts": {"strategy": "canary", "version": "v3", "cause": "the reward fell, by 5% – or more"},
                "link": "https://r3al.example.org/admin/deployments/deployment/3/change/",
            },
        }

    def test_secrets_are_not_stored_and_each_webhook_has_its_own(self, loopback: None) -> None:
        with receiver() as to:
            one, other = to.endpoint("one"), to.endpoint("other")
        assert webhook_secret(one) != webhook_secret(other)
        assert len(webhook_secret(one)) == len("whsec_") + 44
        stored = str(WebhookEndpoint.objects.values())
        assert webhook_secret(one).removeprefix("whsec_") not in stored

    def test_a_new_secret_signs_beside_the_last_one_for_a_day(self, loopback: None) -> None:
        with receiver() as to:
            endpoint = to.endpoint()
            first = webhook_secret(endpoint)
            endpoint_secret_renew(endpoint)
            second, changed = webhook_secret(endpoint), endpoint.secret_changed_at
            assert first != second and changed is not None
            webhook_post(message_of(told(), endpoint, now=datetime.now(UTC)))
            assert is_genuine(to.heard[0], first) and is_genuine(to.heard[0], second)
        later = signatures(endpoint, message="m", body="{}", now=changed + OVERLAP)
        assert later.split() == [Webhook(second).sign("m", changed + OVERLAP, "{}")]


class TestAnswers:
    @pytest.mark.parametrize("code", [200, 202, 204])
    def test_two_hundreds_are_delivered(self, code: int, loopback: None) -> None:
        with receiver(status(code)) as to:
            assert post(to) == PostResult("")

    @pytest.mark.parametrize(("code", "final"), [(400, False), (404, False), (410, True), (429, False), (500, False)])
    def test_an_error_is_its_status_and_only_gone_is_final(self, code: int, final: bool, loopback: None) -> None:
        with receiver(status(code)) as to:
            assert post(to) == PostResult(f"status {code}", final)

    @pytest.mark.parametrize("code", [301, 302, 307, 308])
    def test_a_redirect_is_refused_and_not_followed(self, code: int, loopback: None) -> None:
        with receiver() as elsewhere, receiver(status(code, Location=elsewhere.url)) as to:
            assert post(to) == PostResult(f"redirect refused ({code})")
            assert not elsewhere.heard

    @pytest.mark.parametrize("answer", [silence(30), drip])
    def test_a_receiver_that_never_ends_its_answer_costs_its_time_and_no_more(
        self, answer: Answer, loopback: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert (module.STEP_SECONDS, module.TOTAL_SECONDS) == (5, 15)
        monkeypatch.setattr(module, "STEP_SECONDS", 1.0)
        monkeypatch.setattr(module, "TOTAL_SECONDS", 2.0)
        with receiver(answer) as to:
            began = time.monotonic()
            assert post(to) == PostResult("no answer in time")
            assert time.monotonic() - began < 6

    def test_nobody_there_no_http_and_no_tls_are_told_apart(self, loopback: None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        assert webhook_post(SignedMessage(f"http://127.0.0.1:{port}/", {}, b"")).error == "no connection"

        def noise(handler: Any) -> None:
            handler.wfile.write(b"220 mail.example.org ESMTP\r\n")
            handler.close_connection = True

        with receiver(noise) as to:
            assert post(to).error == "no HTTP answer"
        with receiver() as plain:
            tls = plain.url.replace("http://", "https://")
            assert webhook_post(SignedMessage(tls, {}, b"")).error == "TLS failed"
        assert webhook_post(SignedMessage("https://no-such-host.invalid/", {}, b"")).error == "name not found"


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://example.org/hook", "plain http is for networks"),
            ("ftp://example.org/", "must begin with https"),
            ("https:///hook", "must begin with https"),
            ("//example.org", "must begin with https"),
            ("https://ann:pw@example.org/", "no user name"),
            ("https://example.org/#x", "fragment"),
            ("https://example.org:99999/", "cannot be read"),
            ("https://example.org/a b", "no blanks"),
            ("https://example.org/\r\nHost: x", "plain characters"),
            ("https://exämple.org/", "ASCII"),
            ("https://example.org/" + "x" * 500, "500"),
            ("https://127.0.0.1/", "may not reach"),
            ("https://10.0.0.8/", "may not reach"),
            ("https://169.254.169.254/latest/meta-data", "may not reach"),
            ("https://[::1]/", "may not reach"),
            ("https://[::ffff:10.0.0.1]/", "may not reach"),
            ("https://[64:ff9b::a00:1]/", "may not reach"),
            ("https://[fd00::1]/", "may not reach"),
            ("https://0.0.0.0/", "may not reach"),
            ("https://224.0.0.1/", "may not reach"),
        ],
    )
    def test_a_bad_address_is_refused_in_a_sentence(self, url: str, words: str) -> None:
        with pytest.raises(InputError, match="the address of a webhook") as error:
            web_address_parsed(url)
        assert words in str(error.value)

    @pytest.mark.parametrize(
        "url", ["https://example.org", "https://93.184.216.34:8443/a?b=c", "https://[2606:4700::1]/"]
    )
    def test_public_addresses_are_taken(self, url: str) -> None:
        assert web_address_parsed(url).scheme == "https"

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0x7f000001", "2130706433"])
    def test_however_this_machine_is_spelled_it_is_not_reached(self, host: str) -> None:
        with receiver() as to:
            port = to.url.split(":")[2].split("/")[0]
            assert webhook_post(SignedMessage(f"https://{host}:{port}/", {}, b"")).error == "address refused"
            assert not to.heard

    def test_only_the_network_that_settings_name_is_reached_by_plain_http(self) -> None:
        with override_settings(R3AL_WEBHOOK_NETWORKS=[ipaddress.ip_network("10.0.0.0/8")]):
            assert web_address_parsed("http://10.1.2.3/").port == 80
            with pytest.raises(InputError, match="by http"):
                web_address_parsed("http://93.184.216.34/")
            with pytest.raises(AddressRefused):
                addresses_of(web_address_parsed("http://localhost/"))

    def test_a_name_that_points_inside_as_well_as_outside_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def resolved(*_: Any, **__: Any) -> list[Any]:
            return [(0, 0, 0, "", (ip, 443)) for ip in ("93.184.216.34", "10.0.0.1")]

        address = web_address_parsed("https://example.org/")
        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        with pytest.raises(AddressRefused):
            addresses_of(address)


def test_the_overlap_of_secrets_is_a_day() -> None:
    assert timedelta(days=1) == OVERLAP
