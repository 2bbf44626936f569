"""The head is anchored outside the database, and a database put back contradicts the anchor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from privacy.models import VaultEvent, VaultHead, VaultKind
from privacy.services.vault.anchors import head_anchor
from privacy.services.vault.append import vault_append
from privacy.services.vault.verify import vault_audit, vault_check
from tests.tampering import tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Path:
    settings.VAULT_ANCHOR_FILE = str(tmp_path / "anchors")
    return tmp_path / "anchors"


def test_a_database_that_was_put_back_with_its_head_contradicts_the_file(file: Path) -> None:
    vault_append(kind=VaultKind.BUDGET, body={"n": 1})
    older = VaultHead.objects.get()
    last = vault_append(kind=VaultKind.BUDGET, body={"n": 2})
    head_anchor(vault_check())
    assert vault_audit().broken == ""
    tamper("DELETE FROM vault_events WHERE sequence = 2")
    tamper("UPDATE vault_heads SET sequence = 1, hash = %s, seal = %s", older.hash, older.seal)
    assert vault_audit().broken.startswith("the chain has lost event 2, whose hash VAULT_ANCHOR_FILE holds since ")
    assert file.read_text().split()[:2] == ["2", last.hash] and file.stat().st_mode & 0o777 == 0o600


def test_each_check_adds_a_line_and_a_broken_one_adds_none(file: Path) -> None:
    vault_append(kind=VaultKind.BUDGET, body={})
    for _ in (1, 2):
        head_anchor(vault_check())
    tamper("UPDATE vault_events SET kind = 'erasure'")
    head_anchor(vault_check())
    assert len(file.read_text().splitlines()) == 2


def test_a_file_that_was_damaged_is_said(file: Path) -> None:
    file.write_text("nothing\n")
    assert vault_audit().broken == "line 1 of VAULT_ANCHOR_FILE is not an anchor"


def test_a_file_that_cannot_be_written_is_logged_and_ends_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    vault_append(kind=VaultKind.BUDGET, body={})
    check = vault_check()
    file.mkdir()
    head_anchor(check)
    assert "cannot be written to VAULT_ANCHOR_FILE" in caplog.text


class _Receiver(BaseHTTPRequestHandler):
    heard: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/heads"
    server.shutdown()
    server.server_close()


def test_the_head_is_sent_to_an_address(settings: Any, address: str, caplog: pytest.LogCaptureFixture) -> None:
    settings.VAULT_ANCHOR_URL = address
    vault_append(kind=VaultKind.BUDGET, body={})
    head_anchor(vault_check())
    (heard,) = _Receiver.heard
    assert (heard["sequence"], heard["head"]) == (1, VaultEvent.objects.get().hash)
    settings.VAULT_ANCHOR_URL = "http://127.0.0.1:9/nobody"
    head_anchor(vault_check())
    assert "cannot be sent to VAULT_ANCHOR_URL" in caplog.text
