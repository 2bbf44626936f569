"""Train a network of a generator: the same loop for all of them.

A hundred steps run in one compiled call. Progress, cancelling, validation and checkpoints come between the calls. All random
numbers follow from the seed and the step, so that a resumed fit learns bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import Array, Floats, Ints
from core.progress import ReportProgress
from training.engine.generators.protocol import Checkpoints, Curves, fit_digest, keep_state, kept_state

Params = dict[str, Any]  # name -> array of jax
Batch = tuple[Any, Any]  # cells (B, D) and positions (B, D)

_STEPS_A_CALL = 100
_BATCH = 512
_VALIDATION_SHARE, _MOST_VALIDATION = 0.1, 4_096  # rows
_LEAST_VALIDATION = 200  # rows of the table, below which all are trained on
_PATIENCE = 8  # calls without a lower validation loss
_DECAY = 0.995  # of the moving average of the weights
_CRITIC_STEPS = 3
_CRITIC = "critic"  # the critic's weights begin with it


@dataclass(frozen=True)
class NetworkFunctions:
    """Hold the functions of a network, all of jax arrays.

    initial: key -> weights. loss: (weights, batch, key) -> mean loss of a row.
    draw: (weights, cells given (B, G), positions given (B, G), key) -> cells (B, D), and positions (B, D) or None.
    critic_loss: of an adversary, whose weights begin with ``critic``; it is then trained three steps for each of the network.
    """

    initial: Callable[[Any], Params]
    loss: Callable[[Params, Batch, Any], Any]
    draw: Callable[[Params, Any, Any, Any], tuple[Any, Any]]
    critic_loss: Callable[[Params, Batch, Any], Any] | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """Hold the constants of a network's training. ``decay`` is that of the weights."""

    steps: int
    learning_rate: float = 3e-3
    decay: float = 1e-5


def jax_key(*seeds: int) -> Any:
    """Return the key of jax that follows from some seeds."""
    import jax

    return jax.random.wrap_key_data(jax.numpy.asarray(np.random.SeedSequence(seeds).generate_state(2)))


def train_network(
    network: NetworkFunctions,
    cells: Ints,
    positions: Floats,
    *,
    plan: TrainingPlan,
    seed: int,
    name: str,
    report: ReportProgress,
    checkpoints: Checkpoints | None,
) -> tuple[dict[str, Array], Curves]:
    """Train a network on encoded rows, until the validation loss no longer falls.

    Returns: the averaged weights with the lowest validation loss, and the curves.
    """
    loop = _Loop.of(network, cells, positions, plan, seed)
    digest = fit_digest(cells, seed, plan.steps)
    kept = kept_state(checkpoints, digest)
    state, curves = loop.start() if kept is None else loop.resumed(kept)
    while not loop.ends(state, curves):
        state, losses = loop.call(state)
        curves = np.vstack([curves, losses])
        state = loop.judged(state, losses[2], curves)
        keep_state(checkpoints, digest, loop.packed(state, curves))
        report(losses[0] / plan.steps, f"{name}: step {losses[0]:.0f} of {plan.steps}, loss {losses[2]:.4g}")
    best: dict[str, Array] = {key: np.asarray(value, dtype=np.float64) for key, value in state["best"].items()}
    return best, Curves(curves[:, 0].astype(np.int64), curves[:, 1], curves[:, 2])


@dataclass(frozen=True)
class _Loop:
    network: NetworkFunctions
    plan: TrainingPlan
    seed: int
    validates: bool
    run: Callable[[Any, Any], tuple[Any, Any]]  # (state, keys (S,)) -> (state, losses (S,)), compiled
    validate: Callable[[Params], Any]

    @classmethod
    def of(cls, network: NetworkFunctions, cells: Ints, positions: Floats, plan: TrainingPlan, seed: int) -> _Loop:
        import jax

        order = np.random.default_rng([seed, 7]).permutation(len(cells))
        validates = len(cells) >= _LEAST_VALIDATION and network.critic_loss is None
        held = order[: min(int(len(cells) * _VALIDATION_SHARE), _MOST_VALIDATION)] if validates else order[:_BATCH]
        trained = order[len(held) :] if validates else order
        rows = _on_device(cells[trained], positions[trained])
        held_rows, key = _on_device(cells[held], positions[held]), jax_key(seed, 8)
        update = _update_of(network, plan)

        def step(state: Any, key: Any) -> tuple[Any, Any]:
            pick, draw = jax.random.split(key)
            index = jax.random.randint(pick, (min(_BATCH, len(trained)),), 0, len(trained))
            return update(state, (rows[0][index], rows[1][index]), draw)  # type: ignore[no-any-return]

        return cls(
            network, plan, seed, validates,
            run=jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)),
            validate=jax.jit(lambda weights: network.loss(weights, held_rows, key)),
        )  # fmt: skip

    def start(self) -> tuple[dict[str, Any], Floats]:
        """Return the state before the first step, and empty curves."""
        weights = self.network.initial(jax_key(self.seed, 0))
        inner = {
            "weights": weights,
            "average": weights,
            "optimiser": _optimiser_start(self.network, self.plan, weights),
        }
        return {"inner": inner, "best": weights}, np.zeros((0, 3))

    def ends(self, state: dict[str, Any], curves: Floats) -> bool:
        """Tell whether all steps are done, or the validation loss no longer falls."""
        if not len(curves):
            return False
        since = len(curves) - 1 - int(curves[:, 2].argmin())
        return curves[-1, 0] >= self.plan.steps or (self.validates and since >= _PATIENCE)

    def call(self, state: dict[str, Any]) -> tuple[dict[str, Any], Floats]:
        """Run up to a hundred steps. Returns the state and (step, training loss, validation loss)."""
        import jax

        done = int(np.asarray(state["inner"]["optimiser"]["steps"]))
        count = min(_STEPS_A_CALL, self.plan.steps - done)
        inner, losses = self.run(state["inner"], jax.random.split(jax_key(self.seed, 1, done), count))
        measured = float(self.validate(inner["average"]))
        return state | {"inner": inner}, np.array([done + count, float(losses.mean()), measured])

    def judged(self, state: dict[str, Any], loss: float, curves: Floats) -> dict[str, Any]:
        """Return the state with its average as the best one, if it is."""
        if not self.validates or loss <= curves[:, 2].min():
            return state | {"best": state["inner"]["average"]}
        return state

    def packed(self, state: dict[str, Any], curves: Floats) -> dict[str, Array]:
        """Return the state as arrays that can be packed."""
        import jax

        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        kinds = {"i": np.int64, "u": np.int64, "f": np.float64}
        out: dict[str, Array] = {f"leaf_{i}": leaf.astype(kinds[leaf.dtype.kind]) for i, leaf in enumerate(leaves)}
        return out | {"curves": curves}

    def resumed(self, kept: Mapping[str, Array]) -> tuple[dict[str, Any], Floats]:
        """Return the state and the curves that ``packed`` gave."""
        import jax

        empty, _ = self.start()
        leaves, shape = jax.tree.flatten(empty)
        back = [jax.numpy.asarray(kept[f"leaf_{i}"], dtype=leaf.dtype) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(shape, back), kept["curves"].astype(np.float64)


def _on_device(cells: Ints, positions: Floats) -> Batch:
    import jax.numpy as jnp

    return jnp.asarray(cells, dtype=jnp.int32), jnp.asarray(positions, dtype=jnp.float32)


def _optimisers(network: NetworkFunctions, plan: TrainingPlan) -> tuple[Any, Any]:
    """Return the optimiser of the network and that of the critic."""
    import optax

    if network.critic_loss is not None:
        return (optax.adam(plan.learning_rate, 0.5, 0.9), optax.adam(plan.learning_rate, 0.5, 0.9))
    rate = optax.cosine_onecycle_schedule(max(plan.steps, 10), plan.learning_rate, pct_start=0.2)
    usual = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=plan.decay))
    return usual, usual


def _parts(weights: Params) -> tuple[Params, Params]:
    critic = {key: value for key, value in weights.items() if key.startswith(_CRITIC)}
    return {key: value for key, value in weights.items() if key not in critic}, critic


def _optimiser_start(network: NetworkFunctions, plan: TrainingPlan, weights: Params) -> dict[str, Any]:
    import jax.numpy as jnp

    own, critics = _optimisers(network, plan)
    mine, critic = _parts(weights)
    return {"steps": jnp.zeros((), dtype=jnp.int32), "own": own.init(mine), "critic": critics.init(critic)}


def _update_of(network: NetworkFunctions, plan: TrainingPlan) -> Callable[[Any, Batch, Any], tuple[Any, Any]]:
    """Return the function of one step: (state, batch, key) -> (state, loss)."""
    import jax
    import optax

    own, critics = _optimisers(network, plan)

    def descend(optimiser: Any, loss: Any, mine: Params, others: Params, kept: Any, batch: Batch, key: Any) -> Any:
        value, slope = jax.value_and_grad(lambda part: loss({**part, **others}, batch, key))(mine)
        changes, kept = optimiser.update(slope, kept, mine)
        return optax.apply_updates(mine, changes), kept, value

    def update(state: Any, batch: Batch, key: Any) -> tuple[Any, Any]:
        mine, critic = _parts(state["weights"])
        kept = state["optimiser"]
        critic_kept = kept["critic"]
        if network.critic_loss is not None:
            for turn in jax.random.split(key, _CRITIC_STEPS):
                critic, critic_kept, _ = descend(critics, network.critic_loss, critic, mine, critic_kept, batch, turn)
        mine, own_kept, loss = descend(own, network.loss, mine, critic, kept["own"], batch, key)
        weights = {**mine, **critic}
        share = jax.numpy.minimum(_DECAY, (1.0 + kept["steps"]) / (10.0 + kept["steps"]))
        average = jax.tree.map(lambda old, new: share * old + (1.0 - share) * new, state["average"], weights)
        optimiser = {"steps": kept["steps"] + 1, "own": own_kept, "critic": critic_kept}
        return {"weights": weights, "average": average, "optimiser": optimiser}, loss

    return update
