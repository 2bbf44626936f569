"""Require of a candidate that no gate has proven what a private trial requires: what both arms lived, with nothing left out.

A stage compares rewards of decisions that have one. It does not see people who stop coming, rewards that are missing just where
they would be low, few people who are hurt badly, or harmed people who stay silent. A private trial sees them. So its judgements
are made here too, of a stage's own rows and without noise, because a rollout is judged within the trust boundary. One thing
differs: the improvement need not be proven. It must be above 0, and a loss beyond ``REWARD_MARGIN`` must be excluded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.arrays import Bools
from core.json_safe import json_safe
from deployments.engine.evidence.person_weeks import hash_of
from deployments.engine.rollouts.conditions import REWARD_MARGIN, Condition, ConditionState
from loops.engine.spec import LoopSpec
from privacy.engine.evaluation.on_policy import TrialRows, guardrail_clips, release_trial
from training.engine.gates.trial import lived_judgements

IMPROVEMENT = "improvement"
_UNREAD = "What the people of both arms lived in this stage has not been read yet."


@dataclass(frozen=True)
class CandidateFigures:
    """Hold the public figures of a candidate that judging its people needs, as its version stores them.

    ``intervention_rate``: share of decisions with an intervention. ``decisions``: the usual number of a person. ``rival_value``:
    mean reward of the policy that it is to beat, in scales.
    """

    intervention_rate: float = 1.0
    decisions: float = 1.0
    rival_value: float = 0.0


@dataclass(frozen=True)
class LivedFinding:
    """Hold one judgement of what people lived: its value with bounds and its bar in one unit, of rewards the loop's own.

    An improvement that cannot be read has infinite bounds. Sentences about single people are left out.
    """

    name: str
    value: float
    low: float
    high: float
    bar: float
    verdict: str

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        found: dict[str, Any] = json_safe(asdict(self))
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> LivedFinding:
        """Read what ``as_json`` returned."""
        unknown: dict[str, Any] = {"value": math.nan, "low": -math.inf, "high": math.inf}
        return cls(**{name: unknown[name] if value is None else value for name, value in stored.items()})


def lived_json(found: Sequence[LivedFinding] | None) -> dict[str, Any]:
    """Return findings as the part of stored facts that holds them, empty for None."""
    return {} if found is None else {"lived": [one.as_json() for one in found]}


def lived_of(stored: Mapping[str, Any]) -> tuple[LivedFinding, ...] | None:
    """Read what ``lived_json`` put into stored facts."""
    return tuple(map(LivedFinding.from_json, stored["lived"])) if stored.get("lived") is not None else None


def lived_findings(
    spec: LoopSpec, rows: TrialRows, figures: CandidateFigures, *, exploration: float, look: int
) -> tuple[LivedFinding, ...]:
    """Judge what the people of both arms lived.

    Args: rows: of arms that are about equally large (``even_arms``). exploration: the explored share of decisions. look: 1, 2,
        ...: how often this rollout has been judged so.
    """
    clips = guardrail_clips(
        spec, intervention_rate=figures.intervention_rate, exploration=exploration, decisions=figures.decisions
    )
    sums = release_trial(
        spec, rows, centre=figures.rival_value, decisions=figures.decisions, clips=clips, sigma=None
    )  # fmt: skip
    judged = lived_judgements(spec, sums, look)
    return tuple(LivedFinding(j.name, j.value, j.low, j.high, j.bar, j.verdict) for j in judged)


def even_arms(people: np.ndarray, ours: Bools, most: int) -> np.ndarray:
    """Return ids of people of two equally large arms, at most ``most`` in all, by a hash that knows nothing else of them.

    Whether the arms have their declared ratio is judged apart, of all people (``checks.assignment_found``).

    Args: people (U,): ids. ours (U,): whether a person has the candidate.
    """
    arms = [ids[np.argsort(hash_of(ids), kind="stable")] for ids in (people[ours], people[~ours])]
    size = min(*map(len, arms), most // 2)
    return np.sort(np.concatenate([arm[:size] for arm in arms]))


def lived_conditions(found: Sequence[LivedFinding] | None, scale: float) -> list[Condition]:
    """Return a condition for each finding, or one that is open if nothing was read (None).

    Args: scale: of rewards, in the loop's units.
    """
    if not found:
        return [Condition("lived", "open", _UNREAD, {})]
    return [_condition(finding, REWARD_MARGIN * scale) for finding in found]


def _condition(finding: LivedFinding, margin: float) -> Condition:
    state = _state(finding, margin)
    figures = {"estimate": finding.value, "low": finding.low, "high": finding.high, "bar": finding.bar}
    return Condition(f"lived_{finding.name}", state, _said(finding, margin, state), json_safe(figures))


def _state(finding: LivedFinding, margin: float) -> ConditionState:
    if finding.name == IMPROVEMENT:
        if finding.value > 0 and finding.low > -margin:
            return "holds"
        return "failed" if finding.value <= 0 and math.isfinite(finding.low) else "open"
    states: dict[str, ConditionState] = {"pass": "holds", "fail": "failed"}
    return states.get(finding.verdict, "open")


_ASKED = {
    IMPROVEMENT: "Reward with all that was lived is higher, and a loss of {margin:g} is excluded",
    "empathy": "Empathy over interventions is at least {bar:g}",
    "false_intervention": "False interventions are at most {bar:.3g}, with silence counted",
    "retention": "The share of days on which people come falls by no more than {less:.0%}",
}
_ANSWERS: dict[ConditionState, str] = {
    "holds": "this is proven",
    "open": "there is not enough evidence",
    "failed": "this does not hold",
}


def _said(finding: LivedFinding, margin: float, state: ConditionState) -> str:
    """Return a sentence such as "Empathy over interventions is at least 0.75: this is proven (0.81, from 0.79 to 0.83)."."""
    asked = _ASKED.get(finding.name, finding.name).format(margin=margin, bar=finding.bar, less=-finding.bar)
    if not (math.isfinite(finding.value) and math.isfinite(finding.low)):
        return f"{asked}: too few people are known to judge it."
    return f"{asked}: {_ANSWERS[state]} ({finding.value:.3g}, from {finding.low:.3g} to {finding.high:.3g})."
