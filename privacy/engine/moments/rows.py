"""The rows that a release reads: decisions of the main head with the sub-heads' choices, in order of person and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Bools, Floats, Ints


@dataclass(frozen=True)
class SubHeadRows:
    """A sub-head's choices: action (n,), -1 where it made none; propensity (n,) of the action; explored (n,)."""

    action: Ints
    propensity: Floats
    explored: Bools


@dataclass(frozen=True)
class ReleaseRows:
    """n rows with F features, sorted by person. Only rows where policy was randomised (available, with a propensity).

    person (n,): 0..U-1 without gaps. state, next_state (n, F). has_next (n,): next_state is known under the loop's rule.
    dropped_out (n,): the person left for good afterwards. action (n,). propensity (n,): of that action.
    explored (n,): the action was drawn from the logging distribution. reward (n,): in the loop's units.
    ``subs``: the sub-heads by name.
    """

    person: Ints
    state: Floats
    next_state: Floats
    has_next: Bools
    dropped_out: Bools
    action: Ints
    propensity: Floats
    explored: Bools
    reward: Floats
    subs: Mapping[str, SubHeadRows] = field(default_factory=dict)

    @property
    def users(self) -> int:
        return int(self.person[-1]) + 1 if self.person.size else 0

    def of_people(self, first: int, last: int) -> ReleaseRows:
        """Return the rows of people first..last-1, renumbered from 0."""
        lo, hi = np.searchsorted(self.person, [first, last])
        part = slice(int(lo), int(hi))
        return ReleaseRows(
            person=self.person[part] - first,
            state=self.state[part],
            next_state=self.next_state[part],
            has_next=self.has_next[part],
            dropped_out=self.dropped_out[part],
            action=self.action[part],
            propensity=self.propensity[part],
            explored=self.explored[part],
            reward=self.reward[part],
            subs={h: SubHeadRows(s.action[part], s.propensity[part], s.explored[part]) for h, s in self.subs.items()},
        )


def row_products(values: Floats, matrix: Floats) -> Floats:
    """Compute ``values @ matrix`` row by row: (n, d) with (d,) gives (n,), with (d, m) gives (n, m).

    A matrix product may round a row differently depending on its neighbours. A person's contribution would then depend on the
    shard that they are summed in.
    """
    return np.asarray(np.einsum("nd,d->n" if matrix.ndim == 1 else "nd,dm->nm", values, matrix))


def person_sums(person: Ints, values: Floats, users: int) -> Floats:
    """Sum ``values`` (n, k) over the rows of each person: (users, k). ``person`` is sorted."""
    out = np.zeros((users, values.shape[1]))
    if person.size:
        starts = np.flatnonzero(np.r_[True, person[1:] != person[:-1]])
        out[person[starts]] = np.add.reduceat(values, starts, axis=0)
    return out
