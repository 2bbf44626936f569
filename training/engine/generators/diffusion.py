"""Draw rows by masked diffusion: columns are hidden at random and restored, one at a time and in random order.

Source: Austin et al., Structured Denoising Diffusion Models in Discrete State-Spaces (2021), absorbing states; Hoogeboom et al.,
Autoregressive Diffusion Models (2022), for the loss and for one column a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.engine.generators.encoding import Encoder
from training.engine.generators.networks import (
    NetworkGenerator,
    absent_cells,
    cross_entropy,
    dense,
    hidden,
    hidden_weights,
    indicators,
    marginal_logits,
)
from training.engine.generators.training_loop import Batch, NetworkFunctions, Params, TrainingPlan

_WIDTH, _LAYERS = 256, 2


class Diffusion(NetworkGenerator):
    """Fit a masked diffusion model."""

    name = "diffusion"
    plan = TrainingPlan(steps=2_500)

    def network(self, encoder: Encoder) -> NetworkFunctions:
        """Return the network for the columns of an encoder. The cell after a column's last one is its mask."""
        import jax
        import jax.numpy as jnp

        columns, width = len(encoder.own), max(encoder.sizes)
        absent, places = absent_cells(encoder.sizes), encoder.given_places
        marginal = marginal_logits(encoder)

        def initial(key: Any) -> Params:
            keys = jax.random.split(key, 3)
            inputs = jax.random.normal(keys[0], (columns * (width + 1), _WIDTH)) / np.sqrt(columns)
            return {
                "in": inputs,
                "in_bias": jnp.zeros(_WIDTH),
                "out": 0.1 * dense(keys[1], _WIDTH, columns * width),
                "out_bias": jnp.asarray(marginal),
            } | hidden_weights(keys[2], "inner", _WIDTH, _LAYERS)

        def logits(weights: Params, cells: Any) -> Any:
            """Return the logits (B, D, C) of all columns under cells (B, D), some of which are masks."""
            first = indicators(cells, width + 1) @ weights["in"] + weights["in_bias"]
            out = hidden(weights, "inner", first, _LAYERS) @ weights["out"]
            return out.reshape(len(cells), columns, width) + weights["out_bias"] + absent

        def loss(weights: Params, batch: Batch, key: Any) -> Any:
            """Return the bound on a row's negative log likelihood, by hiding 1 to D columns, each number as likely."""
            cells, (pick, count) = batch[0], jax.random.split(key)
            rank = jnp.argsort(jax.random.uniform(pick, cells.shape), axis=1)
            shown = jnp.argsort(rank, axis=1)
            number = 1 + jax.random.randint(count, (len(cells), 1), 0, columns)
            masked = shown < number
            entropy = cross_entropy(logits(weights, jnp.where(masked, width, cells)), cells)
            return (columns * (entropy * masked).sum(axis=1) / number[:, 0]).mean()

        def draw(weights: Params, cells: Any, positions: Any, key: Any) -> tuple[Any, Any]:
            rows, given = len(cells), cells.shape[1]
            pick, turns = jax.random.split(key)
            ahead = jax.random.uniform(pick, (rows, columns)).at[:, places[:given]].set(-1.0)
            order = jnp.argsort(ahead, axis=1)
            out = jnp.full((rows, columns), width).at[:, places[:given]].set(cells)

            def step(out: Any, number: Any) -> tuple[Any, None]:
                d = jax.lax.dynamic_index_in_dim(order, number, axis=1, keepdims=False)
                own = logits(weights, out)[jnp.arange(rows), d]
                cell = jax.random.categorical(jax.random.fold_in(turns, number), own)
                return out.at[jnp.arange(rows), d].set(cell), None

            out, _ = jax.lax.scan(step, out, jnp.arange(given, columns))
            return out, None

        return NetworkFunctions(initial, loss, draw)
