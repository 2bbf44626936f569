"""Release one centred number a question: how far a metric lies from its bar, summed over people with noise.

A gate asks of a share p = sum A / sum B whether it is below a bar. That is one number, sum (A - bar B). Its noise is far smaller
than the noise of a ratio of two released sums. A block of one metric holds six sums over people:

- ``value``: the person's number v, inside the public clip;
- ``square``: v^2, for the sampling variance;
- ``below``, ``above``: people whom the clip cut off on either side;
- ``people``: 1 for each person;
- ``weight``: what the number is relative to (B), for shares alone.

A person with |v| above the clip adds nothing to ``value``, and 1 to ``below`` or ``above``. A row is then either inside or
beyond, so all these sums share one sensitivity. People beyond the clip on the bad side mean harm that the clipped sum does not
show, and an interval must reach that far. Each side counts alone: gains of many must not cancel the losses of a few.

Shares: A and B are scaled down together where B is above its clip, so that a person's own share is not cut by their weight.

Unit: user; neighbouring relation: add or remove one. Each block's L2 sensitivity is ``BLOCK_CLIPS[kind]``, over all possible
people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.arrays import Bools, Floats
from privacy.engine.dp.mechanisms import noisy_sum

SumKind = Literal["mean", "share"]
ENTRIES = ("value", "square", "below", "above", "people", "weight")
# How precisely each sum is measured relative to ``value``.
_SCALES: dict[SumKind, Floats] = {
    "mean": np.array([1.0, 0.3, 1.0, 1.0, 0.2, 0.0]),
    "share": np.array([1.0, 0.25, 1.0, 1.0, 0.15, 0.4]),
}
# The longest row is one inside the clip: all entries but ``below`` and ``above``. One beyond it has neither value nor square.
BLOCK_CLIPS: dict[SumKind, float] = {kind: float(np.linalg.norm(np.delete(s, [2, 3]))) for kind, s in _SCALES.items()}
_SHRUNK = 0.5  # a count of people beyond the clip is lowered by this many sd of its noise
HEAD_COUNT_Z = 1.645  # a noised sum of people or weights is used with its interval of 90%


@dataclass(frozen=True)
class PersonValues:
    """Hold one metric of every person: ``value`` (U,) and, for a share, ``weight`` (U,) >= 0. None: a mean over people.

    ``measured`` (U,): who counts among the people, None for everybody. The value of others must be 0.
    """

    value: Floats
    weight: Floats | None = None
    measured: Bools | None = None

    @property
    def kind(self) -> SumKind:
        return "mean" if self.weight is None else "share"


@dataclass(frozen=True)
class ValueClips:
    """Hold the public clips of a person's value and weight. For a mean the weight's clip is 1."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class CentredSums:
    """Hold the six released sums of one metric, the noise sd of each, and the clips. With a sd of 0 a sum is exact."""

    kind: SumKind
    value: float
    square: float
    below: float
    above: float
    people: float
    weight: float
    sd_value: float
    sd_square: float
    sd_beyond: float
    sd_people: float
    sd_weight: float
    clips: ValueClips

    @property
    def divisor(self) -> tuple[float, float]:
        """Return what the sums are divided by, and its noise sd: the people of a mean, the weight of a share."""
        return (self.people, self.sd_people) if self.kind == "mean" else (self.weight, self.sd_weight)

    @property
    def divisor_range(self) -> tuple[float, float]:
        """Return the divisor's interval of 90%, at least a tiny number above 0."""
        total, sd = self.divisor
        return max(total - HEAD_COUNT_Z * sd, 1e-9), max(total + HEAD_COUNT_Z * sd, 1e-9)

    @property
    def beyond(self) -> tuple[float, float]:
        """Return the people below and above the clip, each less half its noise sd and at least 0."""
        least = _SHRUNK * self.sd_beyond
        return max(self.below - least, 0.0), max(self.above - least, 0.0)

    @property
    def clipped_value(self) -> float:
        """Return the sum of values in which people beyond the clip count as the clip."""
        below, above = self.beyond
        return self.value + self.clips.value * (above - below)


def person_rows(values: PersonValues, clips: ValueClips) -> Floats:
    """Return one row (U, 6) per person, unscaled and in units of the clips, in the order of ``ENTRIES``."""
    value = np.asarray(values.value, dtype=np.float64) / clips.value
    people = np.ones(len(value)) if values.measured is None else values.measured.astype(np.float64)
    weight = np.zeros(len(value))
    if values.weight is not None:
        weight = np.asarray(values.weight, dtype=np.float64) / clips.weight
        value = value / np.maximum(weight, 1.0)
        weight = np.minimum(weight, 1.0)
    below, above = value < -1.0, value > 1.0
    inside = np.where(below | above, 0.0, value)
    return np.column_stack([inside, inside**2, below, above, people, weight])


def release_centred(
    name: str, values: PersonValues, clips: ValueClips, *, sigma: float | None, share: float
) -> dict[str, np.ndarray]:
    """Release one metric's block.

    Returns: ``NAME`` (6,) sums in the metric's unit, ``NAME_sd`` (6,) their noise, ``NAME_rho`` (1,) the rho spent, and
    ``NAME_clips`` (2,) the clips of value and weight. With ``sigma`` None no noise is added.
    """
    kind = values.kind
    scales = _SCALES[kind]
    block = noisy_sum(person_rows(values, clips) * scales, clip=BLOCK_CLIPS[kind], sigma=sigma, share=share)
    units = np.array([clips.value, clips.value**2, 1.0, 1.0, 1.0, clips.weight]) / np.where(scales > 0, scales, 1.0)
    units[scales == 0] = 0.0
    return {
        name: block.values * units,
        f"{name}_sd": block.sd * units,
        f"{name}_rho": np.array([block.rho]),
        f"{name}_clips": np.array([clips.value, clips.weight]),
        f"{name}_share": np.array([float(kind == "share")]),
    }


def read_centred(stored: Mapping[str, np.ndarray], name: str) -> CentredSums:
    """Read one metric's released block."""
    kind: SumKind = "share" if stored[f"{name}_share"][0] else "mean"
    value, square, below, above, people, weight = stored[name].tolist()
    sd_value, sd_square, sd_beyond, _, sd_people, sd_weight = stored[f"{name}_sd"].tolist()
    clips = ValueClips(*stored[f"{name}_clips"].tolist())
    return CentredSums(
        kind, value, square, below, above, people, weight, sd_value, sd_square, sd_beyond, sd_people, sd_weight, clips
    )
