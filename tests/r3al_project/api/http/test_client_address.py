"""Which address a request came from, whatever the client writes into its headers."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from r3al_project.api.http.client_address import client_address

PEER = "192.0.2.1"


def found(settings: Any, proxies: int, forwarded: str, peer: str = PEER) -> str | None:
    settings.NUM_PROXIES = proxies
    return client_address(RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR=peer))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", PEER),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        (2, "10.0.0.1, 198.51.100.7, 203.0.113.9", "198.51.100.7"),
        (2, "203.0.113.9", "203.0.113.9"),
        (1, "", PEER),
        (1, "nonsense", PEER),
    ],
)
def test_only_what_our_proxies_add_counts(settings: Any, proxies: int, forwarded: str, address: str) -> None:
    assert found(settings, proxies, forwarded) == address


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", None),
    ],
)
def test_one_ipv6_customer_is_one_address(settings: Any, peer: str, address: str | None) -> None:
    assert found(settings, 0, "", peer) == address
