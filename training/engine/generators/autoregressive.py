"""Draw the columns of a row one after another, each under those before it. Given columns come first.

Every column has a small network of its own, and all read one running sum of what the columns before contribute.

Source: Larochelle and Murray, The Neural Autoregressive Distribution Estimator (2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.engine.generators.encoding import Encoder
from training.engine.generators.networks import NetworkGenerator, absent_cells, cross_entropy, dense, marginal_logits
from training.engine.generators.training_loop import Batch, NetworkFunctions, Params, TrainingPlan

_WIDTH = 128


class Autoregressive(NetworkGenerator):
    """Fit an autoregressive network."""

    name = "autoregressive"
    plan = TrainingPlan(steps=1_000, learning_rate=4e-3)

    def network(self, encoder: Encoder) -> NetworkFunctions:
        """Return the network for the columns of an encoder."""
        import jax
        import jax.numpy as jnp

        columns, width = len(encoder.own), max(encoder.sizes)
        places = encoder.given_places
        order = np.concatenate([places, np.setdiff1d(np.arange(columns), places)])
        back, absent = np.argsort(order), absent_cells(encoder.sizes)[order]
        marginal = marginal_logits(encoder)[order]

        def initial(key: Any) -> Params:
            keys = jax.random.split(key, 3)
            return {
                "words": jax.random.normal(keys[0], (columns, width, _WIDTH)) / np.sqrt(columns),
                "start": jnp.zeros((columns, _WIDTH)),
                "inner": dense(keys[1], columns, _WIDTH, _WIDTH),
                "inner_bias": jnp.zeros((columns, _WIDTH)),
                "out": 0.1 * dense(keys[2], columns, _WIDTH, width),
                "out_bias": jnp.asarray(marginal),
            }

        def logits(weights: Params, before: Any, d: Any) -> Any:
            """Return the logits (B, C) of column d under the sum (B, H) of those before, or of all columns at once."""
            first = jax.nn.silu(before + weights["start"][d])
            if first.ndim == 2:
                second = first + jax.nn.silu(first @ weights["inner"][d] + weights["inner_bias"][d])
                return second @ weights["out"][d] + weights["out_bias"][d] + absent[d]
            second = first + jax.nn.silu(jnp.einsum("bdh,dhk->bdk", first, weights["inner"]) + weights["inner_bias"])
            return jnp.einsum("bdh,dhc->bdc", second, weights["out"]) + weights["out_bias"] + absent

        def loss(weights: Params, batch: Batch, key: Any) -> Any:
            cells = batch[0][:, order]
            words = jnp.einsum("bdc,dch->bdh", jax.nn.one_hot(cells, width), weights["words"])
            before = jnp.cumsum(words, axis=1) - words
            return cross_entropy(logits(weights, before, slice(None)), cells).sum(axis=1).mean()

        def draw(weights: Params, cells: Any, positions: Any, key: Any) -> tuple[Any, Any]:
            before, out = jnp.zeros((len(cells), _WIDTH)), list[Any]()
            for d, turn in enumerate(jax.random.split(key, columns)):
                known = d < cells.shape[1]
                cell = cells[:, d] if known else jax.random.categorical(turn, logits(weights, before, d))
                before = before + weights["words"][d][cell]
                out.append(cell)
            return jnp.stack(out, axis=1)[:, back], None

        return NetworkFunctions(initial, loss, draw)
