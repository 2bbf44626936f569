"""Decide which addresses a webhook may have, so that nobody can make the platform talk to machines inside its own network."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from core.errors import InputError
from notices.models import LONGEST_WEBHOOK_URL

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Public by name, but they lead inside where a network routes them so: local NAT64, site-local, and IPv4 in IPv6.
_LEADS_INSIDE = tuple(
    map(ipaddress.ip_network, ("64:ff9b:1::/48", "fec0::/10", "::/96", "::ffff:0:0:0/96", "2002::/16"))
)
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Exception):
    """Report that an address lies in a network that webhooks may not reach."""


@dataclass(frozen=True)
class WebAddress:
    """The parts of a webhook's address. ``target`` is the path with the query."""

    scheme: str
    host: str
    port: int
    target: str


def web_address_parsed(url: str) -> WebAddress:
    """Split a webhook's address. Raises InputError that says what is wrong with it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("cannot be read") from None
    if len(url) > LONGEST_WEBHOOK_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused(
            f"has at most {LONGEST_WEBHOOK_URL} plain characters and no blanks; write names of hosts in ASCII"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise _refused("must begin with https:// and a host")
    if parts.username is not None or parts.fragment:
        raise _refused("must hold no user name, password or fragment")
    if parts.scheme == "http" and not settings.R3AL_WEBHOOK_NETWORKS:
        raise _refused("must begin with https://; plain http is for networks in R3AL_WEBHOOK_NETWORKS alone")
    literal = _literal(host)
    if literal is not None and not may_reach(literal, parts.scheme):
        raise _refused(f"lies in a network that webhooks may not reach by {parts.scheme}; see R3AL_WEBHOOK_NETWORKS")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebAddress(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target)


def _refused(why: str) -> InputError:
    return InputError(f"the address of a webhook {why}", field="url")


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def addresses_of(address: WebAddress) -> list[str]:
    """Resolve a host to the addresses that a connection may use, all of which are allowed.

    One address that is not allowed refuses the host: a name that points inside as well as outside is a trap.
    Raises: AddressRefused. OSError when the name is not found.
    """
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    numeric = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if not all(may_reach(ipaddress.ip_address(each), address.scheme) for each in numeric):
        raise AddressRefused
    return numeric


def may_reach(address: IpAddress, scheme: str) -> bool:
    """Return whether a webhook may connect: by https to public addresses, and by either to networks that settings name."""
    real = _inside(address)
    if any(real in network for network in settings.R3AL_WEBHOOK_NETWORKS if network.version == real.version):
        return True
    if any(real in network for network in _LEADS_INSIDE if network.version == real.version):
        return False
    return scheme == "https" and real.is_global and not real.is_multicast


def _inside(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address carries, if it carries one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
