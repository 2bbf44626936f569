"""Canonical JSON, the hash of an event, and Merkle roots."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.engine.hash_chain import canonical_json, event_hash, merkle_root
from tests.privacy.engine.bodies import bodies

EVENT: dict[str, Any] = {
    "sequence": 7,
    "kind": "release",
    "at": "2025-03-03T12:00:00.000000+00:00",
    "subject": "ab" * 32,
    "body": {"release": 3, "epsilon": 0.5},
    "previous": "cd" * 32,
}


class TestCanonical:
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


class TestEventHash:
    @pytest.mark.parametrize("name", sorted(EVENT))
    def test_every_fact_of_an_event_is_in_its_hash(self, name: str) -> None:
        other: Any = {"release": 3, "epsilon": 0.25} if name == "body" else 8 if name == "sequence" else "x"
        assert event_hash(**{**EVENT, name: other}) != event_hash(**EVENT)

    def test_it_is_sha256_over_the_canonical_event(self) -> None:
        told = b'{"at":"2025-03-03T12:00:00.000000+00:00","body":{"epsilon":0.5,"release":3},"kind":"release",'
        told += f'"previous":"{"cd" * 32}","sequence":7,"subject":"{"ab" * 32}"}}'.encode()
        assert event_hash(**EVENT) == hashlib.sha256(told).hexdigest()


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class TestMerkleRoot:
    LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)

    def test_of_three_leaves_by_hand(self) -> None:
        a, b, c = (bytes([i]) * 32 for i in range(3))
        pair = sha(b"\1" + sha(b"\0" + a) + sha(b"\0" + b))
        assert merkle_root([a, b, c]) == sha(b"\1" + pair + sha(b"\0" + c))
        assert merkle_root([a]) == sha(b"\0" + a)

    @given(LEAVES, st.data())
    def test_any_other_leaves_have_another_root(self, leaves: list[bytes], data: st.DataObject) -> None:
        i = data.draw(st.integers(0, len(leaves) - 1))
        flipped = bytes([leaves[i][0] ^ 1]) + leaves[i][1:]
        root = merkle_root(leaves)
        assert merkle_root([*leaves[:i], flipped, *leaves[i + 1 :]]) != root
        assert merkle_root([*leaves, leaves[-1]]) != root
        if len(leaves) > 1:
            assert merkle_root(leaves[:-1]) != root and merkle_root(leaves[::-1]) != root

    def test_there_is_none_without_leaves(self) -> None:
        with pytest.raises(ValueError, match="leaf"):
            merkle_root([])
