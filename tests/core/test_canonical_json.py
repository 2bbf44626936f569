"""Canonical JSON: what is hashed has one sequence of bytes, and the older forms keep theirs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given

from core.canonical_json import canonical_json, equal_numbers_json, list_json, sorted_json
from loops.engine.parse.loop import parse_loop
from tests.factories.loops import SOURCE
from tests.factories.vault_bodies import bodies
from tests.system import ROOT
from tests.walls.source import modules


class TestTheStrictForm:
    @given(bodies())
    def test_what_is_read_back_has_the_same_bytes_whatever_its_order(self, body: dict[str, Any]) -> None:
        turned = dict(reversed(json.loads(json.dumps(body)).items()))
        assert canonical_json(turned) == canonical_json(body)

    def test_keys_are_sorted_and_nothing_is_escaped_or_spaced(self) -> None:
        assert canonical_json({"b": [1, True, None], "a": "ü"}) == '{"a":"ü","b":[1,true,null]}'.encode()

    @pytest.mark.parametrize(
        "value",
        [
            math.nan, math.inf, -math.inf, 1.0, -0.0, 1e300, b"raw", {1: 2}, {"a\0": 1}, "a\0", "\ud800", {"\udc00": 1},
            {1, 2}, object(), [[[math.nan]]],
        ],
    )  # fmt: skip
    def test_what_a_database_would_give_back_otherwise_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError):
            canonical_json({"value": value})

    def test_what_is_nested_deeper_than_any_event_is_refused(self) -> None:
        body: dict[str, Any] = {}
        for _ in range(2_000):
            body = {"a": body}
        with pytest.raises(ValueError, match="deep"):
            canonical_json(body)


class TestTheOlderForms:
    """Hashes of these bytes are stored: they never change."""

    def test_of_a_retry_numbers_that_are_equal_are_written_alike(self) -> None:
        facts = {"total": 1, "inputs": {"rating": 0.5, "privacy": True}, "label": "ü", "components": None}
        told = b'{"components":null,"inputs":{"privacy":true,"rating":0.5},"label":"\\u00fc","total":1.0}'
        assert equal_numbers_json(facts) == told == equal_numbers_json({**facts, "total": 1.0})
        assert equal_numbers_json({"total": True}) != equal_numbers_json({"total": 1})

    def test_of_a_request_only_the_order_of_keys_is_forgotten(self) -> None:
        assert sorted_json({"b": [1, 1.0], "a": "ü"}) == b'{"a":"\\u00fc","b":[1,1.0]}'

    def test_of_a_list_texts_with_spaces_are_kept_apart(self) -> None:
        assert list_json(("app", "a", "b c")) == b'["app", "a", "b c"]' != list_json(("app", "a b", "c"))

    def test_the_signature_of_a_loops_features_is_what_it_was(self) -> None:
        assert parse_loop(SOURCE, source="r3al.toml").features_signature.hex() == "949a66f3ab67281a"


def test_what_hashes_writes_no_json_of_its_own() -> None:
    found = set()
    for _, path in modules(ROOT):
        text = path.read_text()
        hashes = any(word in text for word in ("hashlib", "core.digests", "core.checksums"))
        if hashes and "json.dumps" in text:
            found.add(str(path.relative_to(ROOT)))
    assert not found
