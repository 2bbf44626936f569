"""Define the interfaces and results of trainers.

A trainer of the policy head gives candidates and a step towards one of them. A trainer of another head gives its result at once.
"""

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
from training.engine.world.world import World


@dataclass(frozen=True)
class Candidate:
    """Hold a trained policy with its training discount.

    ``model_gain``: gain of the full fit over the reference in the mean world, in reward scales a step.
    ``step``: the fraction of the way from the incumbent to the fit.
    """

    policy: LinearPolicy
    gamma: float
    model_gain: float
    step: float = 1.0


@dataclass(frozen=True)
class LearnedSubHead:
    """Hold a sub-head's candidate.

    ``effects`` (K, d): posterior mean, 0 for the reference. ``gain``, ``gain_incumbent`` (draws,): posterior samples of the gain
    over the reference and over the incumbent. ``bar``: required z over the reference. ``without_evidence``: actions that were
    hardly ever logged, so that the policy never chooses them.
    """

    head: str
    policy: LinearPolicy
    rival: LinearPolicy
    effects: Floats
    gain: Floats
    gain_incumbent: Floats | None
    bar: float
    without_evidence: tuple[str, ...] = ()

    @property
    def z(self) -> float:
        """Return z of the gain over the reference."""
        return z_of(self.gain)

    @property
    def z_incumbent(self) -> float | None:
        """Return z of the gain over the incumbent, or None if there is no incumbent."""
        return None if self.gain_incumbent is None else z_of(self.gain_incumbent)

    @property
    def passed(self) -> bool:
        """Tell whether the candidate clears its bar over the reference and, if there is an incumbent, the bar over it."""
        incumbent = self.z_incumbent
        return self.z >= self.bar and (incumbent is None or incumbent >= MODEL_BAR_INCUMBENT)

    def candidate(self) -> SubCandidate:
        """Return the input of the charged evaluation."""
        return SubCandidate(self.policy, self.rival, self.effects)


def z_of(gain: Floats) -> float:
    """Return the mean of gains (draws,) over their standard deviation, or 0 if they are all equal."""
    spread = float(gain.std(ddof=1))
    return float(gain.mean()) / spread if spread > 0 else 0.0


class Train(Protocol):
    """Train candidates for the policy head."""

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
        """Yield each candidate as soon as it is trained, so that progress can be reported.

        Args:
            seed: the same seed gives the same candidates.
            gammas: discounts. There is about one candidate for each.
            sweeps: most sweeps a candidate.
        Returns: candidates whose policies use the features of ``world``.
        """
        ...


class Choose(Protocol):
    """Picks the candidate that is judged while the reference serves."""

    def __call__(self, candidates: Sequence[Candidate], /) -> Candidate:
        """Choose one of the candidates that ``Train`` yielded; there is at least one."""
        ...


class Update(Protocol):
    """Decide how far to move the incumbent towards the candidates."""

    def __call__(
        self,
        spec: LoopSpec,
        worlds: World,
        candidates: Sequence[Candidate],
        incumbent: LinearPolicy,
        states: Floats,
        rng: np.random.Generator,
        /,
    ) -> Candidate:
        """Choose a candidate, or a partial step from ``incumbent`` towards one. states (n, F): model states."""
        ...


class TrainHead(Protocol):
    """Train one head other than policy and run its model gate."""

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
        """Train ``head`` to beat its reference and ``incumbent``, on model states (n, F) in which the policy head intervenes."""
        ...


@dataclass(frozen=True)
class PolicyTrainer:
    """Pair a training function of the policy head with the choice among its candidates and the update of its incumbent.

    kind: of the versions that it makes, one that ``training.models`` declares. gammas: the training discounts that it tries.
    """

    name: str
    kind: str
    gammas: tuple[float, ...]
    train: Train
    choose: Choose
    update: Update


@dataclass(frozen=True)
class HeadTrainer:
    """Name a training function of the heads other than policy. ``kind``: of its versions, as for ``PolicyTrainer``."""

    name: str
    kind: str
    train: TrainHead
