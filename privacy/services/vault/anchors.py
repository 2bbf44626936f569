"""Anchor the end of the Trust Vault's chain outside the database: in a file, at an address, and by a time-stamping authority.

Whoever copies an older database back, head and all, then contradicts a line that they cannot reach.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from core.atomic_files import line_append
from core.errors import Conflict
from privacy.models import VaultCheck, VaultEvent
from privacy.services.vault.append import time_text
from privacy.services.vault.timestamps import head_timestamp, timestamps_differences

log = logging.getLogger(__name__)
_SECONDS = 10


def head_anchor(check: VaultCheck) -> None:
    """Anchor the head of a check that held, wherever settings say. What fails is logged, and the next check tries again."""
    if check.broken or not check.sequence:
        return
    if settings.VAULT_ANCHOR_FILE:
        try:
            line_append(
                Path(settings.VAULT_ANCHOR_FILE), f"{check.sequence} {check.head} {time_text(datetime.now(UTC))}"
            )
        except OSError as error:
            log.error("the Trust Vault's head cannot be written to VAULT_ANCHOR_FILE: %s", error.strerror)
    if settings.VAULT_ANCHOR_URL:
        try:
            _post(settings.VAULT_ANCHOR_URL, check)
        except OSError as error:
            log.error("the Trust Vault's head cannot be sent to VAULT_ANCHOR_URL: %s", type(error).__name__)
    if settings.VAULT_TSA_URL:
        try:
            head_timestamp(check)
        except OSError as error:
            log.error("the Trust Vault's head cannot be time-stamped by VAULT_TSA_URL: %s", type(error).__name__)
        except Conflict as error:
            log.error("the Trust Vault's head cannot be time-stamped by VAULT_TSA_URL: %s", error)


def _post(url: str, check: VaultCheck) -> None:
    body = json.dumps({"sequence": check.sequence, "head": check.head, "at": time_text(datetime.now(UTC))}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 (http or https, by settings)
    with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
        pass


def anchors_differences() -> Iterator[str]:
    """Compare the chain with the anchor file and the time stamps. Returns a sentence for the first difference in each."""
    yield from timestamps_differences()
    path = Path(settings.VAULT_ANCHOR_FILE) if settings.VAULT_ANCHOR_FILE else None
    if path is None or not path.exists():
        return
    with path.open() as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if len(words) != 3 or not words[0].isdecimal():
                yield f"line {number} of VAULT_ANCHOR_FILE is not an anchor"
                return
            if not VaultEvent.objects.filter(sequence=int(words[0]), hash=words[1]).exists():
                yield f"the chain has lost event {words[0]}, whose hash VAULT_ANCHOR_FILE holds since {words[2]}"
                return
