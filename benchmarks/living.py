"""A simulated population that lives on while a loop serves it: exploration flagged, propensities as serving stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.cohorts import cohort_judged
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
    """What an app would have logged of a month. ``conditional`` propensities are given the flag, ``marginal`` over it."""

    cohort: Cohort
    explored: np.ndarray
    marginal: dict[str, Floats]

    def training(self, spec: LoopSpec, first: int, last: int) -> ReleaseRows:
        """What a release reads of people first..last-1."""
        return cohort_judged(spec, self.cohort, first, last, self.explored).rows

    def judged(self, spec: LoopSpec, first: int, last: int) -> EvaluationRows:
        """What an evaluation reads of them."""
        marginal = Cohort(**{**self.cohort.__dict__, "propensities": self.marginal})
        return cohort_judged(spec, marginal, first, last, self.explored)


class Population:
    """People who carry their state from month to month."""

    def __init__(self, spec: LoopSpec, people: SimulatedPeople, rng: np.random.Generator) -> None:
        self._spec, self._people, self._rng = spec, people, rng
        self._inner = begin(people, rng)

    def live(self, days: int, serving: Mapping[str, LinearPolicy], exploration: float) -> Month:
        """Days under what serves; heads without a policy serve their reference. One flag a decision point explores all heads."""
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
            spoke = available if head.when == "always" else available & (chosen[MAIN_HEAD] != WAIT)
            for part, absent in (("a", -1), ("p", np.nan), ("m", np.nan)):
                out[f"{part}:{head.name}"] = np.where(spoke, out[f"{part}:{head.name}"], absent)
        lived = step(spec, self._people, inner, chosen, self._rng.normal(size=(n, SHOCKS)))
        self._inner = lived.after
        return out | {"components": lived.components, "reward": lived.reward, "label": lived.label}

    def _choose(
        self, name: str, serving: Mapping[str, LinearPolicy], explored: np.ndarray, exploration: float, inner: InnerState,
        out: dict[str, np.ndarray],
    ) -> np.ndarray:  # fmt: skip
        """Actions of one head, with both propensities written into ``out``. A sub-head's are given what policy did."""
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
    """P(explored | what policy did): Bayes over the one flag."""
    policy = out[f"a:{MAIN_HEAD}"]
    drawn = exploration * np.array(spec.main_head.logging)[policy]
    return np.asarray(drawn / (drawn + (1.0 - exploration) * (policy == out[f"g:{MAIN_HEAD}"])))
