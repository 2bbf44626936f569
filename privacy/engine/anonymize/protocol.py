"""The interface of an anonymisation technique: what it must declare, and the inputs that it receives.

A technique is pure: it reads no database, no file and no setting. The service passes it the records of the charged people and
the platform's limits.
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
    """The largest epsilon and delta that one release may use."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Cost:
    """The charge to each person. ``policy_nano`` is always charged; the rest is None without a formal guarantee."""

    policy_nano: int
    rho_nano: int | None = None
    epsilon: float | None = None
    delta: float | None = None


@dataclass(frozen=True)
class FeatureRecords:
    """Records of people: ``values`` (n, F), ids of ``people`` (n,), and ``days`` (n,) as proleptic Gregorian ordinals.

    ``left_out`` counts the records that lack a column and are not among them.
    """

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
    """A request as the log row of its charged release states it.

    ``parameters`` include those that the request left open and the technique settled on the day of the charge.
    """

    columns: tuple[Column, ...]
    parameters: Mapping[str, Any]
    epsilon: float | None
    delta: float | None


@dataclass(frozen=True)
class Output:
    """The output of a technique. ``arrays`` are stored once, and ``log`` holds further columns of the log row.

    Arrays named ``*_rho`` state the rho that noise spent. For statistics, ``users`` (1,) is the noised number of people.
    """

    arrays: dict[str, np.ndarray]
    log: Mapping[str, Any]


@dataclass(frozen=True)
class ReleasedRows:
    """Released rows as text, under the names of their columns."""

    names: list[str]
    rows: Iterator[list[str]]


@dataclass(frozen=True)
class Technique:
    """One technique. No field has a default, so a technique that lacks a part fails when its file is imported.

    ``name`` is public. Techniques of one name differ by ``mode`` (None: the only one of its name) and share ``label``.
    ``statistics`` is true where statistics are released, which are permanent, and false for rows of people, which expire.
    ``rows_for_all`` is true where everybody charged gives a row, also a person without a complete record. Elsewhere such a person
    contributes nothing, and is not charged.
    ``takes`` names which of ``epsilon`` and ``delta`` the technique uses.
    ``parameters`` are the technique's own options. A request for another technique may not set those in ``exclusive``.
    ``library`` is the Python distribution that draws the noise ("": none).
    """

    name: str
    mode: str | None
    label: str
    mechanism: str
    neighbouring: str
    library: str
    statistics: bool
    rows_for_all: bool
    takes: tuple[str, ...]
    parameters: tuple[Parameter[Any], ...]
    exclusive: tuple[str, ...]
    check: Callable[[AnonymizeRequest, Sequence[Column]], None]
    """Raises InputError for a request that the technique cannot serve."""
    cost: Callable[[AnonymizeRequest, Limits], Cost]
    """Returns the charge. Raises InputError for a request above the limits."""
    guarantee: Callable[[AnonymizeRequest], str]
    """Returns the guarantee in one sentence."""
    logged: Callable[[AnonymizeRequest, Sequence[Column]], Mapping[str, Any]]
    """Returns the technique's own public parameters, for the log."""
    settled: Callable[[AnonymizeRequest, date], Mapping[str, Any]]
    """Returns values, on the day (UTC) of the charge, for parameters that the request left open. Retries reuse them."""
    least_cohort: Callable[[AnonymizeRequest], int]
    """Returns the smallest number of charged people for which the technique's guarantee is meaningful."""
    compute: Callable[[ChargedRequest, RecordSource], Output]
    """Computes the output over the charged people. Raises InputError or InsufficientData where the records do not allow it."""
    table: Callable[[ChargedRequest, Arrays], ReleasedRows | Statistics]
    """Turns stored arrays into rows, or into statistics (``users``, its noise ``users_sd``, and ``columns`` by name)."""

    def uses(self, option: str) -> bool:
        """Return whether an option of a request has an effect on this technique."""
        own = {p.name for p in self.parameters}
        return option in self.takes or option in own or (option == "mode" and self.mode is not None)
