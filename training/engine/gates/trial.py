"""Decide whether an undecided candidate gets a trial, and read a trial's noised sums: pass, fail or insufficient evidence.

A trial is randomised by person, so it needs no model and no importance weight. It is the exit from "insufficient evidence" for a
candidate that the logged decisions cannot tell from a worse one. Its people are randomised anew, and it reads outcomes that came
after it began. So its looks are attempts 1, 2 and 3 on them (``attempt_alpha``), and all looks of a trial share .05.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from loops.engine.reward import largest_total
from loops.engine.spec import LoopSpec
from loops.engine.thresholds import smallest_effect
from privacy.engine.evaluation.centred_sums import read_centred
from privacy.engine.evaluation.on_policy import FAR_CLIP, IMPROVEMENT_CLIP, IMPROVEMENT_COLUMNS, TRIAL_SHARES
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA, VerdictWord, attempt_alpha
from training.engine.gates.judgements import GateResult, Judgement, combine_verdicts
from training.engine.gates.share_gates import SUPPORT_OFF
from training.engine.gates.trial_guardrails import SQUARE_MARGIN, guardrail_judgements
from training.engine.gates.trial_losses import (
    judge_retention,
    name_unreported,
    price_of_leaving,
    price_of_missing_rewards,
)
from training.engine.intervals.clustered import MIN_ESS, POWER

TRIAL_LOOKS = 3  # releases of one trial; a trial without a verdict then ends without a promotion
TRIAL_BP = 5_000  # of the people have the candidate
LEAST_Z = 0.1  # z of the model gate below which a candidate is not worth people's time
HIDDEN_SHARE = 0.002  # of the people, who may lie beyond the clip against a candidate
HIDDEN_LOSS = 3.0  # reward scales that each of them is taken to lose in every decision, unless their number is proven
_COUNT_Z = 2.0  # sd of their number's noise by which it may exceed 0
ENTRY_Z = 2.326  # sd of noise by which people beyond an evaluation's clip may exceed 0 before a trial
_USERS_SD = 2.0  # sd of noise by which the number of people must exceed the least
_MISMATCH_PRIOR = 100.0  # pseudo-people of the sample ratio's prior (evidence of a ratio other than 50:50)
_MISMATCH_BAR = math.log(1_000.0)


def trial_first(spec: LoopSpec, *, incumbent: bool) -> bool:
    """Tell whether a policy that passed its gates is tried before it serves everybody.

    The log shows what an action pays now. What it costs later through something that the app does not see, such as trust, shows
    only when people live under the policy. A policy over an incumbent changes less, and the health check compares it with a
    holdback.
    """
    return spec.trial == "always" and not incumbent


def trial_wanted(
    model_gates: Sequence[tuple[float, float]], gate: GateResult | None, earlier: Mapping[str, np.ndarray] | None = None
) -> bool:
    """Tell whether a candidate for the policy head should be tried on half of the people.

    It should if the evidence leaves it open: the model gates are neither hopeless nor all of the obstacle, no metric failed, the
    improvement may be above 0, and the log tried what the candidate would do. What the log never tried gets no trial. Nor does
    a candidate whose improvement is open while people lie beyond the evaluation's clip: few may be hurt badly. Over an incumbent
    the estimate itself must be above 0, because half of the people would lose what serves them.

    Args:
        model_gates: (z, bar) of every model gate. The second one is that over an incumbent.
        gate: the outcome gate's result, None if it could not be run. Without outcomes nobody is tried on.
        earlier: the sums that the outcome gate read.
    """
    if not model_gates or min(z for z, _ in model_gates) < LEAST_Z or gate is None:
        return False
    if gate.verdict != "insufficient" or any(j.verdict == "fail" for j in gate.judgements):
        return False
    if any(j.name == "support" and unsupported(j) for j in gate.judgements):
        return False
    improvement = [j for j in gate.judgements if j.name == "improvement"]
    if any(j.verdict != "pass" for j in improvement) and earlier is not None and hides_losses(earlier):
        return False
    over_incumbent = len(model_gates) > 1
    return all(j.high > 0 and (j.value > 0 or not over_incumbent) for j in improvement)


def people_for_trial(sigma: float) -> float:
    """Return how many people a trial needs so that its release can be read. ``sigma``: noise multiplier of a whole turn."""
    share = TRIAL_SHARES["improvement"] / sum(TRIAL_SHARES.values())
    return MIN_ESS + _USERS_SD * sigma * IMPROVEMENT_CLIP / IMPROVEMENT_COLUMNS["users"] / math.sqrt(share)


def unsupported(support: Judgement) -> bool:
    """Tell whether the log is proven not to have done, as declared, what the candidate would do. Too few people prove nothing."""
    return support.high < 1 - SUPPORT_OFF or support.low > 1 + SUPPORT_OFF


def hides_losses(earlier: Mapping[str, np.ndarray]) -> bool:
    """Tell whether more people lie below an evaluation's clip than noise and those proven above it explain (``ENTRY_Z`` sd)."""
    if "improvement" not in earlier:
        return False
    sums = read_centred(earlier, "improvement")
    noise = ENTRY_Z * sums.sd_beyond
    return sums.below - max(sums.above - noise, 0.0) > noise


@dataclass(frozen=True)
class _Sums:
    """Hold the improvement's noised sums, the noise on each by column, and how far beyond its clip a person's v may lie.

    leaving, missing: the prices of missed days and of missing rewards, a person.
    beyond, beyond_sd: the share of people beyond the clip on each side, and the sd of its noise. clip: the largest v inside.
    """

    value: Mapping[str, float]
    sd: Mapping[str, float]
    beyond: Mapping[str, float]
    beyond_sd: Mapping[str, float]
    reach: float
    clip: float
    leaving: float
    missing: float

    @property
    def price(self) -> float:
        return self.leaving + self.missing

    def bound(self, z: float, *, against: bool = False) -> float:
        """Return z times the standard error of the sum of values, sampling and noise together.

        against: include the noise on the number of people beyond the clip, at the level of a guardrail.

        sampling: sum v^2 - (sum v)^2 / n, raised by the noise of its square.
        """
        square = max(self.value["square"], 0.0) + SQUARE_MARGIN * self.sd["square"]
        hidden = HIDDEN_LOSS * self.value["users"] * self.beyond_sd["against"] if against else 0.0
        return math.hypot(z * math.sqrt(square + self.sd["value"] ** 2), _z(1 - FALSE_PASS_ALPHA) * hidden)

    def hidden(self, side: str) -> float:
        """Return how much the people beyond the clip may add to the sum.

        Where their number is proven each may lie as far away as a reward can. Otherwise each may lose ``HIDDEN_LOSS``, or gain
        as much as the clip.
        """
        beyond = self.unexplained(side)
        if beyond > self.margin(side):
            return self.value["users"] * beyond * self.reach
        usual = HIDDEN_LOSS if side == "against" else self.clip
        return self.value["users"] * beyond * usual

    def unexplained(self, side: str) -> float:
        """Return which share of people lies beyond the clip on a side, less those who are proven to lie on the other side.

        People differ from each other, in both directions. A candidate that hurts some adds to one side alone. Only the far clip
        explains anything, because a gain alone brings people beyond a closer one.
        """
        other = "favour" if side == "against" else "against"
        common = max(self.beyond[other] - self.margin(other), 0.0) if self.clip >= 2 * FAR_CLIP else 0.0
        return max(self.beyond[side] - common, 0.0)

    def margin(self, side: str) -> float:
        """Return which share of people beyond the clip may be noise."""
        return max(HIDDEN_SHARE, _COUNT_Z * self.beyond_sd[side])


def _read(spec: LoopSpec, stored: Mapping[str, np.ndarray], earlier: Mapping[str, np.ndarray] | None) -> _Sums:
    """Read the sums. The share of people against the candidate joins that of the evaluation before, by inverse variance."""
    names = ("improvement", "improvement_sd")
    values, sds = (dict(zip(IMPROVEMENT_COLUMNS, map(float, stored[n]), strict=True)) for n in names)
    users = max(values["users"], 1.0)
    shares = {side: [(values[side] / users, sds[side] / users)] for side in ("against", "favour")}
    if earlier is not None and "improvement" in earlier:
        before = read_centred(earlier, "improvement")
        people = max(before.people, 1.0)
        shares["against"].append((before.below / people, before.sd_beyond / people))
    joined = {side: _joined(found) for side, found in shares.items()}
    return _Sums(
        values, sds, {s: x for s, (x, _) in joined.items()}, {s: sd for s, (_, sd) in joined.items()},
        reach=2 * largest_total(spec) / spec.reward.scale, clip=2 * float(stored["improvement_clip"][0]),
        leaving=price_of_leaving(stored), missing=price_of_missing_rewards(stored),
    )  # fmt: skip


def _joined(found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean of estimates by inverse variance, and its sd. Exact ones, with a sd of 0, count alone and alike."""
    if any(sd == 0 for _, sd in found):
        return max(x for x, sd in found if sd == 0), 0.0
    weights = [sd**-2 for _, sd in found]
    return sum(w * x for w, (x, _) in zip(weights, found, strict=True)) / sum(weights), sum(weights) ** -0.5


def trial_verdict(
    spec: LoopSpec, stored: Mapping[str, np.ndarray], look: int, earlier: Mapping[str, np.ndarray] | None = None
) -> GateResult:
    """Read a trial's release.

    pass: the lower bound of the improvement is above 0 and each guardrail's upper bound meets its bar.
    fail: the improvement's upper bound is at most 0, or a guardrail is proven beyond its bar.
    insufficient: everything else, and whenever too few people took part, the arms do not hold equal numbers of people, or the
    clips may hide a loss.

    Args:
        stored: the output of ``privacy.engine.evaluation.on_policy.release_trial``.
        look: 1, 2, ...: the number of this release within the trial.
        earlier: the sums of the evaluation that led to the trial, if there was one. The guardrails use both.
    Raises: ValueError for a look outside 1..``TRIAL_LOOKS``.
    """
    if not 1 <= look <= TRIAL_LOOKS:
        raise ValueError(f"look {look} of a trial is not possible; a trial has looks 1 to {TRIAL_LOOKS}")
    z = _z(1 - attempt_alpha(look))
    sums = _read(spec, stored, earlier)
    retention = judge_retention(stored, look, comparable=not _problem(sums, max(sums.value["users"], 1.0)))
    guards = guardrail_judgements(spec, stored, earlier, look)
    result = combine_verdicts([name_unreported(_improvement(spec, sums, z), stored), *guards, retention])
    if result.verdict == "pass":
        return GateResult(
            "pass", "Every metric passed in the trial, on people who had the candidate.", result.judgements, None
        )
    return result


def lived_judgements(spec: LoopSpec, stored: Mapping[str, np.ndarray], look: int = 1) -> tuple[Judgement, ...]:
    """Judge what both arms of a rollout lived, by the sums of a trial without noise: improvement, guardrails and retention.

    An improvement that cannot be read, because people are few or the arms are unequal, has bounds without end.

    Args:
        stored: the output of ``privacy.engine.evaluation.on_policy.release_trial`` with arms of about equal size.
        look: 1, 2, ...: how often this rollout has been judged so.
    """
    sums = _read(spec, stored, None)
    problem = _problem(sums, max(sums.value["users"], 1.0))
    improvement = name_unreported(_improvement(spec, sums, _z(1 - attempt_alpha(look))), stored)
    if problem:
        improvement = replace(improvement, low=-math.inf, high=math.inf)
    retention = judge_retention(stored, look, comparable=not problem)
    return improvement, *guardrail_judgements(spec, stored, None, look), retention


def trial_harms(result: GateResult) -> bool:
    """Tell whether a trial has proven harm: a guardrail beyond its bar, people lost, or rewards below the reference's."""
    failed = {j.name: j for j in result.judgements if j.verdict == "fail"}
    worse = "improvement" in failed and failed["improvement"].high < 0
    return worse or bool(failed.keys() & {"empathy", "false_intervention", "retention"})


def _improvement(spec: LoopSpec, sums: _Sums, z: float) -> Judgement:
    """Judge the mean difference of the arms (sums in reward scales), less the prices of losses, in the loop's units."""
    users = max(sums.value["users"], 1.0)
    estimate = sums.value["value"] / users - sums.price
    radius, below = (sums.bound(z, against=against) / users for against in (False, True))
    loss, gain = (sums.hidden(side) / users for side in ("against", "favour"))
    low, high = estimate - loss - below, estimate + gain + radius
    at_most = estimate + gain + sums.bound(_z(1 - FALSE_PASS_ALPHA)) / users
    needed = _people_needed(users, radius / z, smallest_effect(spec), z)
    problem = _problem(sums, users)
    answer: VerdictWord = "insufficient"
    if not problem:
        answer = "pass" if low > 0 else "fail" if estimate - radius <= 0 and at_most <= 0 else "insufficient"
    scale = spec.reward.scale
    in_units = replace(sums, leaving=sums.leaving * scale, missing=sums.missing * scale)
    shown = (estimate * scale, low * scale, high * scale)
    reason = problem or _reason(in_units, shown, answer, at_most * scale, estimate - radius > 0, needed)
    known = needed if answer == "insufficient" and not problem and needed > users else None
    return Judgement("improvement", *shown, 0.0, users, answer, reason, known)


def _reason(
    sums: _Sums, shown: tuple[float, float, float], answer: VerdictWord, at_most: float, above_inside: bool, needed: float
) -> str:  # fmt: skip
    """Return the sentence of the improvement.

    Args: shown: estimate, low and high. at_most: the bound of a fail. Both are in the loop's units.
    above_inside: without the people beyond the clip it passes.
    """
    estimate, low, high = shown
    users, what = max(sums.value["users"], 1.0), "The difference between the arms of the trial"
    prices = (
        (sums.leaving, "the days that people stay away"),
        (sums.missing, "rewards that are missing more often"),
    )
    if sums.price > 0:
        what += f", less {' and '.join(f'{price:.3g} for {whom}' for price, whom in prices if price > 0)},"
    text = f"{what} is {estimate:.4g} reward per decision ({low:.4g} to {high:.4g})"
    if answer == "pass":
        return f"{text}, which is above 0."
    if answer == "fail":
        return (
            f"{what} is {estimate:.4g} reward per decision and at most {at_most:.4g} with {1 - FALSE_PASS_ALPHA:.0%} confidence, "
            "so the candidate is not better."
        )
    if above_inside:
        return (
            f"{text}. Without the largest losses it is above 0, but about {sums.unexplained('against') * users:,.0f} people may "
            "have lost more than the trial can measure. More people make this number more precise."
        )
    return f"{text}, which does not exclude 0.{people_words(needed, users)}"


def _problem(sums: _Sums, users: float) -> str:
    """Return why the trial cannot be read yet, or an empty text."""
    if users - _USERS_SD * sums.sd["users"] < MIN_ESS:
        return f"Too few people took part in the trial to read it: about {users:,.0f}. It needs {MIN_ESS:g} beyond the noise."
    if sample_ratio_evidence(sums.value["arms"], sums.sd["arms"], users) >= _MISMATCH_BAR:
        return (
            "The arms of the trial do not hold equal numbers of people "
            f"(a difference of about {abs(sums.value['arms']):,.0f} of {users:,.0f}), so they cannot be compared. "
            "Find out why people of one arm are missing."
        )
    return ""


def sample_ratio_evidence(difference: float, sd: float, users: float) -> float:
    """Return the log Bayes factor that people are not assigned 50:50.

    It compares a share of 1/2 with a share whose prior is Beta(50, 50), both in their normal approximation, so that the noise on
    ``difference`` = candidate's people - reference's people can enter.
    """
    variance = users + sd**2
    prior = users**2 / (_MISMATCH_PRIOR + 1)
    return difference**2 / 2 * (1 / variance - 1 / (variance + prior)) - math.log1p(prior / variance) / 2


def people_words(needed: float, users: float) -> str:
    """Return a sentence about the people that a decision needs, empty if as many are there: then noise decides."""
    return f" A decision needs about {needed:,.0f} people." if needed > users else ""


def _people_needed(users: float, se: float, effect: float, z: float) -> float:
    """Return about how many people would find ``effect`` with probability .8. The noise's share is counted as sampling."""
    return float(math.ceil(users * max(1.0, (z + _z(POWER)) * se / effect) ** 2))


def _z(level: float) -> float:
    return NormalDist().inv_cdf(level)
