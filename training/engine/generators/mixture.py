"""Draw rows from a mixture of latent classes, in each of which the columns are independent.

Fitted by expectation maximisation with a Dirichlet prior around the columns' marginals. It needs seconds, and its conditional
distributions are exact.

Source: Goodman (1974) for the model; Dempster, Laird and Rubin (1977) for the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import Array, Floats, Ints
from core.errors import InputError
from core.progress import ReportProgress, no_progress
from training.engine.generators.encoding import Encoder
from training.engine.generators.protocol import (
    Checkpoints,
    Curves,
    GeneratorOptions,
    check_sample,
    fit_digest,
    keep_state,
    kept_state,
)
from training.engine.tables.schema import TableSchema
from training.engine.tables.table import Table

_MOST_CLASSES, _ROWS_A_CLASS = 500, 60
_PRIOR = 0.4  # rows that the marginal counts as, in each class and column
_ITERATIONS = 30
_CHUNK = 8192  # rows a step of arithmetic


@dataclass(frozen=True)
class FittedMixture:
    """Hold a fitted mixture. ``weights`` (K,) of the classes. ``cells``: for each column, shares (K, C) of its cells."""

    encoder: Encoder
    weights: Floats
    cells: tuple[Floats, ...]
    curves: Curves = Curves()  # noqa: RUF009  frozen

    def sample(self, rows: int, *, seed: int, given: Mapping[str, np.ndarray] | None = None) -> Table:
        """Draw rows, exactly from the conditional distribution where columns are given."""
        check_sample(self.encoder.schema, rows)
        rng = np.random.default_rng(seed)
        known: dict[int, Ints] = {}
        if given:
            codes, _ = self.encoder.given_cells(given, rows, seed)
            known = {int(place): codes[:, g] for g, place in enumerate(self.encoder.given_places)}
        parts = [
            self._draw({d: codes[first : first + _CHUNK] for d, codes in known.items()}, min(_CHUNK, rows - first), rng)
            for first in range(0, rows, _CHUNK)
        ]
        cells = np.concatenate(parts) if parts else np.zeros((0, len(self.cells)), dtype=np.int64)
        return self.encoder.decode(cells, rng.random(cells.shape), given)

    def _draw(self, known: Mapping[int, Ints], rows: int, rng: np.random.Generator) -> Ints:
        """Draw cells (rows, D): a class under the known cells, then the other cells under the class."""
        place, classes = rng.random(rows), np.zeros(rows, dtype=np.int64)
        if known:
            log = np.log(self.weights) + sum(np.log(self.cells[d].T[codes]) for d, codes in known.items())
            shares = np.exp(log - log.max(axis=1, keepdims=True))
            reached = np.cumsum(shares, axis=1)
            classes[:] = (reached < place[:, None] * reached[:, -1:]).sum(axis=1)
        else:
            classes[:] = np.searchsorted(np.cumsum(self.weights), place * self.weights.sum(), side="right")
        classes = np.minimum(classes, len(self.weights) - 1)
        out = np.empty((rows, len(self.cells)), dtype=np.int64)
        for d, shares in enumerate(self.cells):
            place = rng.random(rows)
            out[:, d] = known[d] if d in known else _draw_cells(shares, classes, place)
        return out

    def arrays(self) -> dict[str, Array]:
        """Return what was learned, as arrays that can be packed."""
        return (
            self.encoder.arrays()
            | self.curves.arrays()
            | {
                "weights": self.weights,
                **{f"cells_{d}": shares for d, shares in enumerate(self.cells)},
            }
        )


def _draw_cells(shares: Floats, classes: Ints, place: Floats) -> Ints:
    """Draw the cell (n,) of each row from the shares (K, C) of its class."""
    reached = np.cumsum(shares, axis=1)
    reached /= reached[:, -1:]
    stacked = (reached + np.arange(len(reached))[:, None]).reshape(-1)  # one sorted line for all classes
    found = np.searchsorted(stacked, place + classes, side="right") - classes * shares.shape[1]
    return np.asarray(np.clip(found, 0, shares.shape[1] - 1))


@dataclass(frozen=True)
class Mixture:
    """Fit a mixture of latent classes."""

    name: str = "mixture"

    def fit(
        self,
        table: Table,
        *,
        seed: int,
        given: tuple[str, ...] = (),
        report: ReportProgress = no_progress,
        checkpoints: Checkpoints | None = None,
        options: GeneratorOptions = GeneratorOptions(),  # noqa: B008
    ) -> FittedMixture:
        """Fit by expectation maximisation. ``options.steps`` is the number of iterations."""
        encoder = Encoder.of(table, seed=seed, given=given, declared_only=options.declared_only)
        codes, _ = encoder.encode(table, seed=seed)
        steps = options.steps or _ITERATIONS
        classes = int(np.clip(table.rows // _ROWS_A_CLASS, 2, _MOST_CLASSES))
        em = _Em.of(codes, encoder.sizes, classes, fit_digest(codes, seed, steps))
        state = em.start(checkpoints, seed)
        for step in range(len(state["curve_train"]), steps):
            state = em.step(state)
            report((step + 1) / steps, f"mixture: iteration {step + 1} of {steps}")
            if step % 10 == 9:
                keep_state(checkpoints, em.digest, state)
        weights, cells = em.shares(state)
        curve = state["curve_train"]
        return FittedMixture(encoder, weights, cells, _curves(curve))

    def load(self, schema: TableSchema, arrays: Mapping[str, Array]) -> FittedMixture:
        """Rebuild a fitted mixture from its arrays."""
        encoder = Encoder.of_arrays(schema, arrays)
        try:
            weights = arrays["weights"].astype(np.float64)
            cells = tuple(arrays[f"cells_{d}"].astype(np.float64) for d in range(len(encoder.sizes)))
        except KeyError as missing:
            raise InputError(f"the stored generator lacks the array {missing}; fit it again") from missing
        return FittedMixture(encoder, weights, cells, Curves.of_arrays(arrays))


def _curves(train: Floats) -> Curves:
    return Curves(np.arange(1, len(train) + 1), train, np.zeros(0))


@dataclass(frozen=True)
class _Em:
    """Maximise the posterior. The state holds the expected counts of each class: ``classes`` (K,), ``cells`` (sum C, K)."""

    indicators: Any  # (n, sum C) sparse: which cells a row is in
    offsets: Ints  # (D + 1,) where each column's cells begin
    marginal: Floats  # (sum C,) share of each cell
    classes: int
    digest: Ints  # of the fit

    @classmethod
    def of(cls, codes: Ints, sizes: tuple[int, ...], classes: int, digest: Ints) -> _Em:
        from scipy.sparse import csr_matrix

        n, d = codes.shape
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        columns = (codes + offsets[:-1]).reshape(-1)
        ones, pointers = np.ones(n * d, dtype=np.float32), np.arange(0, n * d + 1, d)
        indicators = csr_matrix((ones, columns, pointers), shape=(n, int(offsets[-1])))
        marginal = np.bincount(columns, minlength=int(offsets[-1])) / n
        return cls(indicators, offsets, np.maximum(marginal, 1e-6), classes, digest)

    def start(self, checkpoints: Checkpoints | None, seed: int) -> dict[str, Any]:
        """Return the state of the checkpoint if it is of the same fit, else random responsibilities."""
        kept = kept_state(checkpoints, self.digest)
        if kept is not None:
            return kept
        rng = np.random.default_rng(seed)
        picked = rng.integers(self.classes, size=self.indicators.shape[0])
        near = np.full((self.indicators.shape[0], self.classes), 0.1 / self.classes, dtype=np.float32)
        near[np.arange(len(picked)), picked] += 0.9
        counts = self._counts(near)
        return {"curve_train": np.zeros(0)} | counts

    def _counts(self, responsibility: Any, indicators: Any = None) -> dict[str, Any]:
        cells = (self.indicators if indicators is None else indicators).T @ responsibility
        return {"classes": responsibility.sum(axis=0, dtype=np.float64), "cells": np.asarray(cells, dtype=np.float64)}

    def shares(self, state: dict[str, Any]) -> tuple[Floats, tuple[Floats, ...]]:
        """Return the classes' weights and the shares (K, C) of each column's cells, under the prior."""
        weights = state["classes"] + 1.0 / self.classes
        cells = state["cells"].T + _PRIOR * self.marginal
        parts = [cells[:, a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]
        return weights / weights.sum(), tuple(part / part.sum(axis=1, keepdims=True) for part in parts)

    def step(self, state: dict[str, Any]) -> dict[str, Any]:
        """Do one iteration: responsibilities under the present shares, and the counts that follow."""
        weights, cells = self.shares(state)
        table = np.log(np.concatenate([c.T for c in cells])).astype(np.float32)
        log_weights, total = np.log(weights).astype(np.float32), 0.0
        new = {"classes": np.zeros_like(state["classes"]), "cells": np.zeros_like(state["cells"])}
        for first in range(0, self.indicators.shape[0], _CHUNK):
            part = self.indicators[first : first + _CHUNK]
            log = part @ table + log_weights
            highest = log.max(axis=1, keepdims=True)
            near = np.exp(log - highest)
            sums = near.sum(axis=1, keepdims=True)
            total += float((highest + np.log(sums)).sum())
            for name, counts in self._counts(near / sums, part).items():
                new[name] += counts
        loss = -total / self.indicators.shape[0]
        return {"curve_train": np.append(state["curve_train"], loss)} | new
