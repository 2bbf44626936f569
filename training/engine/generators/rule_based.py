"""Draw rows by declared rules and a Gaussian copula. It learns the least, so it is the one for a few dozen rows.

The rules are the schema's: bounds, whole numbers, categories. For transitions they are also the loop's known dynamics
(``training.engine.generators.of_transitions``). The copula joins the columns' distributions by the correlations of their normal
scores, and its conditional distributions are exact.

Source: Nelsen, An Introduction to Copulas (2006); Ledoit and Wolf (2004) for the shrinkage of the correlations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Floats
from core.errors import InputError
from core.progress import ReportProgress, no_progress
from training.engine.generators.encoding import Encoder
from training.engine.generators.protocol import Checkpoints, Curves, GeneratorOptions, check_sample
from training.engine.tables.schema import TableSchema
from training.engine.tables.table import Table


@dataclass(frozen=True)
class FittedCopula:
    """Hold a fitted copula. ``correlation`` (D, D) of the normal scores."""

    encoder: Encoder
    correlation: Floats
    curves: Curves = Curves()  # noqa: RUF009  frozen

    def sample(self, rows: int, *, seed: int, given: Mapping[str, np.ndarray] | None = None) -> Table:
        """Draw rows, exactly from the copula's conditional distribution where columns are given."""
        check_sample(self.encoder.schema, rows)
        rng, width = np.random.default_rng(seed), len(self.correlation)
        known = self.encoder.given_places if given else np.zeros(0, dtype=np.int64)
        scores = np.zeros((rows, width))
        if given:
            scores[:, known] = self.encoder.scores(*self.encoder.given_cells(given, rows, seed), columns=known)
        free = np.setdiff1d(np.arange(width), known)
        slope = np.linalg.solve(self.correlation[np.ix_(known, known)], self.correlation[np.ix_(known, free)])
        rest = self.correlation[np.ix_(free, free)] - self.correlation[np.ix_(free, known)] @ slope
        values, vectors = np.linalg.eigh((rest + rest.T) / 2)
        noise = rng.normal(size=(rows, len(free))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        scores[:, free] = scores[:, known] @ slope + noise
        return self.encoder.decode(*self.encoder.of_scores(scores), given)

    def arrays(self) -> dict[str, Array]:
        """Return what was learned, as arrays that can be packed."""
        return self.encoder.arrays() | self.curves.arrays() | {"correlation": self.correlation}


@dataclass(frozen=True)
class RuleBased:
    """Fit a Gaussian copula under declared rules."""

    name: str = "rule_based"

    def fit(
        self,
        table: Table,
        *,
        seed: int,
        given: tuple[str, ...] = (),
        report: ReportProgress = no_progress,
        checkpoints: Checkpoints | None = None,
        options: GeneratorOptions = GeneratorOptions(),  # noqa: B008
    ) -> FittedCopula:
        """Fit the correlations in one step, shrunk towards none as far as the rows are few."""
        encoder = Encoder.of(table, seed=seed, given=given, declared_only=options.declared_only, scored=True)
        scores = encoder.scores(*encoder.encode(table, seed=seed))
        raw = np.cov(scores.T).reshape(scores.shape[1], -1)
        sd = np.sqrt(np.maximum(np.diag(raw), 1e-12))
        rows, width = scores.shape
        kept = rows / (
            rows + width
        )  # as if each pair had been seen without correlation in as many rows as there are columns
        correlation = kept * raw / np.outer(sd, sd)
        np.fill_diagonal(correlation, 1.0)
        report(1.0, "rule_based: the correlations are known")
        return FittedCopula(encoder, correlation)

    def load(self, schema: TableSchema, arrays: Mapping[str, Array]) -> FittedCopula:
        """Rebuild a fitted copula from its arrays."""
        encoder = Encoder.of_arrays(schema, arrays)
        if "correlation" not in arrays:
            raise InputError("the stored generator lacks its correlations; fit it again")
        return FittedCopula(encoder, arrays["correlation"].astype(np.float64), Curves.of_arrays(arrays))
