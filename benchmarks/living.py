"""Simulate a population over several months under a loop's deployed policies, with exploration flags and propensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.cohorts import evaluation_rows
from core.arrays import Floats
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from privacy.engine.evaluation.statistics import EvaluationRows
from privacy.engine.moments.rows import ReleaseRows
from simulator import Cohort, SimulatedPeople
from simulator.effects import WAIT
from simulator.people import POINTS_A_DAY, InnerState, begin
from simulator.step import SHOCKS, step

_UNAVAILABLE = np.array([0.08, 0.08, 0.08, 0.22])  # by daypart


@dataclass(frozen=True)
class Month:
    """Hold an app's log of a month, with flags ``explored`` (people, points).

    The cohort's propensities are conditional on the exploration flag. ``marginal`` holds the propensities averaged over it.
    """

    cohort: Cohort
    explored: np.ndarray
    marginal: dict[str, Floats]

    def training(self, spec: LoopSpec, first: int, last: int) -> ReleaseRows:
        """Return the rows of people first..last-1 that a release reads, with conditional propensities."""
        return evaluation_rows(spec, self.cohort, first, last, self.explored).rows

    def evaluation(self, spec: LoopSpec, first: int, last: int) -> EvaluationRows:
        """Return the rows of people first..last-1 that an evaluation reads, with marginal propensities."""
        marginal = Cohort(**{**self.cohort.__dict__, "propensities": self.marginal})
        return evaluation_rows(spec, marginal, first, last, self.explored)


class Population:
    """Simulate people who keep their state from month to month."""

    def __init__(self, spec: LoopSpec, people: SimulatedPeople, rng: np.random.Generator) -> None:
        self._spec, self._people, self._rng = spec, people, rng
        self._inner = begin(people, rng)

    def live(self, days: int, serving: Mapping[str, LinearPolicy], exploration: float) -> Month:
        """Simulate days under the deployed policies. A head without one takes its reference action.

        One exploration flag per decision point applies to all heads.
        """
        steps = [self._point(serving, exploration) for _ in range(days * POINTS_A_DAY)]
        merged = {k: np.stack([s[k] for s in steps], axis=1) for k in steps[0]}
        heads = [h.name for h in self._spec.heads]
        cohort = Cohort(
            state=merged["state"],
            available=merged["available"],
            actions={h: merged[f"a:{h}"] for h in heads},
            propensities={h: merged[f"p:{h}"] for h in heads},
            components=merged["components"],
            reward=merged["reward"],
            label=merged["label"],
        )
        return Month(cohort, merged["explored"], {h: merged[f"m:{h}"] for h in heads})

    def _point(self, serving: Mapping[str, LinearPolicy], exploration: float) -> dict[str, np.ndarray]:
        spec, inner, n = self._spec, self._inner, self._people.n
        available = self._rng.random(n) >= _UNAVAILABLE[inner.state[:, 7].astype(int)]
        explored = self._rng.random(n) < exploration
        out: dict[str, np.ndarray] = {"state": inner.state, "available": available, "explored": explored & available}
        chosen = {
            h.name: self._choose(h.name, serving, explored, exploration, inner, out) for h in spec.heads_main_first
        }
        chosen[MAIN_HEAD] = np.where(available, chosen[MAIN_HEAD], WAIT)
        for head in spec.heads:
            decided = available if head.when == "always" else available & (chosen[MAIN_HEAD] != WAIT)
            for part, absent in (("a", -1), ("p", np.nan), ("m", np.nan)):
                out[f"{part}:{head.name}"] = np.where(decided, out[f"{part}:{head.name}"], absent)
        result = step(spec, self._people, inner, chosen, self._rng.normal(size=(n, SHOCKS)))
        self._inner = result.after
        return out | {"components": result.components, "reward": result.reward, "label": result.label}

    def _choose(
        self, name: str, serving: Mapping[str, LinearPolicy], explored: np.ndarray, exploration: float, inner: InnerState,
        out: dict[str, np.ndarray],
    ) -> np.ndarray:  # fmt: skip
        """Choose the actions of one head, and write both propensities into ``out``.

        The propensities of a sub-head are conditional on the main head's action.
        """
        logging = np.array(self._spec.head(name).logging)
        greedy = (serving.get(name) or reference_policy(self._spec, name)).actions(inner.state)
        drawn = self._rng.choice(len(logging), size=len(greedy), p=logging)
        action = np.where(explored, drawn, greedy)
        flag = exploration if name == MAIN_HEAD else _flag_given_policy(self._spec, exploration, out)
        out[f"a:{name}"] = action
        out[f"p:{name}"] = np.where(explored, logging[action], 1.0)
        out[f"m:{name}"] = flag * logging[action] + (1.0 - flag) * (action == greedy)
        out[f"g:{name}"] = greedy
        return np.asarray(action)


def _flag_given_policy(spec: LoopSpec, exploration: float, out: dict[str, np.ndarray]) -> Floats:
    """Return P(explored | action of the main head), by Bayes' rule over the shared exploration flag."""
    policy = out[f"a:{MAIN_HEAD}"]
    drawn = exploration * np.array(spec.main_head.logging)[policy]
    return np.asarray(drawn / (drawn + (1.0 - exploration) * (policy == out[f"g:{MAIN_HEAD}"])))
