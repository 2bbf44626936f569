"""Make one release of a shadow with the product's own functions, and compute what an adversary would look at.

The adversary knows everything except whether the canary is in the database. From the earlier rounds they compute the canary's
contribution to each block and project the released numbers onto it. For independent Gaussian noise that is the most powerful
test. Differences between blocks are looked at too: they are useless for independent noise, and give away noise that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from core.arrays import Floats
from privacy.engine.dp.accounting import LATTICE_STEPS
from privacy.engine.dp.mechanisms import Totals, add_totals
from privacy.engine.moments import rounds
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import COUNTS_CLIP
from privacy.engine.moments.rows import ReleaseRows
from training.engine.audit.canary import Shadow


@dataclass(frozen=True)
class Draw:
    """One release of one of the two databases.

    ``looks`` (q,): what the adversary looks at. The first is the matched filter, which is N(0, 1) without the canary and
    N(``reached``, 1) with it, if the noise is as declared.
    """

    looks: Floats
    reached: float
    plan: rounds.ReleasePlan
    baseline: rounds.NoisyRound
    effects: rounds.NoisyRound

    def moments(self) -> Moments:
        """Return the release as everything after it reads it."""
        return rounds.read_moments(self.plan, self.baseline, self.effects)


def draw_release(shadow: Shadow, sigma: float, *, within: bool) -> Draw:
    """Make all three rounds of a release, with the canary if ``within``."""
    spec = shadow.spec

    def summed(totals: Callable[[ReleaseRows], Totals]) -> tuple[Totals, Totals, Totals]:
        rest, canary = totals(shadow.others), totals(shadow.canary)
        return add_totals([rest, canary]) if within else rest, rest, canary

    sums = [summed(partial(rounds.count_totals, spec))]
    counts = rounds.release_counts(spec, sums[0][0], sigma)
    plan = rounds.plan_release(spec, rounds.read_counts(spec, counts), sigma)
    sums.append(summed(partial(rounds.baseline_totals, plan)))
    baseline = rounds.release_baseline(plan, sums[1][0])
    theta = rounds.residual_baseline(plan, baseline, None)
    sums.append(summed(partial(rounds.effect_totals, plan, theta)))
    effects = rounds.release_effects(plan, sums[2][0])
    seen = list[tuple[Floats, Floats]]()
    for noised, (_, rest, canary) in zip((counts, baseline, effects), sums, strict=True):
        for name, total in canary.blocks.items():
            clip = COUNTS_CLIP if name == "counts" else plan.facts.clips[name]
            step, sd = clip / LATTICE_STEPS, float(noised[f"{name}_sd"][0])
            seen.append(((noised[name] - rest.blocks[name] * step) / sd, np.asarray(total * (step / sd), np.float64)))
    looks, reached = _looks(seen)
    return Draw(looks, reached, plan, baseline, effects)


def _looks(seen: list[tuple[Floats, Floats]]) -> tuple[Floats, float]:
    """Return the looks, and the canary's mu: the root of the sum of squared contributions in units of the noise."""
    blocks = [_along(x, own) for x, own in seen]
    lengths = np.array([float(np.linalg.norm(own)) for _, own in seen])
    reached = float(np.linalg.norm(lengths))
    matched = float(np.array(blocks) @ lengths) / reached if reached else 0.0
    return np.array([matched, *blocks, *_differences(seen)]), reached


def _differences(seen: list[tuple[Floats, Floats]]) -> Iterator[float]:
    """Yield a look at the difference of each two blocks, over the numbers that both have."""
    for (x, own), (y, other) in combinations(seen, 2):
        both = min(len(x), len(y))
        yield _along(x[:both] - y[:both], own[:both] - other[:both]) / 2**0.5


def _along(values: Floats, direction: Floats) -> float:
    length = float(np.linalg.norm(direction))
    return float(values @ direction) / length if length else 0.0
