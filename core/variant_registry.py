"""Build registries of named variants, validated completely when the module that lists them is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol, TypeVar

from core.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Named(Protocol):
    """Require the ``name`` that every registered variant has."""

    @property
    def name(self) -> str: ...


V = TypeVar("V", bound=Named)


def registry(kind: str, *variants: V, longest: int, methods: tuple[str, ...] = ()) -> dict[str, V]:
    """Map the variants of one kind by name, in the order given.

    Args: kind: what error messages call a variant. longest: the length of the database column that stores the name.
    methods: names of the methods that every variant must have.
    Raises: ValueError for a malformed, overlong or duplicate name, for a class, and for a variant that lacks a method.
    """
    table: dict[str, V] = {}
    for variant in variants:
        if isinstance(variant, type):
            raise ValueError(f"{kind} {variant.__name__} is a class; register an instance of it")
        name = getattr(variant, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > longest:
            raise ValueError(f"{kind} {variant!r} needs a name of at most {longest} lower-case letters, digits and _")
        if name in table:
            raise ValueError(f"two entries are registered as {kind} {name!r}; give one of them another name")
        missing = [method for method in methods if not callable(getattr(variant, method, None))]
        if missing:
            raise ValueError(f"{kind} {name!r} has no method {', '.join(missing)}; its protocol requires it")
        table[name] = variant
    return table


def variant_named(kind: str, table: Mapping[str, V], name: str) -> V:
    """Find one variant by name.

    Raises: InputError that lists the registered names.
    """
    if name not in table:
        raise InputError(f"there is no {kind} {name!r}; choose one of: {', '.join(table)}")
    return table[name]
