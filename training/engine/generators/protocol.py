"""Define the interface of generators of synthetic rows.

A generator learns from a table (``fit``), and what it learned draws rows (``sample``), also under given values of some columns.
A transition source makes rows of the training pool from a released posterior and nothing else. Every generator becomes one
(``training.engine.generators.of_transitions``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from core.arrays import Array, Floats, Ints
from core.checksums import sha256_hex
from core.errors import InputError
from core.progress import ReportProgress, no_progress
from privacy.engine.moments.baseline import Baseline, baseline_posterior
from privacy.engine.moments.effects import Effects, effects_posterior
from privacy.engine.moments.pooled import Moments
from training.engine.tables.schema import TableSchema
from training.engine.tables.table import Table
from training.engine.world.transitions import Chunk

LEAST_ROWS = 10  # of a table that a generator learns from
MOST_VALUES = 100_000_000  # of one sample: rows times columns


@dataclass(frozen=True)
class Curves:
    """Hold the losses of a fit, one a report. Empty where nothing is optimised by steps.

    steps (c,), train (c,), validation (c,).
    """

    steps: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    train: Floats = field(default_factory=lambda: np.zeros(0))
    validation: Floats = field(default_factory=lambda: np.zeros(0))

    def arrays(self) -> dict[str, Array]:
        """Return the curves as arrays that can be packed."""
        return {"curve_steps": self.steps, "curve_train": self.train, "curve_validation": self.validation}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Curves:
        """Rebuild the curves. Raises InputError where one is missing."""
        try:
            steps, *losses = (arrays[f"curve_{part}"] for part in ("steps", "train", "validation"))
        except KeyError as missing:
            raise InputError(f"the stored generator lacks the array {missing}; fit it again") from missing
        return cls(steps.astype(np.int64), *(loss.astype(np.float64) for loss in losses))


@dataclass(frozen=True)
class GeneratorOptions:
    """Hold what a caller may choose about a fit. None means the generator's own rule.

    ``steps``: most steps of training. ``declared_only``: cut numbers into equal cells between their declared bounds, so that
    nothing but counts is learned from the rows.
    """

    steps: int | None = None
    declared_only: bool = False


class Checkpoints(Protocol):
    """Keep the state of an unfinished fit, so that a fit that was killed resumes where it was."""

    def load(self) -> dict[str, Array] | None:
        """Return what was saved last, or None."""
        ...

    def save(self, arrays: dict[str, Array], /) -> None:
        """Replace what was saved. The arrays can be packed (``core.arrays.pack_arrays``)."""
        ...


class FittedGenerator(Protocol):
    """Draw rows."""

    @property
    def curves(self) -> Curves:
        """Return the losses of the fit."""
        ...

    def sample(self, rows: int, *, seed: int, given: Mapping[str, np.ndarray] | None = None) -> Table:
        """Draw rows. The same seed draws the same rows.

        Args: given: values (rows,) of the columns that the fit was told to condition on, by name. The others are drawn
        under them.
        Raises: InputError for a number of rows that cannot be drawn, and for given values that do not fit.
        """
        ...

    def arrays(self) -> dict[str, Array]:
        """Return what was learned, as arrays that can be packed (``core.arrays.pack_arrays``)."""
        ...


class Generator(Protocol):
    """Learn to draw rows like those of a table.

    Slow imports belong inside the methods, because the registry is loaded before workers fork.
    """

    @property
    def name(self) -> str:
        """Return the name that synthetic jobs store."""
        ...

    def fit(
        self,
        table: Table,
        *,
        seed: int,
        given: tuple[str, ...] = (),
        report: ReportProgress = no_progress,
        checkpoints: Checkpoints | None = None,
        options: GeneratorOptions = GeneratorOptions(),
    ) -> FittedGenerator:
        """Learn from a table. The same seed learns the same.

        Args:
            given: names of the columns under which the others can later be drawn.
            report: receives the progress. It may raise, to cancel.
            checkpoints: where the state of the fit is kept. A resumed fit learns bit for bit the same.
        Raises: InputError for a table that nothing can be learned from.
        """
        ...

    def load(self, schema: TableSchema, arrays: Mapping[str, Array]) -> FittedGenerator:
        """Rebuild what was learned from its arrays. Raises InputError where they do not fit the schema."""
        ...


def check_table(table: Table, given: tuple[str, ...]) -> None:
    """Check that a generator can learn from a table, given some of its columns. Raises InputError."""
    table.check()
    if table.rows < LEAST_ROWS:
        raise InputError(
            f"a generator learns from at least {LEAST_ROWS} rows, and the table has {table.rows}; give it more rows"
        )
    for name in given:
        table.schema.index(name)
    if len(set(given)) == len(table.schema.columns):
        raise InputError("every column of the table is given, so none is left to draw; give fewer")


def check_sample(schema: TableSchema, rows: int) -> None:
    """Check that this number of rows can be drawn. Raises InputError."""
    most = MOST_VALUES // len(schema.columns)
    if not 0 <= rows <= most:
        raise InputError(f"{rows} rows cannot be drawn; ask for 0 to {most} rows of this table at a time")


def fit_digest(rows: Array, *settings: int) -> Ints:
    """Return what tells one fit from another (D,): its rows, its seed and its other settings."""
    digest = np.frombuffer(bytes.fromhex(sha256_hex(np.ascontiguousarray(rows).tobytes()))[:8], dtype=np.int64)
    return np.array([*digest, *rows.shape, *settings], dtype=np.int64)


def kept_state(checkpoints: Checkpoints | None, digest: Ints) -> dict[str, Any] | None:
    """Return the state that was kept of the same fit, or None."""
    kept = None if checkpoints is None else checkpoints.load()
    if kept is None or not np.array_equal(kept.get("digest", np.zeros(0)), digest):
        return None
    return {name: array for name, array in kept.items() if name != "digest"}


def keep_state(checkpoints: Checkpoints | None, digest: Ints, state: Mapping[str, Array]) -> None:
    """Keep the state of an unfinished fit."""
    if checkpoints is not None:
        checkpoints.save({name: np.asarray(array) for name, array in state.items()} | {"digest": digest})


@dataclass(frozen=True)
class Posterior:
    """Hold the posterior of a release: its moments, and the baseline and effects derived from them."""

    moments: Moments
    baseline: Baseline
    effects: Effects

    @classmethod
    def of(cls, moments: Moments) -> Posterior:
        """Derive the posterior from released moments."""
        return cls(moments, baseline_posterior(moments), effects_posterior(moments))


class TransitionSource(Protocol):
    """Generate rows of the training pool.

    Slow imports belong inside ``chunks``, because the registry is loaded before workers fork.
    """

    @property
    def name(self) -> str:
        """Return the name that synthetic jobs store."""
        ...

    def chunks(self, posterior: Posterior, *, states: int, seed: int, longest: int) -> Iterator[Chunk]:
        """Yield pool rows (``Transitions.rows``): every action from each of ``states`` model states.

        Args:
            seed: the same seed gives the same rows.
            longest: most rows a chunk.
        """
        ...
