"""How trainers are asked, and what they find: of policy, by candidates and a step toward one; of the other heads, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import MODEL_BAR_INCUMBENT
from privacy.engine.evaluation.statistics import SubCandidate
from privacy.engine.moments.pooled import Moments
from training.engine.world.transitions import Transitions
from training.engine.world.world_model import World


@dataclass(frozen=True)
class Candidate:
    """A trained policy, its training discount, and its gain over the reference in the mean world (reward scales a step).

    ``step``: how much of the way it goes from what serves to the fit; the gain is the fit's.
    """

    policy: LinearPolicy
    gamma: float
    model_gain: float
    step: float = 1.0


@dataclass(frozen=True)
class LearnedSubHead:
    """A sub-head's candidate. ``effects`` (K, d) of the posterior mean, 0 for the reference; gains (draws,) over both rivals;
    ``bar`` of z over the reference.
    """

    head: str
    policy: LinearPolicy
    rival: LinearPolicy
    effects: Floats
    gain: Floats
    gain_incumbent: Floats | None
    bar: float

    @property
    def z(self) -> float:
        """Of the gain over the reference."""
        return z_of(self.gain)

    @property
    def z_incumbent(self) -> float | None:
        """Of the gain over what serves; None where the reference serves."""
        return None if self.gain_incumbent is None else z_of(self.gain_incumbent)

    @property
    def passed(self) -> bool:
        incumbent = self.z_incumbent
        return self.z >= self.bar and (incumbent is None or incumbent >= MODEL_BAR_INCUMBENT)

    def candidate(self) -> SubCandidate:
        """What the charged evaluation judges."""
        return SubCandidate(self.policy, self.rival, self.effects)


def z_of(gain: Floats) -> float:
    """Mean over standard deviation of drawn gains; 0 where nothing differs."""
    spread = float(gain.std(ddof=1))
    return float(gain.mean()) / spread if spread > 0 else 0.0


class Train(Protocol):
    """Trains candidates for policy."""

    def __call__(
        self,
        spec: LoopSpec,
        world: World,
        pool: Transitions,
        seed: int,
        /,
        *,
        gammas: Sequence[float],
        sweeps: int | None,
    ) -> Iterator[Candidate]:
        """Yield each candidate as it is made, so that progress can be told; about one a discount of ``gammas``.

        The same seed gives the same candidates. Their policies are in the features of ``world``. sweeps: at most so many.
        """
        ...


class Choose(Protocol):
    """Picks the candidate that is judged while the reference serves."""

    def __call__(self, candidates: Sequence[Candidate], /) -> Candidate:
        """Choose one of the candidates that ``Train`` yielded; there is at least one."""
        ...


class Update(Protocol):
    """Decides how far to go from a learned policy that serves."""

    def __call__(
        self,
        spec: LoopSpec,
        worlds: World,
        candidates: Sequence[Candidate],
        serving: LinearPolicy,
        states: Floats,
        rng: np.random.Generator,
        /,
    ) -> Candidate:
        """Choose a candidate, or a part of the way to one from ``serving``. states (n, F): model states."""
        ...


class TrainHead(Protocol):
    """Trains and gates one head beside policy."""

    def __call__(
        self,
        moments: Moments,
        head: str,
        states: Floats,
        rng: np.random.Generator,
        /,
        *,
        incumbent: LinearPolicy | None,
    ) -> LearnedSubHead:
        """Learn ``head`` on model states (n, F) in which policy speaks, to beat its reference and ``incumbent``."""
        ...


@dataclass(frozen=True)
class PolicyTrainer:
    """A way to train policy: candidates, the choice among them, and the update of what serves with them.

    kind: of the versions it makes, one that ``training.models`` declares. gammas: the training discounts that it tries.
    """

    name: str
    kind: str
    gammas: tuple[float, ...]
    train: Train
    choose: Choose
    update: Update


@dataclass(frozen=True)
class HeadTrainer:
    """A way to train a head beside policy. ``kind``: of the versions it makes, one that ``training.models`` declares."""

    name: str
    kind: str
    train: TrainHead
