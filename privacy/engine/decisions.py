"""Decisions of people as arrays, and the parts of them that a release or an evaluation computes over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loops.engine.reward import COMPONENTS
from privacy.engine.evaluate import Judged
from privacy.engine.rows import Bools, Floats, Ints, Rows


@dataclass(frozen=True)
class DecisionArrays:
    """n decisions in order of person and time, as one head sees them. F features.

    person (n,) database ids; day (n,) the person's calendar day as an ordinal; state (n, F); next_state (n, F), the
    row's own state where has_next (n,) is false; available, left (n,); action (n,), -1 where the head did not choose;
    propensity (n,), given whether the choice was explored, and marginal (n,) over that, NaN without a choice;
    explored (n,); reward (n,) in the loop's units and components (n, 6), NaN where not observed; harmful (n,): 1, 0,
    or -1 without a label.
    """

    person: Ints
    day: Ints
    state: Floats
    next_state: Floats
    has_next: Bools
    available: Bools
    left: Bools
    action: Ints
    propensity: Floats
    marginal: Floats
    explored: Bools
    reward: Floats
    components: Floats
    harmful: Ints


def randomised_rows(arrays: DecisionArrays) -> Rows:
    """What a release reads: available decisions with a choice and an observed reward, people numbered from 0."""
    return _rows(arrays, _usable(arrays), arrays.propensity)


def judged_rows(arrays: DecisionArrays) -> Judged:
    """What an evaluation reads: the same decisions with marginal propensities, empathy and labels."""
    usable = _usable(arrays)
    empathy = arrays.components[usable, COMPONENTS.index("empathy")]
    return Judged(_rows(arrays, usable, arrays.marginal), empathy, arrays.harmful[usable])


def _usable(arrays: DecisionArrays) -> Bools:
    return arrays.available & (arrays.action >= 0) & np.isfinite(arrays.reward)


def _rows(arrays: DecisionArrays, usable: Bools, propensity: Floats) -> Rows:
    _, person = np.unique(arrays.person[usable], return_inverse=True)
    return Rows(
        person=person.astype(np.int64).reshape(-1),
        state=arrays.state[usable],
        next_state=arrays.next_state[usable],
        has_next=arrays.has_next[usable],
        left=arrays.left[usable],
        action=arrays.action[usable],
        propensity=propensity[usable],
        explored=arrays.explored[usable],
        reward=arrays.reward[usable],
    )
