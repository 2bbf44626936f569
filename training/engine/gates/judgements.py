"""Hold what a gate says of each metric, and combine it into one verdict."""

from __future__ import annotations

from dataclasses import dataclass

from training.engine.gates.decision_rule import Verdict, VerdictWord
from training.engine.intervals.clustered import Interval


@dataclass(frozen=True)
class Judgement:
    """Hold one metric with its interval, bar and verdict. Numbers and reason are in one unit, of reward the loop's own."""

    name: str
    value: float
    low: float
    high: float
    bar: float
    users: float | None
    verdict: VerdictWord
    reason: str
    needed_users: float | None


@dataclass(frozen=True)
class GateResult:
    """Hold the verdict over all metrics and its reason.

    ``needed_users``: about how many people a decision needs, if the evidence is insufficient.
    """

    verdict: VerdictWord
    reason: str
    judgements: tuple[Judgement, ...]
    needed_users: float | None


def combine_verdicts(judgements: list[Judgement]) -> GateResult:
    """Combine verdicts: the worst one wins, except that no estimate counts where the log lacks support.

    The number of people is the largest known one of the undecided metrics.
    """
    unsupported = [j for j in judgements if j.name == "support" and j.verdict != "pass"]
    for answer in ("insufficient",) if unsupported else ("fail", "insufficient"):
        worst = unsupported or [j for j in judgements if j.verdict == answer]
        if worst:
            needed = [j.needed_users for j in worst if j.needed_users is not None]
            reason = " ".join(j.reason for j in worst)
            return GateResult(
                worst[0].verdict, reason, tuple(judgements), max(needed, default=None) if answer != "fail" else None
            )
    return GateResult("pass", "Every metric passed.", tuple(judgements), None)


def judgement_of(name: str, interval: Interval, bar: float, result: Verdict) -> Judgement:
    """Return a metric's judgement. Interval and bar are in the units of the reason."""
    return Judgement(
        name,
        interval.estimate,
        interval.low,
        interval.high,
        bar,
        interval.users,
        result.answer,
        result.reason[:1].upper() + result.reason[1:],
        result.users_needed,
    )
