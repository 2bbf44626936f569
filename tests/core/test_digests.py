"""Keyed digests: each context has its own key and one place in the code; the permanent ones keep their first values."""

from __future__ import annotations

import ast
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from django.test import override_settings

from core import digests
from core.digests import CONTEXTS, Context, keyed
from tests.system import ROOT
from tests.walls.source import modules, parsed

HOME = ROOT / "core/digests.py"
NAMES = {name: value for name, value in vars(digests).items() if isinstance(value, Context)}
ONE_KEY = {"VAULT_PERSON", "VAULT_GROUP", "VAULT_LEAF"}
# Computed once under this salt, by version 0.4.0 or when the context was new.
# What is stored under these contexts depends on them: they never change.
SALT = "a-salt-for-vectors"
FIRST = [
    ("PERSON", ("app", "ann"), "47ebdc182ba75298687e36c7c9bada86258f3307a8d062268aa2465382cf554f"),
    ("FOLD", ("app", "ann"), "72eddd89c3c2e1b9d01e4be430396990400a150aa6c81201a11bb6446ab31f11"),
    ("TOMBSTONE", ("app", "k"), "65302cd43e034ba585a2b7f83b8318cce0122d353181a0d0d287a4aaecf778d3"),
    ("VAULT_PERSON", ("app", "k"), "65e0950fa1d631aa66903ad30763830795b4221482ee80aabe4ff80102380bb3"),
    ("VAULT_GROUP", ("ab\ncd",), "637232a45bfd219119a250d97d2e9b589ce710ad39fc8d6fd332be390610da2e"),
    ("VAULT_LEAF", (b'{"id":"1"}',), "78bb4232fb875103906e30e5d678187909cc5a2c1e4576baf2f5ed049eebe0bc"),
    ("IMPORTED_ROW", ('["app", "ann", "1"]',), "2b7faf57dbb2d4e44bfbedd79a432c99"),
    ("WEBHOOK_SECRET", (b"\0" * 16, "1"), "db614e5d1e7778285c384972759ba25fe78d2ea50478b21a06c8bfa1c49f1cc2"),
    ("VAULT_CHAIN", (b"{}",), "74bfd08bff282669ee7728e97dcd8d5b44d7fd0abab04374673c46d98f763fd5"),
    ("VAULT_HEAD", ("1", "ab"), "967fc7fb9a0a7f1198f94a5d8e8d9c6be4fcb579c31b1801b0267106212d70fe"),
    ("VAULT_ROW", ("consents", b"[1]"), "b412be6a14f519f3c80b4dd274b965e4cf072da267cd4398a686135692ace14e"),
    ("REWARD_ID", ("x",), "4a87c339f20a394646823de99e9aa0ad"),
    ("REWARD_CONTENT", (b"x",), "96a9f5663a6bb9a50c084812d40e63c2"),
    ("SIGNAL_ID", ("x",), "6ce848de65f9fc9799cd5ff9173eb846"),
    ("SIGNAL_CONTENT", (b"x",), "17843c629d55db32f1fcac9107fd44ff"),
    ("DECISION_REQUEST", ("r1",), "4a14c5c6ad23bf78b20ca72b6290dafa"),
    ("DECISION_SEED", ("k", b"{}"), "9e9d812aede3812ac2b5081cd0846ebc"),
]


def sources() -> dict[Path, ast.Module]:
    return {path: parsed(path) for _, path in modules(ROOT) if path != HOME}


def names_used(tree: ast.Module) -> set[str]:
    """What a module imports of digests."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {a.name for node in imports if node.module == digests.__name__ for a in node.names}


@pytest.mark.parametrize(("name", "parts", "expected"), FIRST)
def test_a_permanent_context_gives_what_it_gave_first(name: str, parts: tuple[str | bytes, ...], expected: str) -> None:
    with override_settings(ANONYMIZATION_SALT=SALT):
        assert keyed(NAMES[name], *parts).hex() == expected


def test_every_context_is_listed_and_those_whose_digests_are_kept_are_pinned() -> None:
    assert set(CONTEXTS) == set(NAMES.values()) and len(CONTEXTS) == len(NAMES)
    pinned = {name for name, _, _ in FIRST}
    older = {name for name, context in NAMES.items() if context.derive is not Context("new").derive}
    assert pinned == older | {"WEBHOOK_SECRET", "VAULT_CHAIN", "VAULT_HEAD", "VAULT_ROW"}


def test_no_two_contexts_have_one_key() -> None:
    def key(name: str) -> bytes:
        return NAMES[name].derive(b"salt", NAMES[name].label)

    same = [pair for pair in combinations(sorted(NAMES), 2) if key(pair[0]) == key(pair[1])]
    assert same == list(combinations(sorted(ONE_KEY), 2)), "a new context needs a label of its own"


def test_no_message_under_the_salt_itself_is_one_that_derives_a_key() -> None:
    """Keys come from labels without NUL; what is digested under the salt itself has one, between population and identifier."""
    assert not any("\0" in context.label for context in CONTEXTS)
    assert [name for name, context in NAMES.items() if context.derive(b"salt", "x") == b"salt"] == ["PERSON"]


def test_every_context_is_used_by_one_module_and_none_is_made_elsewhere() -> None:
    used = Counter(name for tree in sources().values() for name in names_used(tree))
    assert used.pop("keyed") > 1
    assert used == dict.fromkeys(NAMES, 1), "Context itself is imported nowhere"


def test_nothing_else_reads_the_salt_or_computes_a_mac() -> None:
    readers, macs = set(), set()
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "ANONYMIZATION_SALT":
                readers.add(path)
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("hmac.digest", "hmac.new", "hmac.HMAC"):
                macs.add(path)
            if isinstance(node, ast.Call) and any(keyword.arg == "key" for keyword in node.keywords):
                macs |= {path} if "blake2" in ast.unparse(node.func) else set()
    assert readers == macs == set()


@pytest.mark.parametrize("context", [c for c in CONTEXTS if c.derive is Context("new").derive])
def test_parts_are_kept_apart_and_texts_are_utf_8(context: Context) -> None:
    told = {keyed(context, *parts) for parts in (("a", "b"), ("ab",), ("", "ab"), ("ab", ""), ("a\0b",), (b"b", b"a"))}
    assert len(told) == 6 and keyed(context, "é") == keyed(context, "é".encode())


def test_another_salt_gives_other_digests_and_the_first_comes_back() -> None:
    before = [keyed(context, "a") for context in CONTEXTS]
    with override_settings(ANONYMIZATION_SALT="another"):
        assert not {keyed(context, "a") for context in CONTEXTS} & set(before)
    assert [keyed(context, "a") for context in CONTEXTS] == before


def test_lengths_are_those_of_the_columns() -> None:
    sizes = {name: len(keyed(context, "a")) for name, context in NAMES.items()}
    whole = {
        "PERSON",
        "FOLD",
        "TOMBSTONE",
        "RELEASE_COINS",
        "IDEMPOTENT_REQUEST",
        "WEBHOOK_SECRET",
        "VAULT_CHAIN",
        "VAULT_HEAD",
        "VAULT_ROW",
    } | ONE_KEY
    assert sizes == {name: 32 if name in whole else 16 for name in NAMES}
