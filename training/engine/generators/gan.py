"""Draw rows by a generative adversarial network on normal scores and soft categories.

Given columns have a network of their own, and the others have one under them. Both are trained at once.

Source: Gulrajani et al., Improved Training of Wasserstein GANs (2017); Jang et al., Categorical Reparameterization with
Gumbel-Softmax (2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.arrays import Ints
from training.engine.generators.encoding import Encoder
from training.engine.generators.networks import NetworkGenerator, dense, hidden, hidden_weights, parts_of
from training.engine.generators.training_loop import Batch, NetworkFunctions, Params, TrainingPlan
from training.engine.tables.schema import CategoryColumn

_WIDTH, _NOISE, _LAYERS = 256, 64, 2
_TEMPERATURE, _PENALTY = 0.5, 10.0


class Gan(NetworkGenerator):
    """Fit a Wasserstein adversarial network with gradient penalty."""

    name = "gan"
    plan = TrainingPlan(steps=4_000, learning_rate=4e-4)

    def network(self, encoder: Encoder) -> NetworkFunctions:
        """Return the network for the columns of an encoder. A critic reads the rows of each part."""
        import jax
        import jax.numpy as jnp

        view = _View(encoder)
        parts = parts_of(encoder)

        def initial(key: Any) -> Params:
            out: Params = {}
            for p, (own, read) in enumerate(parts):
                keys, context = jax.random.split(jax.random.fold_in(key, p), 6), view.width(read)
                out |= {
                    f"part_{p}_in": dense(keys[0], _NOISE + context, _WIDTH),
                    f"part_{p}_out": dense(keys[1], _WIDTH, view.width(own)),
                    f"part_{p}_out_bias": jnp.asarray(view.start(own)),
                    f"critic_{p}_in": dense(keys[2], view.width(own) + context, _WIDTH),
                    f"critic_{p}_out": dense(keys[3], _WIDTH, 1),
                }
                out |= hidden_weights(keys[4], f"part_{p}_inner", _WIDTH, _LAYERS)
                out |= hidden_weights(keys[5], f"critic_{p}_inner", _WIDTH, _LAYERS)
            return out

        def made(weights: Params, p: int, context: Any, key: Any) -> Any:
            """Return soft rows (B, W) of a part under a context."""
            noise, soft = jax.random.split(key)
            inputs = jnp.concatenate([jax.random.normal(noise, (len(context), _NOISE)), context], axis=1)
            out = hidden(weights, f"part_{p}_inner", inputs @ weights[f"part_{p}_in"], _LAYERS)
            return view.soft(parts[p][0], out @ weights[f"part_{p}_out"] + weights[f"part_{p}_out_bias"], soft)

        def judged(weights: Params, p: int, rows: Any) -> Any:
            return (
                hidden(weights, f"critic_{p}_inner", rows @ weights[f"critic_{p}_in"], _LAYERS)
                @ weights[f"critic_{p}_out"]
            )[:, 0]

        def loss(weights: Params, batch: Batch, key: Any) -> Any:
            total = 0.0
            for p, (_, read) in enumerate(parts):
                context = view.rows(read, *batch)
                fake = made(weights, p, context, jax.random.fold_in(key, p))
                total = total - judged(weights, p, jnp.concatenate([fake, context], axis=1)).mean()
            return total

        def critic_loss(weights: Params, batch: Batch, key: Any) -> Any:
            total = 0.0
            for p, (own, read) in enumerate(parts):
                draw, mix = jax.random.split(jax.random.fold_in(key, p))
                context = view.rows(read, *batch)
                real = jnp.concatenate([view.rows(own, *batch), context], axis=1)
                fake = jnp.concatenate([made(weights, p, context, draw), context], axis=1)
                share = jax.random.uniform(mix, (len(real), 1))
                slope = jax.grad(lambda rows, p=p: judged(weights, p, rows).sum())(share * real + (1 - share) * fake)
                size = jnp.sqrt((slope**2).sum(axis=1) + 1e-12)
                gap = judged(weights, p, fake).mean() - judged(weights, p, real).mean()
                total = total + gap + _PENALTY * ((size - 1.0) ** 2).mean()
            return total

        def draw(weights: Params, cells: Any, positions: Any, key: Any) -> tuple[Any, Any]:
            known, shape = bool(cells.shape[1]), (len(cells), len(encoder.own))
            out, places = jnp.zeros(shape, dtype=jnp.int32), jnp.zeros(shape)
            if known:
                given = encoder.given_places
                out, places = out.at[:, given].set(cells), places.at[:, given].set(positions)
            for p, (own, read) in list(enumerate(parts))[known:]:
                fake = made(weights, p, view.rows(read, out, places), jax.random.fold_in(key, p))
                own_cells, own_places = view.hard(own, fake)
                out, places = out.at[:, own].set(own_cells), places.at[:, own].set(own_places)
            return out, places

        return NetworkFunctions(initial, loss, draw, critic_loss)


class _View:
    """See encoded rows as a critic does: a normal score for each number, and an indicator for each category."""

    def __init__(self, encoder: Encoder) -> None:
        self.cells = [encoder.cells[i] for i in encoder.own]
        self.is_category = [isinstance(c.column, CategoryColumn) for c in self.cells]

    def width(self, columns: Ints) -> int:
        """Return the width of some columns."""
        return sum(self.cells[d].size if self.is_category[d] else 1 for d in columns)

    def start(self, columns: Ints) -> np.ndarray:
        """Return the biases (W,) that the last layer starts from: the categories' shares."""
        parts = [np.log(self.cells[d].shares) if self.is_category[d] else np.zeros(1) for d in columns]
        return np.asarray(np.maximum(np.concatenate(parts), -8.0))

    def rows(self, columns: Ints, cells: Any, positions: Any) -> Any:
        """Return rows (B, W) of cells (B, D) and positions (B, D)."""
        import jax
        import jax.numpy as jnp

        out = [jnp.zeros((len(cells), 0))]
        for d in columns:
            if self.is_category[d]:
                out.append(jax.nn.one_hot(cells[:, d], self.cells[d].size))
                continue
            starts, shares = (jnp.asarray(a, dtype=jnp.float32) for a in (self.cells[d].starts, self.cells[d].shares))
            place = starts[cells[:, d]] + shares[cells[:, d]] * positions[:, d]
            out.append(jax.scipy.special.ndtri(jnp.clip(place, 1e-4, 1 - 1e-4))[:, None])
        return jnp.concatenate(out, axis=1)

    def soft(self, columns: Ints, outputs: Any, key: Any) -> Any:
        """Return soft rows (B, W) of a network's outputs (B, W): categories by the Gumbel softmax."""
        import jax
        import jax.numpy as jnp

        out, first = [], 0
        for d in columns:
            width = self.cells[d].size if self.is_category[d] else 1
            part = outputs[:, first : first + width]
            if self.is_category[d]:
                noise = jax.random.gumbel(jax.random.fold_in(key, int(d)), part.shape)
                part = jax.nn.softmax((part + noise) / _TEMPERATURE)
            out.append(part)
            first += width
        return jnp.concatenate(out, axis=1)

    def hard(self, columns: Ints, rows: Any) -> tuple[Any, Any]:
        """Return the cells and positions (B, columns) of soft rows (B, W)."""
        import jax
        import jax.numpy as jnp

        cells, positions, first = list[Any](), list[Any](), 0
        for d in columns:
            width = self.cells[d].size if self.is_category[d] else 1
            part = rows[:, first : first + width]
            first += width
            if self.is_category[d]:
                cells.append(part.argmax(axis=1))
                positions.append(jnp.full(len(rows), 0.5))
                continue
            starts, shares = (jnp.asarray(a, dtype=jnp.float32) for a in (self.cells[d].starts, self.cells[d].shares))
            place = jax.scipy.special.ndtr(part[:, 0])
            cell = jnp.clip(jnp.searchsorted(starts, place, side="right") - 1, 0, len(starts) - 1)
            cells.append(cell)
            positions.append(jnp.clip((place - starts[cell]) / shares[cell], 0.0, 1.0 - 1e-6))
        return jnp.stack(cells, axis=1), jnp.stack(positions, axis=1)
