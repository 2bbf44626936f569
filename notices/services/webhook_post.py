"""Post a signed message to a webhook, in bounded time, to a checked address, without redirects. No answer's body is read."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from core.errors import InputError
from notices.engine.kinds import NOTICE_KINDS
from notices.models import Notice, WebhookEndpoint
from notices.services.web_addresses import AddressRefused, WebAddress, addresses_of, web_address_parsed
from notices.services.webhook_secrets import signatures

STEP_SECONDS = 5.0  # to connect, and for each silence while the receiver answers
TOTAL_SECONDS = 15.0  # from the first connection to the end of the answer's head
NO_ANSWER = "no answer in time"
_GONE = 410  # the receiver wants nothing any more (Standard Webhooks)
_TRIES = 3  # addresses of one host


@dataclass(frozen=True)
class SignedMessage:
    """What is posted: the address, the headers and the body."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class PostResult:
    """What became of a post. ``error`` is a class of errors in a few words ("": delivered). ``final``: another try is no use."""

    error: str
    final: bool = False


def message_of(notice: Notice, endpoint: WebhookEndpoint, *, now: datetime) -> SignedMessage:
    """Compose and sign the message of a notice. Every attempt has the same ``webhook-id``, by which receivers drop repeats."""
    data = {
        "level": notice.level,
        "subject": notice.subject,
        "sentence": notice.sentence,
        "facts": notice.facts,
        "link": link_of(notice),
    }
    kind = NOTICE_KINDS.get(notice.kind)
    return message_signed(
        endpoint,
        message=f"msg_{notice.public_id.hex}",
        type=kind.type if kind else notice.kind,  # a kind that a later version dropped
        at=notice.created_at,
        data=data,
        now=now,
    )


def message_signed(
    endpoint: WebhookEndpoint, *, message: str, type: str, at: datetime, data: Mapping[str, Any], now: datetime
) -> SignedMessage:
    """Compose and sign a message. Source: the specification of Standard Webhooks."""
    body = json.dumps({"type": type, "timestamp": at.isoformat(), "data": data}, ensure_ascii=False)
    headers = {
        "content-type": "application/json",
        "user-agent": "r3al-training-loop",
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures(endpoint, message=message, body=body, now=now),
    }
    return SignedMessage(endpoint.url, headers, body.encode())


def link_of(notice: Notice) -> str:
    """Return the address of the page about a notice, or its path where the installation's address is not set."""
    return f"{settings.R3AL_PUBLIC_URL}{notice.link}" if notice.link else ""


def webhook_post(message: SignedMessage) -> PostResult:
    """Post a message once. It raises nothing: what goes wrong is a result."""
    try:
        address = web_address_parsed(message.url)
        status = _status(address, addresses_of(address), message)
    except (AddressRefused, InputError):
        return PostResult("address refused")
    except socket.gaierror:
        return PostResult("name not found")
    except TimeoutError:
        return PostResult(NO_ANSWER)
    except ssl.SSLError:
        return PostResult("TLS failed")
    except http.client.HTTPException:
        return PostResult("no HTTP answer")
    except (OSError, ValueError):
        return PostResult("no connection")
    if 200 <= status < 300:
        return PostResult("")
    return PostResult(f"redirect refused ({status})" if 300 <= status < 400 else f"status {status}", status == _GONE)


def _status(address: WebAddress, numeric: list[str], message: SignedMessage) -> int:
    connection = _CheckedConnection(address, numeric)
    with _deadline(connection) as expired:
        try:
            connection.request("POST", address.target, message.body, dict(message.headers))
            status = connection.getresponse().status
        except (OSError, ValueError, http.client.HTTPException):
            if expired.is_set():
                raise TimeoutError from None
            raise
        finally:
            connection.close()
    if expired.is_set():  # http.client takes a head that was cut for a whole one
        raise TimeoutError
    return status


@contextmanager
def _deadline(connection: _CheckedConnection) -> Iterator[threading.Event]:
    """Cut a connection after ``TOTAL_SECONDS``, because a receiver that sends a byte at a time never falls silent."""
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        connection.cut()

    timer = threading.Timer(TOTAL_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


class _CheckedConnection(http.client.HTTPConnection):
    """A connection to addresses that were checked, so that a name cannot point elsewhere between the check and the connection."""

    def __init__(self, address: WebAddress, numeric: list[str]) -> None:
        super().__init__(address.host, address.port, timeout=STEP_SECONDS)
        self._address, self._numeric = address, numeric

    def connect(self) -> None:
        self.sock = self._connected()
        if self._address.scheme == "https":
            context = ssl.create_default_context()
            tls = context.wrap_socket(self.sock, server_hostname=self._address.host, do_handshake_on_connect=False)
            self.sock = tls
            tls.do_handshake()

    def _connected(self) -> socket.socket:
        *others, last = self._numeric[:_TRIES]
        for numeric in others:
            with suppress(OSError):
                return socket.create_connection((numeric, self._address.port), STEP_SECONDS)
        return socket.create_connection((last, self._address.port), STEP_SECONDS)

    def cut(self) -> None:
        """End the connection from another thread. Whoever waits for it hears an error."""
        if self.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
