"""From stored evidence to a state of health: a pure function, so that every verdict can be computed again.

The blueprint's four metrics against their thresholds. *Beyond* means proven: the anytime-valid bound lies beyond the threshold; a
point estimate looked at every minute would fire on noise. States count metrics: none healthy, one or two degraded, three or
more critical. Relative triggers compare with the people who go on with what served before, at the same time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from deployments.engine.bets import (
    EMPATHY_STAKES,
    FALSE_INTERVENTION_STAKES,
    Blocks,
    Floats,
    Null,
    bounds,
    log_evidence_share,
    log_paired,
    mixture_radius,
)

EMPATHY_BAR, FALSE_INTERVENTION_BAR, SLOW_SHARE = 0.75, 0.10, 0.05
ALPHA = 0.01  # of a false "beyond", each metric, over all looks at a deployment together
METRICS = 4
LEAST_PEOPLE = 20
LEAST_REQUESTS = 200
EMPATHY_DROP, FALSE_INTERVENTION_RISE = 0.10, 0.50
NEAR_NOTHING = 0.02
HOLDBACK_BLOCKS = Blocks(19, 1)
Verdict = Literal["ok", "beyond", "too_few"]
State = Literal["healthy", "degraded", "critical"]


@dataclass(frozen=True)
class Arm:
    """One value a person and metric, in exposure order: empathy over interventions, share harmful, reward (loop's units)."""

    empathy: Floats
    false_intervention: Floats
    reward: Floats


@dataclass(frozen=True)
class Latency:
    """Answered requests, and how many took longer than 200 and 250 ms."""

    requests: int = 0
    over_200_ms: int = 0
    over_250_ms: int = 0


@dataclass(frozen=True)
class Evidence:
    """All that a verdict uses. ``margin``: what reward may drift, in the loop's units; ``holdback`` None: nobody is held back."""

    arm: Arm
    holdback: Arm | None
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


def _bounded(name: str, values: Floats, bar: float, *, low_is_bad: bool) -> Metric:
    low, high = bounds(values, ALPHA)
    enough = len(values) >= LEAST_PEOPLE
    proven = high < bar if low_is_bad else low > bar
    return Metric(
        name,
        float(values.mean()) if len(values) else None,
        low,
        high,
        bar,
        len(values),
        LEAST_PEOPLE,
        "too_few" if not enough else "beyond" if proven else "ok",
    )


def _latency(latency: Latency) -> Metric:
    """Share of requests over 200 ms against 5%: the 95th percentile is at most 200 ms exactly when the share is at most that."""
    n, slow = latency.requests, latency.over_200_ms
    proven = log_evidence_share(slow, n, SLOW_SHARE) >= np.log(1.0 / ALPHA)
    verdict: Verdict = "too_few" if n < LEAST_REQUESTS else "beyond" if proven else "ok"
    return Metric("latency", slow / n if n else None, None, None, SLOW_SHARE, n, LEAST_REQUESTS, verdict)


def _stability(evidence: Evidence) -> Metric:
    """Mean reward of a person minus that of the holdback's people; without them, of the later half minus the earlier half."""
    ours, theirs = _compared(evidence)
    n = min(len(ours), len(theirs))
    least = LEAST_PEOPLE // 2
    if n < 2:
        return Metric("reward_stability", None, None, None, evidence.margin, n, least, "too_few")
    value = float(ours.mean() - theirs.mean())
    radius = sum(mixture_radius(len(a), float(a.std(ddof=1)), ALPHA / 4) for a in (ours, theirs))
    proven = abs(value) - radius > evidence.margin
    verdict: Verdict = "too_few" if n < least else "beyond" if proven else "ok"
    return Metric("reward_stability", value, value - radius, value + radius, evidence.margin, n, least, verdict)


def _compared(evidence: Evidence) -> tuple[Floats, Floats]:
    ours = evidence.arm.reward
    if evidence.holdback is not None and len(evidence.holdback.reward) >= LEAST_PEOPLE // 2:
        return ours, evidence.holdback.reward
    half = len(ours) // 2
    return ours[half:], ours[:half]


def _triggers(evidence: Evidence) -> tuple[Trigger, ...]:
    bar = float(np.log(METRICS / ALPHA))
    slow = log_evidence_share(evidence.latency.over_250_ms, evidence.latency.requests, SLOW_SHARE)
    fires = slow >= bar and evidence.latency.requests >= LEAST_REQUESTS
    n = evidence.latency.requests
    latency = Trigger("latency_over_250_ms", evidence.latency.over_250_ms / n if n else None, slow, bar, fires)
    if evidence.holdback is None:
        return (latency,)
    ours, theirs = evidence.arm, evidence.holdback
    return (
        latency,
        _paired("empathy_drop", ours.empathy, theirs.empathy, EMPATHY_DROP, EMPATHY_STAKES, higher=True),
        _paired(
            "false_intervention_rise", ours.false_intervention, theirs.false_intervention, FALSE_INTERVENTION_RISE,
            FALSE_INTERVENTION_STAKES, higher=False,
        ),
    )  # fmt: skip


def _paired(
    name: str, ours: Floats, theirs: Floats, change: float, stakes: tuple[float, ...], *, higher: bool
) -> Trigger:
    """Fires when it is proven to be worse at all, and is worse by the blueprint's amount, as it looks or as is proven too.

    A share that is next to nothing in the holdback has no ratio: then it must be proven to be worse by .02 of the people.
    """
    bar = float(np.log(METRICS / ALPHA))
    prior = EMPATHY_BAR if higher else FALSE_INTERVENTION_BAR
    worse = log_paired(ours, theirs, Null(higher_is_better=higher), HOLDBACK_BLOCKS, stakes, prior)
    if not len(ours) or not len(theirs):
        return Trigger(name, None, worse, bar, False)
    before = float(theirs.mean())
    if not higher and before < NEAR_NOTHING:
        proven = log_paired(ours, theirs, Null(1.0, NEAR_NOTHING, higher), HOLDBACK_BLOCKS, stakes, prior)
        return Trigger(name, None, worse, bar, worse >= bar and proven >= bar)
    relative = (before - float(ours.mean())) / max(before, 1e-9) * (1 if higher else -1)
    margin = Null(1 - change if higher else 1 + change, 0.0, higher)
    proven = log_paired(ours, theirs, margin, HOLDBACK_BLOCKS, stakes, prior)
    return Trigger(name, relative, worse, bar, worse >= bar and (relative > change or proven >= bar))


_ADVICE = {
    "empathy": "People rate what it does lower than they should: look at the states in which it intervenes, or take it back.",
    "false_intervention": "It intervenes where people dismiss it: lower the intervention rate, or take it back.",
    "latency": "Decisions are slow: look at the database and at the number of web workers.",
    "reward_stability": "Reward has moved away from what served before: train on the newest outcomes, or take it back.",
}


def _recommendations(
    state: State, metrics: tuple[Metric, ...], triggers: tuple[Trigger, ...], evidence: Evidence
) -> tuple[str, ...]:
    said = [_ADVICE[m.name] for m in metrics if m.verdict == "beyond"]
    said += [f"The trigger {t.name.replace('_', ' ')} fired: the version goes back." for t in triggers if t.fires]
    few = [m for m in metrics if m.verdict == "too_few"]
    if few:
        named = ", ".join(f"{m.name.replace('_', ' ')} ({m.n} of {m.minimum_n})" for m in few)
        said.append(f"Too few yet to judge {named}: healthy only means that nothing is proven against it.")
    if evidence.holdback is None:
        said.append("Nobody is held back, so relative drops cannot be seen: deploy with a holdback.")
    if state == "healthy" and not few:
        said.append("Everything within its thresholds; go on watching.")
    return tuple(said)
