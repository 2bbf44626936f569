"""Where there is no pip at all, the pinned one is fetched from the registry, and nothing else is accepted in its place."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import bootstrap

pytestmark = pytest.mark.embedded

WHEEL = b"bytes of a wheel"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on this machine that offers ``WHEEL`` under the pinned name, by a relative link with a fragment."""
    (tmp_path / "simple" / "pip").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / bootstrap.PIP_WHEEL).write_bytes(WHEEL)
    page = tmp_path / "simple" / "pip" / "index.html"
    page.write_text(f'<a href="../../files/{bootstrap.PIP_WHEEL}#sha256=0">{bootstrap.PIP_WHEEL}</a>')
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.delenv("PIP_CERT", raising=False)
    yield page
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_pinned_wheel_is_fetched(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PIP_SHA256", hashlib.sha256(WHEEL).hexdigest())
    assert bootstrap._fetch_pip() == WHEEL


def test_a_wheel_with_another_hash_is_refused(registry: Path) -> None:
    with pytest.raises(bootstrap.Stop, match="hash differs"):
        bootstrap._fetch_pip()


def test_a_registry_without_it_is_named(registry: Path) -> None:
    registry.write_text("")
    with pytest.raises(bootstrap.Stop, match=r"/simple/pip/ does not offer pip-"):
        bootstrap._fetch_pip()


def test_a_registry_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(bootstrap.Stop, match=r":1/simple/pip/ cannot be read"):
        bootstrap._fetch_pip()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "its hash differs"),
        ("WARNING: Retrying: Temporary failure in name resolution\nERROR: No matching", "registry cannot be reached"),
        ("ERROR: one\nERROR: No matching distribution found for x", "No matching distribution found for x"),
        ("", "it printed no output"),
    ],
)
def test_what_pip_said_becomes_one_sentence(output: str, sentence: str) -> None:
    reason = bootstrap._failure_sentence(output)
    assert sentence in reason and "\n" not in reason


def test_both_locks_pin_the_same_versions() -> None:
    """So that an environment for development counts as one for running."""
    assert bootstrap._pins(bootstrap.RUNTIME) <= bootstrap._pins(bootstrap.DEVELOPMENT)
