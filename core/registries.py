"""Registries: the variants of one kind by name, checked whole when the module that lists them is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol, TypeVar

from core.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Named(Protocol):
    """A variant of some kind: whatever else it does, it has a name."""

    @property
    def name(self) -> str: ...


V = TypeVar("V", bound=Named)


def registry(kind: str, *variants: V, longest: int, methods: tuple[str, ...] = ()) -> dict[str, V]:
    """Key the variants of one kind by name, in the order given.

    kind: names the registry in errors. longest: characters that the column of the name holds.
    methods: names that every variant must be able to call.
    Raises ValueError for a name that is malformed, too long or given twice, and for a variant that lacks a method.
    """
    table: dict[str, V] = {}
    for variant in variants:
        name = getattr(variant, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > longest:
            raise ValueError(f"{kind} {variant!r} needs a name of at most {longest} lower-case letters, digits and _")
        if name in table:
            raise ValueError(f"two entries are registered as {kind} {name!r}; give one of them another name")
        missing = [method for method in methods if not callable(getattr(variant, method, None))]
        if missing:
            raise ValueError(f"{kind} {name!r} has no method {', '.join(missing)}; its protocol asks for it")
        table[name] = variant
    return table


def variant_named(kind: str, table: Mapping[str, V], name: str) -> V:
    """Find one variant by name. Raises InputError that lists the names there are."""
    if name not in table:
        raise InputError(f"there is no {kind} {name!r}; choose one of: {', '.join(table)}")
    return table[name]
