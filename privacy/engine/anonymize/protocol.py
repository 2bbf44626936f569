"""Everything that a technique of anonymisation declares, and everything that it is given.

A technique is pure: it reads no database, no file and no setting. The service hands it the records of the people who were
charged, and the platform's limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol, TypeAlias

import numpy as np

from core.arrays import Floats, Ints
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.request import AnonymizeRequest, Parameter

Arrays: TypeAlias = Mapping[str, np.ndarray]
Statistics: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """The most that one release may have of epsilon and of delta."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Cost:
    """The charge to each person: ``policy_nano`` always. The formal part is None for a technique without a formal guarantee."""

    policy_nano: int
    rho_nano: int | None = None
    epsilon: float | None = None
    delta: float | None = None


@dataclass(frozen=True)
class FeatureRecords:
    """``values`` (n, F) of ``people`` (n,) ids on ``days`` (n,) proleptic ordinals; ``left_out``: records that lack a column."""

    values: Floats
    people: Ints
    days: Ints
    left_out: int


class RecordSource(Protocol):
    """Records of the people who were charged, and of nobody else."""

    def people(self) -> Ints:
        """Return the ids (n,) of everybody charged, ascending."""

    def records(self, rows: int) -> FeatureRecords:
        """Return the newest ``rows`` whole records of each person. Raises InsufficientData where there is none."""

    def shards(self) -> Iterator[FeatureRecords]:
        """Yield all records, a shard of whole people at a time. Raises InsufficientData where there is none."""

    def pseudonyms(self, people: Ints, epoch: str) -> Ints:
        """Return 128 bits (n, 2) for each person, keyed by the release's purpose and ``epoch``."""


@dataclass(frozen=True)
class ChargedRequest:
    """A request as the log row of its charged release states it; ``parameters`` include what was settled that day."""

    columns: tuple[Column, ...]
    parameters: Mapping[str, Any]
    epsilon: float | None
    delta: float | None


@dataclass(frozen=True)
class Output:
    """``arrays`` are stored once: arrays ``*_rho`` state what noise spent, ``users`` (1,) of statistics the noised number of
    people. ``log`` holds further columns of the log row.
    """

    arrays: dict[str, np.ndarray]
    log: Mapping[str, Any]


@dataclass(frozen=True)
class ReleasedRows:
    """Rows as people read them, under the names of their columns."""

    names: list[str]
    rows: Iterator[list[str]]


@dataclass(frozen=True)
class Technique:
    """One technique, whole. Nothing has a default, so a technique that lacks a part fails when its file is imported.

    ``name`` is public; techniques of one name differ by ``mode`` (None: the only one of its name) and share ``label``.
    ``statistics``: whether statistics are released, which are kept for good, or rows of people, which expire.
    ``takes``: those of ``epsilon`` and ``delta`` that it accepts. ``parameters`` are its own; a request for another technique may
    not set those in ``exclusive``. ``library`` is the distribution that draws its noise ("": none).
    """

    name: str
    mode: str | None
    label: str
    mechanism: str
    neighbouring: str
    library: str
    statistics: bool
    takes: tuple[str, ...]
    parameters: tuple[Parameter[Any], ...]
    exclusive: tuple[str, ...]
    check: Callable[[AnonymizeRequest, Sequence[Column]], None]
    """Raises InputError for a request that the technique cannot serve."""
    cost: Callable[[AnonymizeRequest, Limits], Cost]
    """The charge. Raises InputError for a request above the limits."""
    guarantee: Callable[[AnonymizeRequest], str]
    """The guarantee in one sentence."""
    logged: Callable[[AnonymizeRequest, Sequence[Column]], Mapping[str, Any]]
    """Its own public parameters, as the log keeps them."""
    settled: Callable[[AnonymizeRequest, date], Mapping[str, Any]]
    """Parameters that the request left open, as they are on the day (UTC) of the charge: a retry takes them as they were."""
    least_cohort: Callable[[AnonymizeRequest], int]
    """How many people must be charged for the technique to hold."""
    compute: Callable[[ChargedRequest, RecordSource], Output]
    """The output over the charged people. Raises InputError or InsufficientData for what the records do not allow."""
    table: Callable[[ChargedRequest, Arrays], ReleasedRows | Statistics]
    """Stored arrays as people read them: rows, or statistics (``users``, its noise ``users_sd``, and ``columns`` by name)."""

    def accepts(self, option: str) -> bool:
        """Return whether an option of a request changes anything."""
        own = {p.name for p in self.parameters}
        return option in self.takes or option in own or (option == "mode" and self.mode is not None)
