"""Compare a version with the other arm at the same time, and tell which proven harm takes it back.

Harm is *proven* by one bet, whose false alarms are bounded over all checks. It takes a version back if it is also large enough as
measured, over the people and the time of that bet. In a trial any proven harm does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Bools, Floats, Ints
from deployments.engine.evidence.joint_blocks import BLOCK, JointBlocks, Wager, log_wager_path
from deployments.engine.evidence.person_weeks import PersonWeeks, TestSample
from deployments.engine.evidence.rotation import first_blocks, log_rotating_path, strongest_start
from deployments.engine.evidence.slow_minutes import SlowMinutes, log_slower_path
from deployments.engine.evidence.stakes import (
    ANSWERED_BET,
    EMPATHY_BETS,
    FALSE_INTERVENTION_BETS,
    NOT_GOOD_BET,
    Stakes,
)
from deployments.engine.health.evidence import ArmKind, Evidence
from deployments.engine.health.metrics import FALSE_ROLLBACK_ALPHA, LEAST_REQUESTS, LEAST_SHOWN
from loops.engine.thresholds import EMPATHY_DROP, FALSE_INTERVENTION_RISE

COMPARED_METRICS = 4  # empathy, false interventions, latency, silence
# All comparisons together take back at most ``FALSE_ROLLBACK_ALPHA`` of good versions.
TRIGGER_BAR = math.log(COMPARED_METRICS / FALSE_ROLLBACK_ALPHA)
NEAR_NOTHING = 0.02  # a share of the other arm below this has no meaningful ratio
_WORST_CASE = 1.5  # times the other arm's share of harm: what silence may hide before it takes a version back
Size = Callable[[Floats, Floats], tuple[float | None, bool]]  # (people, V) of both arms -> value to show, large enough


@dataclass(frozen=True)
class Trigger:
    """Hold the result of one comparison, from its bet with the strongest evidence.

    ``value``: relative difference from the other arm (latency and silence: difference of shares). ``over``: the time that it
    stands for. ``log_evidence``: weighted log evidence that the version is worse. ``bar``: log evidence that is a proof.
    ``fires``: the version is taken back. With fewer than ``LEAST_SHOWN`` people (or requests) in an arm, there is no
    ``value``, and ``log_evidence`` says no more than ``proven``: it is ``bar`` or 0.
    """

    name: str
    value: float | None
    over: str
    log_evidence: float
    bar: float
    proven: bool
    fires: bool


@dataclass(frozen=True)
class ComparedMetric:
    """Describe a comparison: its bets by the column of the value they are placed on, and how large a difference must be."""

    name: str
    bets: tuple[tuple[int, Stakes], ...]
    size: Size

    def wager(self, values: Floats, ours: Bools, present: Bools | None = None) -> Wager:
        """Return the bets on people in order: ``values`` (..., people, V)."""
        return [(JointBlocks.of(values[..., column], ours, present), bet) for column, bet in self.bets]


def _empathy_fell(ours: Floats, theirs: Floats) -> tuple[float | None, bool]:
    fall = 1.0 - float(ours[:, 0].mean()) / max(float(theirs[:, 0].mean()), 1e-9)
    return fall, fall > EMPATHY_DROP


def _false_interventions_rose(ours: Floats, theirs: Floats) -> tuple[float | None, bool]:
    now, before = float(ours[:, 0].mean()), float(theirs[:, 0].mean())
    if before < NEAR_NOTHING:
        return None, now - before > NEAR_NOTHING
    return now / before - 1.0, now / before - 1.0 > FALSE_INTERVENTION_RISE


def _silence_may_hide_harm(ours: Floats, theirs: Floats) -> tuple[float | None, bool]:
    """Tell whether the silence that the other arm does not have could hide too much harm, if all of it were harm."""
    (answered, not_good), (before, not_good_before) = ours.mean(axis=0), theirs.mean(axis=0)
    harmed, harmed_before = not_good - (1.0 - answered), not_good_before - (1.0 - before)
    worst = harmed + max(0.0, before - answered)
    return float(before - answered), bool(worst > max(_WORST_CASE * harmed_before, harmed_before + NEAR_NOTHING))


EMPATHY_DROPPED = ComparedMetric("empathy_drop", tuple((0, bet) for bet in EMPATHY_BETS), _empathy_fell)
FALSE_INTERVENTIONS_ROSE = ComparedMetric(
    "false_intervention_rise", tuple((0, bet) for bet in FALSE_INTERVENTION_BETS), _false_interventions_rose
)
SILENCE_GREW = ComparedMetric("silence", ((0, ANSWERED_BET), (1, NOT_GOOD_BET)), _silence_may_hide_harm)


def triggers_of(evidence: Evidence) -> tuple[Trigger, ...]:
    """Return all comparisons with the other arm, or none if there is no other arm."""
    if evidence.other_arm is None:
        return ()
    weeks, arm = evidence.weeks, evidence.other_arm
    found = [
        _compared(EMPATHY_DROPPED, weeks.empathy, arm),
        _compared(FALSE_INTERVENTIONS_ROSE, weeks.false_interventions(evidence.silence), arm),
    ]
    if evidence.silence == "unknown":
        found.append(_compared(SILENCE_GREW, weeks.answers, arm))
    if evidence.slow_minutes is not None:
        found.append(_latency(evidence.slow_minutes))
    return tuple(found)


_Result = tuple[Trigger, bool]  # whether too few people are in an arm to show more of it than what is proven


def _compared(metric: ComparedMetric, table: PersonWeeks, arm: ArmKind) -> Trigger:
    results = [_tested(metric, table.days, arm)]
    if arm == "rotating":
        results.append(_tested_rotating(metric, table))
    else:
        results += [_tested(metric, sample, arm) for sample in table.samples]
    return _strongest(results)


def _strongest(results: Sequence[_Result]) -> Trigger:
    found, few = max(results, key=lambda result: (result[0].fires, result[0].log_evidence))
    return replace(found, value=None, log_evidence=found.bar * found.proven) if few else found


def _tested(metric: ComparedMetric, sample: TestSample, arm: ArmKind) -> _Result:
    """Run one test on people who each enter once. Proof at any earlier look stays a proof."""
    path = log_wager_path(metric.wager(sample.values, sample.ours))
    evidence = float(path.max(initial=0.0)) + sample.log_weight
    few = _few(int(sample.ours.sum()), int((~sample.ours).sum()))
    return _judged(metric, sample.over, evidence, sample.values, sample.ours, arm), few


def _tested_rotating(metric: ComparedMetric, table: PersonWeeks) -> _Result:
    """Run the mixture over person-weeks. A difference is measured from the week on in which its evidence starts.

    A person is in it once for each week, and in both arms in time. People are counted, not their weeks.
    """
    weeks, people, values, ours = table.in_order()
    wager, starts = metric.wager(values, ours), first_blocks(weeks, BLOCK, table.first, table.closed)
    begun = [start for start in starts if start < len(weeks) // BLOCK]
    if not begun:
        return _judged(metric, "weeks", -math.inf, values[:0], ours[:0], "rotating"), True
    path = log_rotating_path(wager, begun, table.first)
    since = begun[strongest_start(wager, begun, table.first)] * BLOCK
    few = _few(*(_people(people[since:][arm]) for arm in (ours[since:], ~ours[since:])))
    return _judged(metric, "weeks", float(path.max()), values[since:], ours[since:], "rotating"), few


def _people(person: Ints) -> int:
    return len(np.unique(person))


def _few(*people: int) -> bool:
    return min(people) < LEAST_SHOWN


def _judged(metric: ComparedMetric, over: str, evidence: float, values: Floats, ours: Bools, arm: ArmKind) -> Trigger:
    proven = evidence >= TRIGGER_BAR
    value, large = None, False
    if ours.any() and not ours.all():
        value, large = metric.size(values[ours], values[~ours])
    fires = proven and (large or arm == "trial")
    return Trigger(metric.name, value, over, _finite(evidence), TRIGGER_BAR, proven, fires)


def _finite(evidence: float) -> float:
    return evidence if math.isfinite(evidence) else 0.0


def _latency(minutes: SlowMinutes) -> Trigger:
    """Test for a share of requests over 250 ms that exceeds the other arm's in the same minutes by more than .005."""
    results = []
    for since, log_weight in minutes.tests:
        evidence = float(log_slower_path(since).max(initial=0.0)) + log_weight
        proven = evidence >= TRIGGER_BAR
        few = min(since.ours.sum(), since.theirs.sum()) < LEAST_REQUESTS  # one person alone can make many
        trigger = Trigger("latency_over_250_ms", since.excess, "days", evidence, TRIGGER_BAR, proven, proven)
        results.append((trigger, bool(few)))
    return _strongest(results)
