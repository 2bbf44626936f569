"""Decisions of people as arrays, and the parts of them that a release or an evaluation computes over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.heads import MAIN_HEAD
from loops.engine.reward import COMPONENTS
from privacy.engine.evaluation.statistics import EvaluationRows
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows


@dataclass(frozen=True)
class HeadArrays:
    """What one head chose (n,): action, -1 where it did not choose or the choice teaches nothing; propensity, given whether
    it was explored, and marginal over that, NaN without a choice; explored.
    """

    action: Ints
    propensity: Floats
    marginal: Floats
    explored: Bools


@dataclass(frozen=True)
class DecisionArrays:
    """n decisions in order of person and time. F features.

    person (n,) database ids; day (n,) the person's calendar day as an ordinal; state (n, F); next_state (n, F), the
    row's own state where has_next (n,) is false; available,
    dropped_out (n,); heads: what each chose, policy among them; reward (n,) in
    the loop's units and components (n, 6), NaN where not observed; harmful (n,): 1, 0, or -1 without a label; fresh (n,):
    the outcome is new, not of an earlier release.
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


def randomised_rows(arrays: DecisionArrays) -> ReleaseRows:
    """What a release reads: available decisions that policy chose, with an observed, fresh reward; people numbered from 0."""
    return _rows(arrays, _usable(arrays) & arrays.fresh, marginal=False)


def judged_rows(arrays: DecisionArrays) -> EvaluationRows:
    """What an evaluation reads: the same decisions with marginal propensities, empathy and labels, whenever they closed."""
    usable = _usable(arrays)
    empathy = arrays.components[usable, COMPONENTS.index("empathy")]
    return EvaluationRows(_rows(arrays, usable, marginal=True), empathy, arrays.harmful[usable])


def _usable(arrays: DecisionArrays) -> Bools:
    return np.asarray(arrays.available & (arrays.heads[MAIN_HEAD].action >= 0) & np.isfinite(arrays.reward))


def _rows(arrays: DecisionArrays, usable: Bools, *, marginal: bool) -> ReleaseRows:
    _, person = np.unique(arrays.person[usable], return_inverse=True)
    main = _spoken(arrays.heads[MAIN_HEAD], usable, marginal)
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
        subs={name: _spoken(c, usable, marginal) for name, c in arrays.heads.items() if name != MAIN_HEAD},
    )


def _spoken(chosen: HeadArrays, usable: Bools, marginal: bool) -> SubHeadRows:
    propensity = chosen.marginal if marginal else chosen.propensity
    return SubHeadRows(chosen.action[usable], propensity[usable], chosen.explored[usable])
