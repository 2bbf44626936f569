"""Logged decisions as arrays, and the rows of them that a training release or an evaluation reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS
from loops.engine.rows.propensities import LEAST_PROPENSITY
from privacy.engine.evaluation.statistics import EvaluationRows
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows


@dataclass(frozen=True)
class HeadArrays:
    """One head's choices in n decisions.

    action (n,): index, -1 where the head made no choice, or one that is not learnable (``learnable_actions``).
    propensity (n,): of that action, given whether it was explored, NaN without a choice. marginal (n,): the propensity over
    both cases. explored (n,).
    """

    action: Ints
    propensity: Floats
    marginal: Floats
    explored: Bools


@dataclass(frozen=True)
class DecisionArrays:
    """n decisions in order of person and time, with F features.

    person (n,): database ids. day (n,): the person's calendar day as an ordinal.
    state (n, F). next_state (n, F): the row's own state where has_next (n,) is false.
    available (n,). dropped_out (n,): the person left for good afterwards.
    heads: choices by head name, policy included.
    reward (n,) in the loop's units, and components (n, 6): NaN where not observed.
    harmful (n,): 1, 0, or -1 without a label. fresh (n,): no earlier release has read the outcome.
    """

    person: Ints
    day: Ints
    state: Floats
    next_state: Floats
    has_next: Bools
    available: Bools
    dropped_out: Bools
    heads: dict[str, HeadArrays]
    reward: Floats
    components: Floats
    harmful: Ints
    fresh: Bools


def learnable_actions(action: Ints, propensity: Floats, marginal: Floats) -> Ints:
    """Return actions (n,), -1 where a propensity is below the least that an import takes.

    Rows that an older version stored may hold one. One such row would outweigh everybody.
    """
    return np.where(np.minimum(propensity, marginal) < LEAST_PROPENSITY, -1, action)


def randomised_rows(arrays: DecisionArrays) -> ReleaseRows:
    """Return the rows that a training release reads: available decisions that policy made, with a fresh observed reward.

    People are numbered from 0.
    """
    return _rows(arrays, _chosen(arrays) & np.isfinite(arrays.reward) & arrays.fresh, marginal=False)


def evaluation_rows(arrays: DecisionArrays) -> EvaluationRows:
    """Return the rows that an evaluation reads: available decisions that policy made, with a reward or a label, fresh or not.

    They carry marginal propensities, empathy and harm labels. A label counts without a reward, or harm that comes alone would
    be invisible. People are numbered from 0.
    """
    usable = _chosen(arrays) & (np.isfinite(arrays.reward) | (arrays.harmful >= 0))
    empathy = arrays.components[usable, COMPONENTS.index("empathy")]
    return EvaluationRows(_rows(arrays, usable, marginal=True), empathy, arrays.harmful[usable])


def _chosen(arrays: DecisionArrays) -> Bools:
    return np.asarray(arrays.available & (arrays.heads[MAIN_HEAD].action >= 0))


def _rows(arrays: DecisionArrays, usable: Bools, *, marginal: bool) -> ReleaseRows:
    _, person = np.unique(arrays.person[usable], return_inverse=True)
    main = _head_rows(arrays.heads[MAIN_HEAD], usable, marginal)
    return ReleaseRows(
        person=person.astype(np.int64).reshape(-1),
        state=arrays.state[usable],
        next_state=arrays.next_state[usable],
        has_next=arrays.has_next[usable],
        dropped_out=arrays.dropped_out[usable],
        action=main.action,
        propensity=main.propensity,
        explored=main.explored,
        reward=arrays.reward[usable],
        subs={name: _head_rows(c, usable, marginal) for name, c in arrays.heads.items() if name != MAIN_HEAD},
    )


def _head_rows(head: HeadArrays, usable: Bools, marginal: bool) -> SubHeadRows:
    propensity = head.marginal if marginal else head.propensity
    return SubHeadRows(head.action[usable], propensity[usable], head.explored[usable])
