"""A cohort: what an app would have logged about simulated people over some days."""

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
    """n people over T decision points. Sub-heads' actions are -1 where policy waits, all heads' where unavailable."""

    state: Floats
    available: np.ndarray
    actions: dict[str, Ints]
    propensities: dict[str, Floats]
    components: Floats
    reward: Floats
    label: Ints

    @property
    def label_names(self) -> tuple[str, ...]:
        return LABELS


def simulate(
    spec: LoopSpec,
    people: SimulatedPeople,
    days: int,
    rng: np.random.Generator,
    policy: PolicyFunction | None = None,
    sub_policies: Mapping[str, PolicyFunction] | None = None,
) -> Cohort:
    """Live ``days``. ``policy`` None draws every head from its logging distribution; with a policy, sub-heads without one
    take their reference. One ``rng`` state gives the same people the same shocks whatever the policy.
    """
    inner, steps = begin(people, rng), []
    for _ in range(days * POINTS_A_DAY):
        seen, inner = _point(spec, people, inner, rng, policy, sub_policies or {})
        steps.append(seen)
    return _stacked(steps)


def _point(
    spec: LoopSpec,
    people: SimulatedPeople,
    inner: InnerState,
    rng: np.random.Generator,
    policy: PolicyFunction | None,
    sub_policies: Mapping[str, PolicyFunction],
) -> tuple[dict[str, np.ndarray], InnerState]:
    """What one decision point shows, and everybody's state afterwards."""
    draws, shocks = rng.random((people.n, len(spec.heads) + 1)), rng.normal(size=(people.n, SHOCKS))
    available = draws[:, -1] >= _UNAVAILABLE[inner.state[:, 7].astype(int)]
    actions, propensities = choose(spec, inner.state, draws, policy, sub_policies)
    actions[MAIN_HEAD] = np.where(available, actions[MAIN_HEAD], WAIT)
    lived = step(spec, people, inner, actions, shocks)
    out = {
        "state": inner.state,
        "available": available,
        "components": lived.components,
        "reward": lived.reward,
        "label": lived.label,
    }
    for head in spec.heads:
        spoke = available if head.when == "always" else available & (actions[MAIN_HEAD] != WAIT)
        out[f"a:{head.name}"] = np.where(spoke, actions[head.name], -1)
        out[f"p:{head.name}"] = np.where(spoke, propensities[head.name], np.nan)
    return out, lived.after


def choose(
    spec: LoopSpec,
    state: Floats,
    draws: Floats,
    policy: PolicyFunction | None,
    sub_policies: Mapping[str, PolicyFunction],
) -> tuple[dict[str, Ints], dict[str, Floats]]:
    """Actions and their probabilities by head, from one uniform a person and head."""
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
        picked = (draws[:, [h]] > np.cumsum(probabilities, axis=1)).sum(axis=1).clip(0, len(head.actions) - 1)
        actions[head.name] = picked
        propensities[head.name] = probabilities[np.arange(len(state)), picked]
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
