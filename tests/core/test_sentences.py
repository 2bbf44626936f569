"""Texts end with one mark, whatever they ended with before."""

from __future__ import annotations

import pytest

from core.sentences import clause, sentence


@pytest.mark.parametrize("text", ["It is late", "It is late.", "It is late..", " It is late. "])
def test_one_full_stop(text: str) -> None:
    assert sentence(text) == "It is late." and clause(text) == "It is late"


def test_another_mark_stays_and_nothing_stays_nothing() -> None:
    assert sentence("Is it late?") == "Is it late?" and sentence("") == "" and clause("") == ""
