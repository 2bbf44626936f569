"""Walk a canary through weeks that were lived already, by the same verdicts as a rollout in progress."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.report import health_of
from deployments.engine.rollouts.arm_values import arm_values, people_of_one_arm
from deployments.engine.rollouts.staged import CanaryTerms, StageFacts, canary_verdict
from deployments.engine.rollouts.verdict import RolloutVerdict
from loops.engine.spec import Silence

_GOES_ON = ("wait", "extend", "advance")


@dataclass(frozen=True)
class DryWeek:
    """Hold the verdict that a canary would have had when one week closed. ``stage``: 0 for the first."""

    week: int
    stage: int
    closed_weeks: int
    extended: int
    verdict: RolloutVerdict


def canary_dry_run(
    terms: CanaryTerms, lived: LivedWeeks, *, margin: float, silence: Silence = "unknown"
) -> list[DryWeek]:
    """Return the verdict of each week until one ends or pauses the canary.

    The arms are those in which people lived, so their sizes are not compared with the stages' shares. Latency is not stored by
    week, and is left out. So are the conditions of ``lived_conditions``.

    Args:
        margin: tolerated fall of the reward, in the loop's units.
    """
    terms = replace(terms, judges_lived=False)  # it needs what people live while the rollout goes on
    walk: list[DryWeek] = []
    stage, first, extended = 0, lived.first, 0
    for week in sorted({int(week) for week in lived.week if week >= lived.first}):
        closed = _until(lived, week)
        verdict, weeks = _verdict(terms, closed, stage, first, extended, margin, silence)
        walk.append(DryWeek(week, stage, weeks, extended, verdict))
        if verdict.step not in _GOES_ON:
            break
        if verdict.step == "advance":
            stage, first, extended = stage + 1, week + 1, 0
        extended += verdict.step == "extend"
    return walk


def _until(lived: LivedWeeks, week: int) -> LivedWeeks:
    """Return what was known when a week closed: the weeks up to it, and people's first days."""
    known = lived.week <= week
    return replace(
        lived,
        week=lived.week[known],
        person=lived.person[known],
        ours=lived.ours[known],
        sums=lived.sums[known],
        closed=week,
    )


def _verdict(
    terms: CanaryTerms, known: LivedWeeks, stage: int, first: int, extended: int, margin: float, silence: Silence
) -> tuple[RolloutVerdict, int]:
    """Return the verdict, and how many whole weeks of the stage are closed."""
    alone, _ = people_of_one_arm(known, first)
    weeks = len({int(week) for week in known.week if week >= first})
    evidence = Evidence(weeks=known, other_arm="trial", latency=Latency(), margin=margin, silence=silence)
    facts = StageFacts(
        stage=stage,
        closed_weeks=weeks,
        extended=extended,
        candidate=arm_values(alone, ours=True, first=first, silence=silence),
        stable=arm_values(alone, ours=False, first=first, silence=silence),
        triggers=health_of(evidence).triggers,
    )
    return canary_verdict(terms, facts), weeks
