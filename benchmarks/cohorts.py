"""Convert simulated cohorts to the arrays that a release and an evaluation read, without a database."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from privacy.engine.evaluation.statistics import EvaluationRows
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows
from simulator import Cohort

SPECS = Path(__file__).parent.parent / "loops" / "specs"
_HARMFUL_FROM = 3  # label codes from "dismissed" on


def builtin_spec(name: str = "r3al") -> LoopSpec:
    """Parse a bundled loop file."""
    path = SPECS / f"{name}.toml"
    return parse_loop(path.read_text(encoding="utf-8"), source=str(path))


def evaluation_rows(
    spec: LoopSpec, cohort: Cohort, first: int, last: int, explored: np.ndarray | None = None
) -> EvaluationRows:
    """Return the available decision points of people first..last-1 of a cohort, with next states within the day.

    Args: explored: (people, points) flags; None marks all points as explored. Propensities are those of the cohort.
    """
    explored = np.ones(cohort.available.shape, bool) if explored is None else explored
    state = cohort.state[first:last]
    people, points = state.shape[:2]
    following = np.concatenate([state[:, 1:], state[:, -1:]], axis=1)
    moment = np.arange(points)
    has_next = ((moment + 1) % spec.decisions_per_day != 0) & (moment < points - 1)
    available = cohort.available[first:last].reshape(-1)

    def flat(values: np.ndarray) -> np.ndarray:
        return np.asarray(values.reshape(people * points, *values.shape[2:])[available])

    rows = ReleaseRows(
        person=flat(np.broadcast_to(np.arange(people)[:, None], (people, points)).copy()),
        state=flat(state),
        next_state=flat(following),
        has_next=flat(np.broadcast_to(has_next, (people, points)).copy()),
        dropped_out=np.zeros(int(available.sum()), bool),
        action=flat(cohort.actions[spec.main_head.name][first:last]),
        propensity=flat(cohort.propensities[spec.main_head.name][first:last]),
        explored=flat(explored[first:last]),
        reward=flat(cohort.reward[first:last]),
        subs={
            h.name: SubHeadRows(
                action=flat(cohort.actions[h.name][first:last]),
                propensity=flat(cohort.propensities[h.name][first:last]),
                explored=flat(explored[first:last]),
            )
            for h in spec.sub_heads
        },
    )
    harmful = (flat(cohort.label[first:last]) >= _HARMFUL_FROM).astype(np.int64)
    return EvaluationRows(rows, flat(cohort.components[first:last, :, 3]), harmful)
