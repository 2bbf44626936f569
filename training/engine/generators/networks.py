"""Provide what the network generators share: layers, a fitted network that draws rows, and how one is fitted and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import Array, Floats, Ints
from core.progress import ReportProgress, no_progress
from training.engine.generators.encoding import Encoder
from training.engine.generators.protocol import Checkpoints, Curves, GeneratorOptions, check_sample
from training.engine.generators.training_loop import NetworkFunctions, Params, TrainingPlan, jax_key, train_network
from training.engine.tables.schema import TableSchema
from training.engine.tables.table import Table

_CHUNK, _LEAST_CHUNK = 4_096, 256  # rows a draw
_ROWS_OF_PLAN = (
    30_000  # of a table that takes all planned steps; the learning rate must fall before smaller ones are overfitted
)
_LEAST_STEPS = 500
_NEVER = -1e9  # the logit of a cell that a column does not have
_WEIGHT = "weight_"


def dense(key: Any, *shape: int) -> Any:
    """Return initial weights of a layer: normal, with variance 1 / inputs. The inputs are the last axis but one."""
    import jax

    return jax.random.normal(key, shape) / np.sqrt(shape[-2])


def indicators(cells: Any, width: int) -> Any:
    """Return one-hot rows (B, D x width) of cells (B, D)."""
    import jax

    return jax.nn.one_hot(cells, width).reshape(len(cells), -1)


def hidden(weights: Params, name: str, inputs: Any, layers: int) -> Any:
    """Apply residual layers of sigmoid-weighted linear units to the first layer's outputs (B, H)."""
    import jax

    out = jax.nn.silu(inputs)
    for layer in range(layers):
        out = out + jax.nn.silu(out @ weights[f"{name}_{layer}"] + weights[f"{name}_{layer}_bias"])
    return out


def hidden_weights(key: Any, name: str, width: int, layers: int) -> Params:
    """Return the weights that ``hidden`` takes."""
    import jax

    keys = jax.random.split(key, layers)
    out: Params = {f"{name}_{i}": dense(k, width, width) for i, k in enumerate(keys)}
    return out | {f"{name}_{i}_bias": jax.numpy.zeros(width) for i in range(layers)}


def absent_cells(sizes: tuple[int, ...]) -> Floats:
    """Return (D, C) what is added to logits: 0 for the cells of each column, and a large negative number beyond them."""
    return np.where(np.arange(max(sizes)) < np.array(sizes)[:, None], 0.0, _NEVER)


def marginal_logits(encoder: Encoder) -> Floats:
    """Return the logarithm (D, C) of each cell's share, from which the last layers start."""
    out = np.zeros((len(encoder.own), max(encoder.sizes)))
    for d, i in enumerate(encoder.own):
        out[d, : encoder.sizes[d]] = np.maximum(np.log(encoder.cells[i].shares), -8.0)
    return out


def parts_of(encoder: Encoder) -> tuple[tuple[Ints, Ints], ...]:
    """Return the columns that each part of a network draws, and those that it reads: the given ones, then the others."""
    every, given = np.arange(len(encoder.own)), np.sort(encoder.given_places)
    nothing = np.zeros(0, dtype=np.int64)
    return ((given, nothing), (np.setdiff1d(every, given), given)) if len(given) else ((every, nothing),)


def cross_entropy(logits: Any, cells: Any) -> Any:
    """Return the negative log probability (B, D) of cells (B, D) under logits (B, D, C)."""
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(logits), cells[..., None], axis=-1)[..., 0]


@dataclass(frozen=True)
class FittedNetwork:
    """Hold a trained network with its encoder."""

    encoder: Encoder
    network: NetworkFunctions
    weights: Mapping[str, Array]
    curves: Curves

    def sample(self, rows: int, *, seed: int, given: Mapping[str, np.ndarray] | None = None) -> Table:
        """Draw rows, under given values where there are some."""
        check_sample(self.encoder.schema, rows)
        known = self.encoder.given_cells(given, rows, seed) if given else None
        parts = [self._draw(first, min(_CHUNK, rows - first), seed, known) for first in range(0, rows, _CHUNK)]
        empty = np.zeros((0, len(self.encoder.own)))
        cells = np.concatenate([empty.astype(np.int64), *(part[0] for part in parts)])
        positions = np.concatenate([empty, *(part[1] for part in parts)])
        return self.encoder.decode(cells, positions, given)

    def _draw(self, first: int, rows: int, seed: int, known: tuple[Ints, Floats] | None) -> tuple[Ints, Floats]:
        """Draw a chunk. Short ones are padded."""
        import jax
        import jax.numpy as jnp

        draw = jax.jit(self.network.draw)
        weights = {name: jnp.asarray(value, dtype=jnp.float32) for name, value in self.weights.items()}
        width = 0 if known is None else known[0].shape[1]
        size = max(_LEAST_CHUNK, 1 << (rows - 1).bit_length())  # few sizes, so that few functions are compiled
        padded = [np.zeros((size, width), dtype=kind) for kind in (np.int32, np.float32)]
        for part, values in zip(padded, known or (), strict=False):
            part[:rows] = values[first : first + rows]
        cells, positions = draw(weights, *padded, jax_key(seed, first))
        if positions is None:
            positions = np.random.default_rng([seed, first]).random(cells.shape)
        return np.asarray(cells)[:rows].astype(np.int64), np.asarray(positions)[:rows].astype(np.float64)

    def arrays(self) -> dict[str, Array]:
        """Return what was learned, as arrays that can be packed."""
        weights = {_WEIGHT + name: value for name, value in self.weights.items()}
        return self.encoder.arrays() | self.curves.arrays() | weights


class NetworkGenerator:
    """Fit, store and load a network. A generator names it, plans its training and defines it."""

    name: str
    plan: TrainingPlan

    def network(self, encoder: Encoder) -> NetworkFunctions:
        """Return the network for the columns of an encoder."""
        raise NotImplementedError

    def encoder(self, table: Table, seed: int, given: tuple[str, ...], options: GeneratorOptions) -> Encoder:
        """Return the encoder of a table."""
        return Encoder.of(table, seed=seed, given=given, declared_only=options.declared_only)

    def fit(
        self,
        table: Table,
        *,
        seed: int,
        given: tuple[str, ...] = (),
        report: ReportProgress = no_progress,
        checkpoints: Checkpoints | None = None,
        options: GeneratorOptions = GeneratorOptions(),  # noqa: B008
    ) -> FittedNetwork:
        """Train the network on a table."""
        encoder = self.encoder(table, seed, given, options)
        cells, positions = encoder.encode(table, seed=seed)
        network = self.network(encoder)
        steps = max(_LEAST_STEPS, round(self.plan.steps * min(1.0, table.rows / _ROWS_OF_PLAN)))
        plan = TrainingPlan(options.steps or steps, self.plan.learning_rate, self.plan.decay)
        weights, curves = train_network(
            network, cells, positions, plan=plan, seed=seed, name=self.name, report=report, checkpoints=checkpoints
        )
        return FittedNetwork(encoder, network, weights, curves)

    def load(self, schema: TableSchema, arrays: Mapping[str, Array]) -> FittedNetwork:
        """Rebuild a trained network from its arrays."""
        encoder = Encoder.of_arrays(schema, arrays)
        weights = {key.removeprefix(_WEIGHT): value for key, value in arrays.items() if key.startswith(_WEIGHT)}
        curves = Curves.of_arrays(arrays)
        return FittedNetwork(encoder, self.network(encoder), weights, curves)
