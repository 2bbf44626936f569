"""Receivers stand on this machine, which webhooks may not reach unless settings say so."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.factories.receivers import LOOPBACK


@pytest.fixture
def loopback(settings: Any) -> None:
    """Webhooks may reach this machine, by plain HTTP too."""
    settings.R3AL_WEBHOOK_NETWORKS = [ipaddress.ip_network(LOOPBACK)]
