"""The hash of an event, and Merkle roots."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.engine.hash_chain import event_hash, merkle_root

EVENT: dict[str, Any] = {
    "sequence": 7,
    "kind": "release",
    "at": "2025-03-03T12:00:00.000000+00:00",
    "subject": "ab" * 32,
    "body": {"release": 3, "epsilon": 0.5},
    "previous": "cd" * 32,
}


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
