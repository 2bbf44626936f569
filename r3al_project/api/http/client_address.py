"""Find the network address that a request came from."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_SUBSCRIBER_BITS = 64  # one IPv6 customer has at least this many addresses to choose from


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address, or None if the server does not know it. An IPv6 address stands for its /64 network.

    Clients write ``X-Forwarded-For`` themselves, so only its last ``NUM_PROXIES`` entries count: those that our proxies add.
    """
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    if settings.NUM_PROXIES and forwarded:
        found = _network(forwarded[-min(settings.NUM_PROXIES, len(forwarded))])
        if found is not None:
            return found
    return _network(request.META.get("REMOTE_ADDR", ""))


def _network(given: str) -> str | None:
    try:
        address = ip_address(given.partition("%")[0])
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    hosts = 128 - _SUBSCRIBER_BITS
    return str(IPv6Address(int(address) >> hosts << hosts))
