"""Hold the terms on which a candidate is tested: its loop, its rival, the attempt, and what was conceded before."""

from __future__ import annotations

from dataclasses import dataclass

from loops.engine.reward import largest_total
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import smallest_effect, stability_margin
from training.engine.gates.decision_rule import attempt_alpha


@dataclass(frozen=True)
class GateTerms:
    """Hold the terms of a test besides its sums. Rewards are in reward scales. ``attempt`` counts from 1.

    ``conceded``: how far the deployed versions since the last proven improvement may lie below it. It is taken from the margin,
    so that the margin is spent once. ``allowance``: mean and sd of the improvement's optimism, (0, 0) if other people trained.
    """

    spec: LoopSpec
    rival_value: float
    attempt: int = 1
    incumbent: bool = False  # whether the rival is the incumbent and not the reference
    heads: int = 1  # candidates tested on the same people at once
    conceded: float = 0.0
    allowance: tuple[float, float] = (0.0, 0.0)

    @property
    def level(self) -> float:
        """Return the two-sided level. Each tail is the attempt's alpha divided by the number of heads tested."""
        return 1 - 2 * attempt_alpha(self.attempt, self.heads)

    @property
    def effect(self) -> float:
        """Return the smallest effect worth finding, in reward scales."""
        return smallest_effect(self.spec)

    @property
    def margin(self) -> float:
        """Return by how much a candidate may be worse than the incumbent, in reward scales."""
        return max(self.effect - self.conceded, 0.0)

    @property
    def reach(self) -> float:
        """Return how far beyond its clip a person's reward may lie, in reward scales: the largest total."""
        return largest_total(self.spec) / self.spec.reward.scale

    @property
    def stability_margin(self) -> float:
        """Return the tolerated drift of the reward, in reward scales."""
        return stability_margin(self.spec) / self.spec.reward.scale

    def in_units(self, reward: float) -> float:
        """Return a reward, given in reward scales, in the loop's units."""
        return reward * self.spec.reward.scale
