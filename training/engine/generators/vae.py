"""Draw rows by a variational autoencoder with a learned prior, a mixture of normal distributions.

Given columns have an autoencoder of their own, and the others have one under them. Both are trained at once.

Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014); Tomczak and Welling, VAE with a VampPrior (2018), for why the
prior is a learned mixture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.arrays import Ints
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
    parts_of,
)
from training.engine.generators.training_loop import Batch, NetworkFunctions, Params, TrainingPlan

_WIDTH, _LATENT, _COMPONENTS = 256, 16, 512
_BETA = 0.35  # weight of the divergence from the prior


class Vae(NetworkGenerator):
    """Fit a variational autoencoder."""

    name = "vae"
    plan = TrainingPlan(steps=4_500, learning_rate=4e-3)

    def network(self, encoder: Encoder) -> NetworkFunctions:
        """Return the network for the columns of an encoder."""
        import jax
        import jax.numpy as jnp

        parts = parts_of(encoder)
        models = [_Part(encoder, own, read, f"part_{p}") for p, (own, read) in enumerate(parts)]

        def initial(key: Any) -> Params:
            keys = jax.random.split(key, len(models))
            return {name: w for model, k in zip(models, keys, strict=True) for name, w in model.initial(k).items()}

        def loss(weights: Params, batch: Batch, key: Any) -> Any:
            keys = jax.random.split(key, len(models))
            return sum(model.loss(weights, batch[0], k) for model, k in zip(models, keys, strict=True)).mean()

        def draw(weights: Params, cells: Any, positions: Any, key: Any) -> tuple[Any, Any]:
            rows = len(cells)
            out = jnp.zeros((rows, len(encoder.own)), dtype=jnp.int32)
            known = bool(cells.shape[1])
            if known:
                out = out.at[:, encoder.given_places].set(cells)
            for model, k in zip(models[known:], jax.random.split(key, len(models))[known:], strict=True):
                out = out.at[:, model.own].set(model.draw(weights, out, k))
            return out, None

        return NetworkFunctions(initial, loss, draw)


class _Part:
    """Model the columns ``own`` under the columns ``read``."""

    def __init__(self, encoder: Encoder, own: Ints, read: Ints, name: str) -> None:
        sizes = tuple(encoder.sizes[d] for d in own)
        self.own, self.read, self.name = own, read, name
        self.width, self.read_width = max(sizes), max((encoder.sizes[d] for d in read), default=0)
        self.absent = absent_cells(sizes)
        self.marginal = marginal_logits(encoder)[own, : self.width]

    def initial(self, key: Any) -> Params:
        """Return initial weights."""
        import jax
        import jax.numpy as jnp

        keys = jax.random.split(key, 9)
        columns, context = len(self.own), len(self.read) * self.read_width
        scale = 1 / np.sqrt(columns + len(self.read))
        out = {
            "in": scale * jax.random.normal(keys[0], (columns * self.width + context, _WIDTH)),
            "code": dense(keys[1], _WIDTH, 2 * _LATENT),
            "decode": dense(keys[2], _LATENT, _WIDTH),
            "out": 0.1 * dense(keys[3], _WIDTH, columns * self.width),
            "out_bias": jnp.asarray(self.marginal),
            "means": jax.random.normal(keys[4], (_COMPONENTS, _LATENT)),
            "widths": jnp.full((_COMPONENTS, _LATENT), -0.5),
            "shares": jnp.zeros(_COMPONENTS),
        }
        if context:
            out["context"] = scale * jax.random.normal(keys[5], (context, _WIDTH))
            out["context_shares"] = 0.1 * dense(keys[6], _WIDTH, _COMPONENTS)
        layers = hidden_weights(keys[7], f"{self.name}_encode", _WIDTH, 1)
        layers |= hidden_weights(keys[8], f"{self.name}_decode", _WIDTH, 1)
        return {f"{self.name}_{name}": value for name, value in out.items()} | layers

    def loss(self, weights: Params, cells: Any, key: Any) -> Any:
        """Return the weighted bound on the negative log likelihood (B,)."""
        import jax
        import jax.numpy as jnp

        own, context = cells[:, self.own], self._context(cells)
        inputs = jnp.concatenate([indicators(own, self.width), context], axis=1)
        code = hidden(weights, f"{self.name}_encode", inputs @ self._of(weights, "in"), 1) @ self._of(weights, "code")
        mean, log_sd = code[:, :_LATENT], jnp.clip(code[:, _LATENT:] - 1.0, -7.0, 2.0)
        noise = jax.random.normal(key, mean.shape)
        latent = mean + jnp.exp(log_sd) * noise
        entropy = cross_entropy(self._logits(weights, latent, context), own).sum(axis=1)
        posterior = -(0.5 * noise**2 + log_sd).sum(axis=1)
        return entropy + _BETA * (posterior - self._prior(weights, latent, context))

    def draw(self, weights: Params, cells: Any, key: Any) -> Any:
        """Draw the cells (B, own) under the columns that are read in ``cells`` (B, D)."""
        import jax
        import jax.numpy as jnp

        component, place, cell = jax.random.split(key, 3)
        context = self._context(cells)
        shares = jnp.broadcast_to(self._shares(weights, context), (len(cells), _COMPONENTS))
        picked = jax.random.categorical(component, shares)
        means, widths = self._of(weights, "means")[picked], jnp.exp(self._of(weights, "widths")[picked])
        latent = means + widths * jax.random.normal(place, means.shape)
        return jax.random.categorical(cell, self._logits(weights, latent, context))

    def _of(self, weights: Params, name: str) -> Any:
        return weights[f"{self.name}_{name}"]

    def _context(self, cells: Any) -> Any:
        import jax.numpy as jnp

        return indicators(cells[:, self.read], self.read_width) if len(self.read) else jnp.zeros((len(cells), 0))

    def _logits(self, weights: Params, latent: Any, context: Any) -> Any:
        first = latent @ self._of(weights, "decode")
        if context.shape[1]:
            first = first + context @ self._of(weights, "context")
        out = hidden(weights, f"{self.name}_decode", first, 1) @ self._of(weights, "out")
        return out.reshape(len(latent), len(self.own), self.width) + self._of(weights, "out_bias") + self.absent

    def _shares(self, weights: Params, context: Any) -> Any:
        """Return the logits of the prior's components, (K,) or (B, K) under a context."""
        import jax

        shares = self._of(weights, "shares")
        if not context.shape[1]:
            return shares
        return shares + jax.nn.silu(context @ self._of(weights, "context")) @ self._of(weights, "context_shares")

    def _prior(self, weights: Params, latent: Any, context: Any) -> Any:
        """Return the log density (B,) of the prior, without the constant that the posterior lacks too."""
        import jax

        means, widths = self._of(weights, "means"), self._of(weights, "widths")
        precision = jax.numpy.exp(-2 * widths)
        square = latent**2 @ precision.T - 2 * latent @ (means * precision).T + (means**2 * precision).sum(axis=1)
        log = -0.5 * square - widths.sum(axis=1) + jax.nn.log_softmax(self._shares(weights, context))
        return jax.nn.logsumexp(log, axis=1)
