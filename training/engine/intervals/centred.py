"""Compute confidence intervals from centred sums over people (``privacy.engine.evaluation.centred_sums``).

The sum S of the people's numbers has two independent errors: sampling, V = (sum v^2 - S^2 / n) n / (n - 1), and the release's
noise N, known exactly. The interval of S is S +- t sqrt(V + N). It is divided by the noised number of people (a mean) or by the
noised sum of weights (a share), at the end of that number's own interval which makes the bound wider. Whether a bound clears
the bar hardly depends on the divisor, because the bar is subtracted inside the sum.

Noise in V lowers the degrees of freedom (Satterthwaite). V is also raised by half a standard deviation of its noise. Where that
leaves fewer than 8 degrees of freedom, V is raised by two standard deviations and treated as known.

Two further widenings:

- *beyond the clip*: people cut off on one side may lie as far as the largest possible value (``reach``). The bound on that side
  moves by reach times their noised number, and the noise of that number adds to the interval's variance. A share's reach is
  (1 - bar) times the weight's clip.
- *score variance* (shares): below its bar a share has a smaller variance than at the bar, and a test must hold at the bar. V is
  multiplied by bar (1 - bar) / (p (1 - p)), at most 4 (Wilson 1927, with the design effect of the data).

``shift`` and ``shift_sd`` are public: an amount by which the estimate is known to overstate, and its uncertainty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from privacy.engine.evaluation.centred_sums import CentredSums
from training.engine.intervals.clustered import MIN_DOF, MIN_ESS, POWER, Interval, Tails, quantile

_MARGIN = 0.5  # V is raised by this many sd of its noise
_BOUND = 2.0  # V is raised by this many sd of its noise if Satterthwaite leaves too few degrees of freedom
_MOST_SCORE = 4.0


@dataclass(frozen=True)
class _Spread:
    """Hold the variances of a sum: sampling (with its margin) and noise, and the degrees of freedom of the whole."""

    sampling: float
    noise: float
    dof: float

    @property
    def sd(self) -> float:
        return math.sqrt(self.sampling + self.noise)


def mean_interval(
    sums: CentredSums,
    *,
    level: float = 0.95,
    tails: Tails = "two",
    reach: float = 0.0,
    shift: float = 0.0,
    shift_sd: float = 0.0,
) -> Interval:
    """Compute the interval of a mean over people, in the metric's unit.

    Args:
        reach: how far beyond the clip a person may lie, in the metric's unit.
        shift, shift_sd: the public overstatement and its sd, in the metric's unit.
    """
    spread = _spread(sums, 1.0)
    t = _student(level, tails, spread.dof)
    fewest, most = sums.divisor_range
    own = t * math.hypot(spread.sd, reach * sums.sd_beyond)
    low = _divided(sums.value - own - reach * max(sums.below, 0.0), fewest, most)
    high = _divided(sums.value + own + reach * max(sums.above, 0.0), most, fewest)
    people = max(sums.people, sums.sd_people, 1e-9)
    estimate = sums.clipped_value / people - shift
    middle = sums.value / people
    low, high = (_apart(middle, bound, t * shift_sd) - shift for bound in (low, high))
    return _interval(sums, estimate, low, high, math.hypot(spread.sd / people, shift_sd), spread.dof, level, tails)


def share_interval(
    sums: CentredSums, bar: float, *, level: float = 0.95, tails: Tails = "two", score: bool = True
) -> Interval:
    """Compute the interval of a share from sums centred at ``bar``, in [0, 1].

    Args:
        bar: the bar that was subtracted in each person's number.
        score: whether V is that of a share at the bar (for a test), or the data's own (for a report).
    """
    weight, sd_weight = sums.divisor
    value = sums.clipped_value
    if weight < 3 * sd_weight or weight <= 0:
        estimate = min(max(bar + value / weight, 0.0), 1.0) if weight > 0 else math.nan
        return Interval(estimate, 0.0, 1.0, math.inf, 0.0, 0.0, max(sums.people, 0.0), level, tails)
    share = min(max(bar + value / weight, 0.0), 1.0)
    spread = _spread(sums, _score(share, bar) if score else 1.0)
    t = _student(level, tails, spread.dof)
    fewest, most = sums.divisor_range
    reach_low, reach_high = bar * sums.clips.weight, (1 - bar) * sums.clips.weight
    own_low, own_high = (t * math.hypot(spread.sd, reach * sums.sd_beyond) for reach in (reach_low, reach_high))
    low = bar + _divided(sums.value - own_low - reach_low * max(sums.below, 0.0), fewest, most)
    high = bar + _divided(sums.value + own_high + reach_high * max(sums.above, 0.0), most, fewest)
    return _interval(
        sums, share, min(max(low, 0.0), share), max(min(high, 1.0), share), spread.sd / weight, spread.dof, level, tails
    )


def relative_interval(sums: CentredSums, *, level: float = 0.95, tails: Tails = "two") -> Interval:
    """Compute the interval of sum value / sum weight, which may have any sign. Unbounded where the weight is within its noise."""
    weight, sd_weight = sums.divisor
    value = sums.clipped_value
    if weight < 3 * sd_weight or weight <= 0:
        estimate = value / weight if weight > 0 else math.nan
        return Interval(estimate, -math.inf, math.inf, math.inf, 0.0, 0.0, max(sums.people, 0.0), level, tails)
    spread = _spread(sums, 1.0)
    t = _student(level, tails, spread.dof)
    fewest, most = sums.divisor_range
    low, high = (
        _divided(value - t * spread.sd, fewest, most),
        _divided(value + t * spread.sd, most, fewest),
    )
    return _interval(sums, value / weight, low, high, spread.sd / weight, spread.dof, level, tails)


def people_needed_for(
    sums: CentredSums, distance: float, *, level: float, power: float = POWER, shift_sd: float = 0.0
) -> float:
    """Return about how many people would show that the sum's mean lies ``distance`` from its bar.

    It is infinite if that is not possible.
    With m times the people, sampling variance falls by m and noise variance by m^2. The public uncertainty ``shift_sd`` stays.

    Args:
        distance: in the metric's unit per divisor (people, or weight), above 0.
        level: one-sided level of the test.
        power: probability of showing it.
    """
    divisor, sd = sums.divisor
    divisor = max(divisor, sd, 1e-9)
    q2 = (quantile(level, "lower") + quantile(power, "lower")) ** 2
    room = distance**2 - q2 * shift_sd**2 if distance > 0 else 0.0
    spread = _spread(sums, 1.0)
    if room <= 0 or not math.isfinite(spread.sampling):
        return math.inf
    v, w = spread.sampling / divisor**2, spread.noise / divisor**2
    times = (q2 * v + math.sqrt(q2**2 * v**2 + 4 * room * q2 * w)) / (2 * room)
    return float(math.ceil(max(max(sums.people, sums.sd_people, 1.0) * max(1.0, times), MIN_ESS)))


def _spread(sums: CentredSums, score: float) -> _Spread:
    n = sums.people - sums.sd_people
    noise = sums.sd_value**2
    if n <= 2:
        return _Spread(math.inf, noise, 0.0)
    small = score * n / (n - 1)
    sampling, raised = max(sums.square - sums.value**2 / max(sums.people, 1.0), 0.0) * small, sums.sd_square * small
    margin = _MARGIN * raised
    uncertain = 2 * sampling**2 / (n - 1) + raised**2
    dof = 2 * (sampling + margin + noise) ** 2 / uncertain if uncertain > 0 else n - 1
    if dof < MIN_DOF <= n - 1:
        margin, dof = _BOUND * raised, n - 1
    return _Spread(sampling + margin, noise, min(dof, n - 1) if noise == 0 else dof)


def _score(share: float, bar: float) -> float:
    own = share * (1 - share)
    return min(max(bar * (1 - bar) / own, 1.0), _MOST_SCORE) if own > 0 else _MOST_SCORE


def _student(level: float, tails: Tails, dof: float) -> float:
    return quantile(level, tails, dof) if dof > 0 else math.inf


def _divided(total: float, if_negative: float, if_positive: float) -> float:
    return total / (if_negative if total < 0 else if_positive)


def _apart(middle: float, bound: float, further: float) -> float:
    """Move a bound away from the middle: distances of independent errors add in squares."""
    if not math.isfinite(bound):
        return bound
    return middle + math.copysign(math.hypot(bound - middle, further), bound - middle)


def _interval(
    sums: CentredSums, estimate: float, low: float, high: float, se: float, dof: float, level: float, tails: Tails
) -> Interval:
    low, high = (-math.inf if tails == "upper" else low), (math.inf if tails == "lower" else high)
    people = max(sums.people, 0.0)
    return Interval(estimate, low, high, se, dof, people, people, level, tails)
