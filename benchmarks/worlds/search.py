"""Search the best known policy of each family in the world itself, and keep it in ``best.json``.

``python -m benchmarks.worlds.search``: fitted Q-iteration with hinges on a large log without noise, over discounts and margins,
then random steps that must be better for fresh people. A policy sees what the app sees, no hidden state.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import arguments
from benchmarks.worlds.population import Population
from benchmarks.worlds.protocol import World
from benchmarks.worlds.registry import FAMILIES, world_named
from benchmarks.worlds.truth import truth_of
from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from privacy.engine.moments.rows import ReleaseRows

BEST = Path(__file__).parent / "best.json"
_PEOPLE, _SWEEPS, _SEED = 3_000, 80, 11
_GAMMAS, _MARGINS = (0.0, 0.8, 0.95), (0.0, 0.1, 0.2, 0.35)
_STEPS, _FIRST_STEP = 150, 0.1


def best_policy(world: World) -> LinearPolicy:
    """Read the best known policy of a family."""
    stored = json.loads(BEST.read_text())[world.name]
    phi = FeatureMap.of(world.spec, True)
    return LinearPolicy(phi, np.array(stored["weights"]), stored["margin"], world.spec.main_head.reference_index)


def search(world: World, steps: int = _STEPS) -> LinearPolicy:
    """Search a policy: the best of the fits, then improved by random steps."""
    rows = Population(world, _PEOPLE, np.random.default_rng(_SEED)).live(30).training()
    fits = [fitted(world, rows, gamma) for gamma in _GAMMAS]
    margins = [replace(fit, margin=margin) for fit in fits for margin in _MARGINS]
    best = max(margins, key=lambda policy: _value(world, policy))
    return _climb(world, best, steps)


def fitted(world: World, rows: ReleaseRows, gamma: float) -> LinearPolicy:
    """Fit Q by least squares on raw rows with a discount."""
    head, phi = world.spec.main_head, FeatureMap.of(world.spec, True)
    now, later = phi.phi(rows.state), phi.phi(rows.next_state)
    stays, reward = ~rows.dropped_out, rows.reward / world.spec.reward.scale
    usable = rows.has_next | rows.dropped_out
    maps = []
    for action in range(len(head.actions)):
        mine = usable & (rows.action == action)
        x = now[mine]
        maps.append((mine, np.linalg.solve(x.T @ x + np.eye(phi.width), x.T)))
    weights = np.zeros((len(head.actions), phi.width))
    for _ in range(_SWEEPS if gamma > 0 else 1):
        target = reward + gamma * stays * (later @ weights.T).max(axis=1)
        weights = np.stack([solve @ target[mine] for mine, solve in maps])
    return LinearPolicy(phi, weights - weights[head.reference_index], 0.0, head.reference_index)


def _climb(world: World, policy: LinearPolicy, steps: int) -> LinearPolicy:
    rng, value, size = np.random.default_rng(_SEED), _value(world, policy), _FIRST_STEP
    for _ in range(steps):
        tried = replace(policy, weights=policy.weights + size * _direction(policy, rng))
        worth = _value(world, tried)
        if worth > value:
            policy, value = tried, worth
        else:
            size = max(0.97 * size, 0.02)
    return policy


def _direction(policy: LinearPolicy, rng: np.random.Generator) -> Floats:
    """Draw a step in a third of the weights, never in those of the reference."""
    step = rng.normal(size=policy.weights.shape) * (rng.random(policy.weights.shape) < 1 / 3)
    step[policy.reference] = 0.0
    return np.asarray(step)


def _value(world: World, policy: LinearPolicy) -> float:
    return truth_of(world, policy, people=1_000, seed=_SEED).value


def main() -> None:
    """Search in every family, print the true figures, and store the policies."""
    options = arguments(__doc__, seeds=1).parse_args()
    found = {}
    for name in FAMILIES:
        world = world_named(name)
        policy = search(world, 20 if options.quick else _STEPS)
        truth, reference = truth_of(world, policy), truth_of(world, None)
        print(
            f"{name}: gain {truth.value - reference.value:+.4f} scales a decision, intervenes {truth.intervened:.2f}, "
            f"empathy {truth.empathy:.3f}, false interventions {truth.false_intervention:.3f}"
        )
        found[name] = {"weights": np.round(policy.weights, 4).tolist(), "margin": policy.margin}
    if not options.quick:
        BEST.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
