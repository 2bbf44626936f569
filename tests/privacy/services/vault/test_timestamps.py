"""The head is time-stamped by an authority (RFC 3161), and a chain that was written anew contradicts its answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from privacy.models import VaultEvent, VaultKind
from privacy.services.vault.anchors import head_anchor
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import chain_hash, head_seal
from privacy.services.vault.verify import vault_audit, vault_check
from tests.factories.tsa import answering, authority
from tests.tampering import tamper

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("tsa") / "authority"
    root = authority(folder)
    with answering(folder) as url:
        yield url, root


@pytest.fixture
def tokens(settings: Any, tsa: tuple[str, Path], tmp_path: Path) -> Path:
    settings.VAULT_TSA_URL, settings.VAULT_TSA_ROOTS = tsa[0], str(tsa[1])
    settings.VAULT_TSA_FOLDER = str(tmp_path / "tokens")
    return tmp_path / "tokens"


def stamped() -> VaultEvent:
    event = vault_append(kind=VaultKind.BUDGET, body={"n": 1})
    head_anchor(vault_check())
    return event


def test_the_head_is_stamped_once_and_openssl_reads_the_answer(tokens: Path, tsa: tuple[str, Path]) -> None:
    event = stamped()
    token = tokens / "1.tsr"
    first = token.read_bytes()
    head_anchor(vault_check())
    assert token.read_bytes() == first and token.stat().st_mode & 0o777 == 0o600 and len(list(tokens.iterdir())) == 1
    (data := tokens.parent / "head").write_text(event.hash)
    command = ["openssl", "ts", "-verify", "-data", str(data), "-in", str(token), "-CAfile", str(tsa[1])]
    assert "OK" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert vault_audit().broken == ""


def test_a_chain_that_the_holder_of_the_keys_wrote_anew_contradicts_the_answer(tokens: Path) -> None:
    event = stamped()
    facts = {"sequence": 1, "kind": event.kind, "at": event.at.isoformat(timespec="microseconds"), "subject": ""}
    digest = chain_hash(**facts, body={"n": 2}, previous=event.previous_hash)
    tamper("UPDATE vault_events SET body = %s, hash = %s", '{"n": 2}', digest)
    tamper("UPDATE vault_heads SET hash = %s, seal = %s", digest, head_seal(1, digest))
    assert vault_audit().broken.startswith("the time stamp in VAULT_TSA_FOLDER does not fit event 1: ")


def test_an_event_that_is_gone_is_missed(tokens: Path) -> None:
    stamped()
    (tokens / "1.tsr").rename(tokens / "7.tsr")
    assert vault_audit().broken == "the chain has lost event 7, of which VAULT_TSA_FOLDER holds a time stamp"


def test_an_answer_that_was_damaged_is_said(tokens: Path) -> None:
    stamped()
    (tokens / "1.tsr").write_bytes(b"nothing")
    assert "cannot be trusted" in vault_audit().broken


def test_an_answer_of_another_authority_is_not_stored(
    tokens: Path, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.VAULT_TSA_ROOTS = str(authority(tmp_path / "other"))
    stamped()
    assert "cannot be trusted" in caplog.text and not tokens.exists()


def test_an_authority_that_is_away_is_logged_and_ends_nothing(
    tokens: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.VAULT_TSA_URL = "http://127.0.0.1:9/nobody"
    stamped()
    assert "cannot be time-stamped by VAULT_TSA_URL" in caplog.text and not tokens.exists()
