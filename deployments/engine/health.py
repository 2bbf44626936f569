"""From stored evidence to a state of health: a pure function, so that every verdict can be computed again.

The blueprint's four metrics against their thresholds. *Beyond* means proven: the anytime-valid bound lies beyond the threshold; a
point estimate looked at every minute would fire on noise. States count metrics: none healthy, one or two degraded, three or
more critical. Relative triggers compare with the people who go on with what served before, at the same time; latency too, minute
by minute, so that a slow database takes nothing back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from deployments.engine.bets import (
    EMPATHY_STAKES,
    FALSE_INTERVENTION_STAKES,
    LATENCY_STAKES,
    Blocks,
    Floats,
    Null,
    Series,
    bounds,
    log_evidence_share,
    log_paired_restarted,
    mixture_radius,
)

EMPATHY_BAR, FALSE_INTERVENTION_BAR, SLOW_SHARE = 0.75, 0.10, 0.05
ALPHA = 0.01  # of a false "beyond", each metric, over all looks at a deployment together
METRICS = 4
LEAST_PEOPLE = 20
LEAST_REQUESTS = 200
_LEAST_COMPARED = LEAST_PEOPLE // 2
_BAR = float(np.log(METRICS / ALPHA))  # of a trigger: four of them share the false-alarm rate
EMPATHY_DROP, FALSE_INTERVENTION_RISE = 0.10, 0.50
NEAR_NOTHING = 0.02
SLOWER = 0.005  # of a minute's requests over 250 ms, beyond the holdback's
Verdict = Literal["ok", "beyond", "too_few"]
State = Literal["healthy", "degraded", "critical"]


@dataclass(frozen=True)
class Arm:
    """One value a person, epoch and metric: empathy over interventions, share harmful in [0, 1], reward in the loop's units."""

    empathy: Series
    false_intervention: Series
    reward: Floats


@dataclass(frozen=True)
class Latency:
    """Answered requests of the last hour, and how many took longer than 200 ms."""

    requests: int = 0
    over_200_ms: int = 0


@dataclass(frozen=True)
class Holdback:
    """Those who go on with what served before: their arm, the units of a block, and shares of requests over 250 ms in the
    minutes in which both arms were answered (``None``: latency is not this head's).
    """

    arm: Arm
    blocks: Blocks
    slow_minutes: tuple[Series, Series] | None = None


@dataclass(frozen=True)
class Evidence:
    """All that a verdict uses. ``margin``: what reward may fall, in the loop's units; ``holdback`` None: nobody is held back."""

    arm: Arm
    holdback: Holdback | None
    latency: Latency
    margin: float


@dataclass(frozen=True)
class Metric:
    """One metric as it is stored and shown."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    threshold: float
    n: int
    minimum_n: int
    verdict: Verdict


@dataclass(frozen=True)
class Trigger:
    """A relative trigger: how far the version is from the holdback, log evidence that it is worse, and whether it fires."""

    name: str
    value: float | None
    log_evidence: float
    bar: float
    fires: bool


@dataclass(frozen=True)
class Health:
    """State, with everything that it rests on, and sentences that an operator can act on."""

    state: State
    metrics: tuple[Metric, ...]
    triggers: tuple[Trigger, ...]
    recommendations: tuple[str, ...] = field(default=())

    @property
    def must_roll_back(self) -> bool:
        return self.state == "critical" or any(t.fires for t in self.triggers)

    def as_json(self) -> dict[str, list[Any]]:
        return {
            "metrics": [asdict(m) for m in self.metrics],
            "triggers": [asdict(t) for t in self.triggers],
            "recommendations": list(self.recommendations),
        }


def health_of(evidence: Evidence) -> Health:
    """Judge a version by what its people lived."""
    arm = evidence.arm
    metrics = (
        _bounded("empathy", arm.empathy, EMPATHY_BAR, low_is_bad=True),
        _bounded("false_intervention", arm.false_intervention, FALSE_INTERVENTION_BAR, low_is_bad=False),
        _latency(evidence.latency),
        _stability(evidence),
    )
    beyond = sum(m.verdict == "beyond" for m in metrics)
    state: State = "critical" if beyond >= 3 else "degraded" if beyond else "healthy"
    triggers = _triggers(evidence)
    return Health(state, metrics, triggers, _recommendations(state, metrics, triggers, evidence))


def _bounded(name: str, series: Series, bar: float, *, low_is_bad: bool) -> Metric:
    low, high = bounds(series, ALPHA)
    values = series.values
    proven = high < bar if low_is_bad else low > bar
    verdict: Verdict = "too_few" if len(values) < LEAST_PEOPLE else "beyond" if proven else "ok"
    value = float(values.mean()) if len(values) else None
    return Metric(name, value, low, high, bar, len(values), LEAST_PEOPLE, verdict)


def _latency(latency: Latency) -> Metric:
    """Share of requests over 200 ms against 5%: the 95th percentile is at most 200 ms exactly when the share is at most that."""
    n, slow = latency.requests, latency.over_200_ms
    proven = log_evidence_share(slow, n, SLOW_SHARE) >= np.log(1.0 / ALPHA)
    verdict: Verdict = "too_few" if n < LEAST_REQUESTS else "beyond" if proven else "ok"
    return Metric("latency", slow / n if n else None, None, None, SLOW_SHARE, n, LEAST_REQUESTS, verdict)


def _stability(evidence: Evidence) -> Metric:
    """Mean reward of a person minus that of the holdback's people; without them, of the later half minus the earlier half.

    Beyond only when it is lower by more than the margin: a version is deployed because it is better than what served before.
    """
    ours = evidence.arm.reward
    theirs = evidence.holdback.arm.reward if evidence.holdback is not None else ours[:0]
    compared = len(theirs) >= _LEAST_COMPARED
    half = len(ours) // 2
    n = min(len(ours), len(theirs)) if compared else half
    if n < 2:
        return Metric("reward_stability", None, None, None, evidence.margin, n, _LEAST_COMPARED, "too_few")
    if compared:
        value, radius = float(ours.mean() - theirs.mean()), _radius(ours) + _radius(theirs)
    else:  # 2 (mean of all - mean of the earlier half), two means of one sequence from its beginning
        value, radius = float(ours[half:].mean() - ours[:half].mean()), 2 * (_radius(ours) + _radius(ours[:half]))
    verdict: Verdict = "too_few" if n < _LEAST_COMPARED else "beyond" if value + radius < -evidence.margin else "ok"
    return Metric(
        "reward_stability", value, value - radius, value + radius, evidence.margin, n, _LEAST_COMPARED, verdict
    )


def _radius(values: Floats) -> float:
    return mixture_radius(len(values), float(values.std(ddof=1)), ALPHA / 2)


def _triggers(evidence: Evidence) -> tuple[Trigger, ...]:
    if evidence.holdback is None:
        return ()
    ours, theirs, blocks = evidence.arm, evidence.holdback.arm, evidence.holdback.blocks
    found = (
        _paired("empathy_drop", ours.empathy, theirs.empathy, blocks, higher=True),
        _paired("false_intervention_rise", ours.false_intervention, theirs.false_intervention, blocks, higher=False),
    )
    minutes = evidence.holdback.slow_minutes
    return (*found, _slower(*minutes)) if minutes is not None else found


def _slower(ours: Series, theirs: Series) -> Trigger:
    """More requests over 250 ms than the holdback has in the same minutes, by more than .005; on evidence alone."""
    null = Null(1.0, SLOWER, higher_is_better=False)
    worse = log_paired_restarted(ours, theirs, null, Blocks(1, 1), LATENCY_STAKES, 0.0)
    value = float(ours.values.mean() - theirs.values.mean()) if len(ours.values) else None
    return Trigger("latency_over_250_ms", value, worse, _BAR, worse >= _BAR)


def _paired(name: str, ours: Series, theirs: Series, blocks: Blocks, *, higher: bool) -> Trigger:
    """Fires when it is proven to be worse at all, and is worse by the blueprint's amount, as it looks or as is proven too.

    A share that is next to nothing in the holdback has no ratio: then it must be proven to be worse by .02 of the people.
    """

    def against(null: Null) -> float:
        stakes, prior = (EMPATHY_STAKES, EMPATHY_BAR) if higher else (FALSE_INTERVENTION_STAKES, FALSE_INTERVENTION_BAR)
        return log_paired_restarted(ours, theirs, null, blocks, stakes, prior)

    worse = against(Null(higher_is_better=higher))
    if not len(ours.values) or not len(theirs.values):
        return Trigger(name, None, worse, _BAR, False)
    now, before = float(ours.values.mean()), float(theirs.values.mean())
    if not higher and before < NEAR_NOTHING:
        proven = against(Null(1.0, NEAR_NOTHING, higher))
        return Trigger(name, None, worse, _BAR, worse >= _BAR and proven >= _BAR)
    change = EMPATHY_DROP if higher else FALSE_INTERVENTION_RISE
    relative = (before - now) / max(before, 1e-9) * (1 if higher else -1)
    proven = against(Null(1 - change if higher else 1 + change, 0.0, higher))
    return Trigger(name, relative, worse, _BAR, worse >= _BAR and (relative > change or proven >= _BAR))


_ADVICE = {
    "empathy": "People rate what it does lower than they should: look at the states in which it intervenes, or take it back.",
    "false_intervention": "It intervenes where people dismiss it: lower the intervention rate, or take it back.",
    "latency": "Decisions are slow: look at the database and at the number of web workers.",
    "reward_stability": "Reward is lower than that of what served before: train on the newest outcomes, or take it back.",
}


def _recommendations(
    state: State, metrics: tuple[Metric, ...], triggers: tuple[Trigger, ...], evidence: Evidence
) -> tuple[str, ...]:
    said = [_ADVICE[m.name] for m in metrics if m.verdict == "beyond"]
    said += [f"The trigger {t.name.replace('_', ' ')} fired: the version goes back." for t in triggers if t.fires]
    few = [m for m in metrics if m.verdict == "too_few"]
    if few:
        named = ", ".join(f"{m.name.replace('_', ' ')} ({m.n} of {m.minimum_n})" for m in few)
        said.append(f"Too few yet to judge {named}: that nothing is proven against it is no praise.")
    if evidence.holdback is None:
        said.append("Nobody is held back, so relative drops cannot be seen: deploy with a holdback.")
    elif not len(evidence.holdback.arm.empathy.values) and len(evidence.arm.empathy.values) >= LEAST_PEOPLE:
        said.append(
            "What is held back has not spoken to anybody, so only the thresholds judge empathy and false interventions."
        )
    if state == "healthy" and not few:
        said.append("Everything within its thresholds; go on watching.")
    return tuple(said)
