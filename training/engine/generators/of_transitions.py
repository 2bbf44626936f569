"""Make rows of the training pool with any generator of tables.

The generator learns from samples of the world model, which come from the release alone: this is post-processing, and uses no
further privacy. It learns (state, action) and what follows: reward, the change of each feature that is not known, and the
probability of staying. It then draws states, and what follows each action from each of them. Known dynamics are computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import KNOWN_DYNAMICS, LoopSpec
from loops.engine.state.dynamics import advance_known
from training.engine.generators.protocol import Generator, Posterior
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.tables.schema import CategoryColumn, ColumnSchema, NumberColumn, TableSchema
from training.engine.tables.table import Table
from training.engine.world.transitions import Chunk, Transitions

_MODEL_STATES = 4_000  # of the world model, from which a generator learns


def transition_schema(spec: LoopSpec, transitions: Transitions) -> TableSchema:
    """Return the columns of a loop's transitions. Bounds are the loop's, and those of rewards as in the transitions."""
    states = tuple(_column(spec, i, "state") for i in range(len(spec.features)))
    head, reward, stays = spec.head(MAIN_HEAD), transitions.reward, transitions.stays
    return TableSchema(
        (
            *states,
            CategoryColumn("action", head.actions),
            NumberColumn("reward", float(reward.min()), float(reward.max())),
            NumberColumn("stays", float(stays.min()), float(stays.max())),
            *(_column(spec, i, "next") for i in _unknown(spec)),
        )
    )


def given_columns(spec: LoopSpec) -> tuple[str, ...]:
    """Return the columns on which a transition is conditioned: the state's, and the action."""
    return (*(f"state {f.name}" for f in spec.features), "action")


def transition_table(spec: LoopSpec, transitions: Transitions) -> Table:
    """Return transitions as a table, with one row for each state and action. Numbers that follow are changes."""
    rows = transitions.rows()
    values: dict[str, np.ndarray] = {
        "action": rows["action"].astype(np.int64),
        "reward": rows["reward"].astype(np.float64),
        "stays": rows["stays"].astype(np.float64),
    }
    for i, feature in enumerate(spec.features):
        values[f"state {feature.name}"] = _values(spec, i, rows["state"][:, i])
    for i in _unknown(spec):
        change = rows["next_state"][:, i] - (0.0 if spec.features[i].is_category else rows["state"][:, i])
        values[f"next {spec.features[i].name}"] = _values(spec, i, change)
    return Table(transition_schema(spec, transitions), values)


def _unknown(spec: LoopSpec) -> list[int]:
    return [i for i, feature in enumerate(spec.features) if feature.dynamics not in KNOWN_DYNAMICS]


def _column(spec: LoopSpec, i: int, part: str) -> ColumnSchema:
    feature = spec.features[i]
    if feature.is_category:
        return CategoryColumn(f"{part} {feature.name}", feature.categories)
    low, high = feature.range
    return NumberColumn(
        f"{part} {feature.name}", low if part == "state" else low - high, high if part == "state" else high - low
    )


def _values(spec: LoopSpec, i: int, values: Floats) -> np.ndarray:
    return values.astype(np.int64 if spec.features[i].is_category else np.float64)


@dataclass(frozen=True)
class OfTransitions:
    """Draw transitions with a generator of tables."""

    generator: Generator

    @property
    def name(self) -> str:
        """Return the generator's name."""
        return self.generator.name

    def chunks(self, posterior: Posterior, *, states: int, seed: int, longest: int) -> Iterator[Chunk]:
        """Yield ``states`` x K rows in chunks of at most ``longest``. Actions vary fastest."""
        spec = posterior.moments.layout.spec
        world = mean_world(posterior.moments, posterior.baseline, posterior.effects)
        learned_from = synthesize(world, np.random.default_rng([seed, 1]), states=_MODEL_STATES)
        given = given_columns(spec)
        fitted = self.generator.fit(transition_table(spec, learned_from), seed=seed, given=given)
        start = fitted.sample(states, seed=seed)
        state = np.column_stack([start.columns[name] for name in given[:-1]]).astype(np.float64)
        known = {name: start.columns[name] for name in given[:-1]}
        head = spec.head(MAIN_HEAD)
        drawn = [
            fitted.sample(states, seed=seed + 1, given=known | {"action": np.full(states, k, dtype=np.int64)})
            for k in range(len(head.actions))
        ]
        yield from Transitions(
            state=state,
            reward=np.column_stack([table.columns["reward"] for table in drawn]),
            next_state=np.stack(
                [_next(spec, state, k != head.reference_index, table) for k, table in enumerate(drawn)], axis=1
            ),
            stays=np.column_stack([table.columns["stays"] for table in drawn]),
        ).chunks(longest)


def _next(spec: LoopSpec, state: Floats, intervenes: bool, drawn: Table) -> Floats:
    """Return the next states (n, F): what is known is computed, and the rest was drawn."""
    out = advance_known(spec, state, np.full(len(state), intervenes))
    for i in _unknown(spec):
        values, (low, high) = drawn.columns[f"next {spec.features[i].name}"], spec.features[i].range
        is_category = spec.features[i].is_category
        out[:, i] = values if is_category else np.clip(state[:, i] + values, low, high)
    return out
