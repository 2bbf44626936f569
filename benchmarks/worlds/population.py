"""Let the people of a world live under policies, month after month."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.worlds.month import Month
from benchmarks.worlds.protocol import Hidden, World
from core.arrays import Bools, Floats, Ints
from loops.engine.policies.linear import LinearPolicy
from loops.engine.reward import largest_total
from loops.engine.state.dynamics import advance_known, start_of

_UNAVAILABLE = 0.1  # share of decision points at which a person may not receive an intervention
Arms = Sequence[LinearPolicy | None]  # None is the reference
NOBODY_SERVED: Arms = (None,)


class Population:
    """Hold people who keep their hidden states from month to month. A new person takes the place of one who left."""

    def __init__(self, world: World, people: int, rng: np.random.Generator) -> None:
        self.world, self.people, self._rng = world, people, rng
        self._hidden = world.begin(people, rng)
        self._state = self._first_states()
        self._present = np.ones(people, bool)

    @property
    def present(self) -> Bools:
        """Return which places (U,) hold a person who has not left."""
        return self._present

    def live(
        self,
        days: int,
        arms: Arms = NOBODY_SERVED,
        exploration: float = 1.0,
        arm: Ints | None = None,
        *,
        newcomers: bool = True,
    ) -> Month:
        """Simulate days.

        Args: arms: the policies. exploration: share of decisions that are exploration draws. arm (U,): each person's index in
        ``arms``; None serves everybody with the first. newcomers: whether people come in the places of those who left.
        """
        if newcomers:
            self._replace_left()
        served = np.zeros(self.people, dtype=np.int64) if arm is None else arm
        points = days * self.world.spec.decisions_per_day
        steps = [self._point(arms, served, exploration) for _ in range(points)]
        merged = {k: np.stack([s[k] for s in steps], axis=1) for k in steps[0]}
        comes = np.roll(merged["present"], -1, axis=1)  # no state follows the last point
        return Month(
            arm=served,
            next_state=np.concatenate([merged["state"][:, 1:], self._state[:, None]], axis=1),
            has_next=self._follows(points) & merged["present"] & comes,
            **merged,
        )

    def _follows(self, points: int) -> Bools:
        """Return for each point whether the loop's rule finds its next state in this month."""
        moment, spec = np.arange(points), self.world.spec
        within = moment < points - 1
        same_day = spec.imports.next_state.endswith("same_day")
        return np.asarray(within & ((moment + 1) % spec.decisions_per_day != 0) if same_day else within)

    def _point(self, arms: Arms, arm: Ints, exploration: float) -> dict[str, np.ndarray]:
        world, rng, n = self.world, self._rng, self.people
        for name, values in world.observe(self._hidden, rng).items():
            low, high = world.spec.feature(name).range
            is_category = world.spec.feature(name).is_category
            self._state[:, world.columns[name]] = values if is_category else np.clip(values, low, high)
        state, uniform = self._state, rng.random((3, n))
        available = uniform[0] >= _UNAVAILABLE
        logging = world.exploration(state)
        drawn = (uniform[1][:, None] >= np.cumsum(logging, axis=1)[:, :-1]).sum(axis=1)
        explored = uniform[2] < exploration
        greedy = self._greedy(arms, arm, state)
        reference = world.spec.main_head.reference_index
        here = self._present & ~world.away(self._hidden)
        decided = here & available
        action = np.where(decided, np.where(explored, drawn, greedy), reference)
        log = world.recorded(state, action, logging[np.arange(n), action])
        answer = world.answer(self._hidden, state, action, rng)
        left, largest = decided & answer.left, largest_total(world.spec)  # as an import bounds it
        out = {
            "state": state, "present": here, "available": available, "explored": explored & decided,
            "action": action, "propensity": np.where(explored, log, 1.0),
            "marginal": exploration * log + (1.0 - exploration) * (action == greedy),
            "reward": np.clip(answer.reward * world.spec.reward.scale, -largest, largest), "empathy": answer.empathy,
            "harmful": answer.harmful, "harmed": answer.harmed, "dropped_out": left & world.tells_leaving,
        }  # fmt: skip
        self._present = out["stays"] = self._present & ~left
        self._state = advance_known(world.spec, state, action != reference)
        return out

    def _greedy(self, arms: Arms, arm: Ints, state: Floats) -> Ints:
        reference = self.world.spec.main_head.reference_index
        greedy = np.full(len(state), reference, dtype=np.int64)
        for index, policy in enumerate(arms):
            mine = arm == index
            if policy is not None and mine.any():
                greedy[mine] = policy.actions(state[mine])
        return greedy

    def _replace_left(self) -> None:
        gone = ~self._present
        fresh: Hidden = self.world.arrive(self.people, self._rng)
        self._hidden = {k: np.where(gone, fresh[k], v) for k, v in self._hidden.items()}
        self._state = np.where(gone[:, None], self._first_states(), self._state)
        self._present = np.ones(self.people, bool)

    def _first_states(self) -> Floats:
        return np.tile([start_of(f) for f in self.world.spec.features], (self.people, 1)).astype(np.float64)
