"""Opening sealed payloads among many: a damaged one stops nothing else, and its log line promises no more than is true."""

from __future__ import annotations

import logging

import pytest

from privacy.engine.sealing import Cipher, new_key
from privacy.selectors.keys import payload_opened


def test_a_damaged_payload_is_left_out_and_the_log_says_what_a_verification_covers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The Trust Vault covers states and outcomes, and no signal."""
    cipher = Cipher(new_key())
    sealed = cipher.seal(b"calm", b"about")
    assert payload_opened(cipher, sealed, b"about", b"nothing") == b"calm" and not caplog.records
    with caplog.at_level(logging.ERROR):
        assert payload_opened(cipher, sealed[:-1] + b"?", b"about", b"nothing") == b"nothing"
    (line,) = caplog.messages
    assert "unless it is a signal, `manage.py verify_vault` finds it" in line and "calm" not in line
