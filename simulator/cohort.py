"""Simulate a cohort: the decisions and outcomes that an app would have logged about people over some days."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from simulator.effects import WAIT
from simulator.people import POINTS_A_DAY, InnerState, SimulatedPeople, begin
from simulator.step import LABELS, SHOCKS, step

PolicyFunction = Callable[[Floats], Floats]  # states (n, F) -> probabilities (n, K)
_UNAVAILABLE = np.array([0.08, 0.08, 0.08, 0.22])  # by daypart


@dataclass(frozen=True)
class Cohort:
    """Hold the log of n people over T decision points; every array starts with the axes (n, T).

    Actions of all heads are -1 where a person was unavailable. Actions of sub-heads are also -1 where policy waits.
    """

    state: Floats
    available: np.ndarray
    actions: dict[str, Ints]
    propensities: dict[str, Floats]
    components: Floats
    reward: Floats
    label: Ints

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the response labels, indexed by the codes in ``label``."""
        return LABELS


def simulate(
    spec: LoopSpec,
    people: SimulatedPeople,
    days: int,
    rng: np.random.Generator,
    policy: PolicyFunction | None = None,
    sub_policies: Mapping[str, PolicyFunction] | None = None,
) -> Cohort:
    """Simulate a cohort over ``days``.

    Args: policy: action probabilities of the main head; None draws every head from its logging distribution.
    sub_policies: policies of other heads. With a policy, a head without one takes its reference action.
    rng: the same state gives the same people the same shocks under any policy.
    """
    inner, steps = begin(people, rng), []
    for _ in range(days * POINTS_A_DAY):
        observed, inner = _point(spec, people, inner, rng, policy, sub_policies or {})
        steps.append(observed)
    return _stacked(steps)


def _point(
    spec: LoopSpec,
    people: SimulatedPeople,
    inner: InnerState,
    rng: np.random.Generator,
    policy: PolicyFunction | None,
    sub_policies: Mapping[str, PolicyFunction],
) -> tuple[dict[str, np.ndarray], InnerState]:
    """Simulate one decision point. Return its observations, each with leading axis n, and everybody's next state."""
    draws, shocks = rng.random((people.n, len(spec.heads) + 1)), rng.normal(size=(people.n, SHOCKS))
    available = draws[:, -1] >= _UNAVAILABLE[inner.state[:, 7].astype(int)]
    actions, propensities = choose(spec, inner.state, draws, policy, sub_policies)
    actions[MAIN_HEAD] = np.where(available, actions[MAIN_HEAD], WAIT)
    result = step(spec, people, inner, actions, shocks)
    out = {
        "state": inner.state,
        "available": available,
        "components": result.components,
        "reward": result.reward,
        "label": result.label,
    }
    for head in spec.heads:
        decided = available if head.when == "always" else available & (actions[MAIN_HEAD] != WAIT)
        out[f"a:{head.name}"] = np.where(decided, actions[head.name], -1)
        out[f"p:{head.name}"] = np.where(decided, propensities[head.name], np.nan)
    return out, result.after


def choose(
    spec: LoopSpec,
    state: Floats,
    draws: Floats,
    policy: PolicyFunction | None,
    sub_policies: Mapping[str, PolicyFunction],
) -> tuple[dict[str, Ints], dict[str, Floats]]:
    """Draw actions by inverting the cumulative probabilities, with one uniform per person and head.

    Args: state: (n, F). draws: (n, heads or more) uniforms.
    Returns: actions (n,) and their probabilities (n,), by head.
    """
    actions, propensities = {}, {}
    for h, head in enumerate(spec.heads):
        chooser = policy if head.name == MAIN_HEAD else sub_policies.get(head.name)
        if policy is None:
            probabilities = np.broadcast_to(np.array(head.logging), (len(state), len(head.actions)))
        elif chooser is None:
            probabilities = np.broadcast_to(
                np.eye(len(head.actions))[head.reference_index], (len(state), len(head.actions))
            )
        else:
            probabilities = chooser(state)
        chosen = (draws[:, [h]] > np.cumsum(probabilities, axis=1)).sum(axis=1).clip(0, len(head.actions) - 1)
        actions[head.name] = chosen
        propensities[head.name] = probabilities[np.arange(len(state)), chosen]
    return actions, propensities


def _stacked(steps: list[dict[str, np.ndarray]]) -> Cohort:
    merged = {k: np.stack([s[k] for s in steps], axis=1) for k in steps[0]}
    return Cohort(
        state=merged["state"],
        available=merged["available"],
        actions={k[2:]: v for k, v in merged.items() if k.startswith("a:")},
        propensities={k[2:]: v for k, v in merged.items() if k.startswith("p:")},
        components=merged["components"],
        reward=merged["reward"],
        label=merged["label"],
    )
