"""Walks: which files of the product a call passes through, and which rows it loads from the database."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest import mock

from django.db import connection
from django.db.models import Model

ROOT = Path(__file__).resolve().parent.parent
_OUTSIDE = ("tests", "benchmarks", "var")
_PART_OF_A_FUNCTION = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")


@cache
def product_file(name: str) -> str | None:
    """A source file's path below the root; None for what is no file of the product (libraries, tests, generated code)."""
    path = Path(name)
    if not path.is_absolute() or ROOT not in path.parents:
        return None
    parts = path.relative_to(ROOT).parts
    return None if parts[0] in _OUTSIDE or parts[0].startswith(".") else "/".join(parts)


class Call(NamedTuple):
    """A call of a function of the product; ``site``: file and line that it came from (None: from outside the product)."""

    file: str
    function: str
    site: tuple[str, int] | None


@dataclass
class Walk:
    """The calls of functions of the product, in order. Resuming a generator is no call; a comprehension is part of its function.

    ``entered``: calls into a file while another file of the product, or none, was at work; returning to a file does not count.
    ``visited``: every call, neighbours in one file collapsed: where the calls send somebody who reads along.
    """

    entered: list[Call] = field(default_factory=list)
    visited: list[Call] = field(default_factory=list)
    _generators: set[FrameType] = field(default_factory=set)

    @property
    def entries(self) -> Counter[str]:
        """How often each file was entered."""
        return Counter(call.file for call in self.entered)

    @property
    def visits(self) -> Counter[str]:
        """How often each file was visited."""
        return Counter(call.file for call in self.visited)

    def sites(self, file: str) -> set[tuple[str, int] | None]:
        """The distinct places in other files from which a file was entered: a loop that calls it again and again is one."""
        return {call.site for call in self.entered if call.file == file}

    def watch(self, frame: FrameType, event: str, argument: Any) -> None:
        """What ``sys.setprofile`` calls."""
        file = product_file(frame.f_code.co_filename) if event == "call" else None
        if file is None or frame.f_code.co_name in _PART_OF_A_FUNCTION or self._is_resumed(frame):
            return
        call = Call(file, frame.f_code.co_qualname, _site(frame))
        if not self.visited or self.visited[-1].file != file:
            self.visited.append(call)
        if call.site is None or call.site[0] != file:
            self.entered.append(call)

    def _is_resumed(self, frame: FrameType) -> bool:
        if not frame.f_code.co_flags & inspect.CO_GENERATOR:
            return False
        seen = frame in self._generators
        self._generators.add(frame)
        return seen


def _site(frame: FrameType) -> tuple[str, int] | None:
    """File and line of the nearest frame of the product below a frame."""
    below = frame.f_back
    while below is not None:
        if (file := product_file(below.f_code.co_filename)) is not None:
            return file, below.f_lineno
        below = below.f_back
    return None


@contextmanager
def walking() -> Iterator[Walk]:
    """Record the walk of what runs inside, in this thread."""
    walk, before = Walk(), sys.getprofile()
    sys.setprofile(walk.watch)
    try:
        yield walk
    finally:
        sys.setprofile(before)


@dataclass
class Loads:
    """What was read: ``rows`` that became model instances, by (table, primary key), and SELECT statements with their values."""

    rows: Counter[tuple[str, Any]] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)

    def twice(self) -> dict[str, int]:
        """Rows that were loaded, and statements that were asked, more than once."""
        rows = {f"{table} {pk}": count for (table, pk), count in self.rows.items() if count > 1}
        return rows | {statement: count for statement, count in self.statements.items() if count > 1}

    def watch(self, execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        """What Django calls for a statement."""
        if sql.startswith("SELECT"):
            self.statements[f"{sql} {values}"] += 1
        return execute(sql, values, many, context)


@contextmanager
def loading() -> Iterator[Loads]:
    """Record what is read from the database inside."""
    loads, made = Loads(), Model.from_db.__func__  # type: ignore[attr-defined]

    def from_db(cls: type[Model], *given: Any) -> Model:
        row: Model = made(cls, *given)
        loads.rows[cls._meta.db_table, row.pk] += 1
        return row

    with mock.patch.object(Model, "from_db", classmethod(from_db)), connection.execute_wrapper(loads.watch):
        yield loads
