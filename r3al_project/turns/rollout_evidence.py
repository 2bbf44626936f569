"""Show what a stored verdict used: each condition beside what people lived, and each proof of harm beside its bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.html_format import number_text
from deployments.engine.rollouts.apprentice import ApprenticeFacts, known_of
from deployments.engine.rollouts.conditions import LEAST_IN_SMALL_ARM, LEAST_PEOPLE, REWARD_MARGIN
from deployments.models import RolloutCheck
from deployments.selectors.rollouts import shows_figures
from loops.engine.thresholds import FALSE_INTERVENTION_BAR

_TOO_FEW = "fewer than 10 people"
_STATES = {"holds": "pass", "open": "insufficient", "failed": "fail"}
STATE_WORDS = {"pass": "holds", "insufficient": "not enough evidence", "fail": "does not hold"}
_NAMES = {
    "people": "People with closed outcomes",
    "empathy": "Empathy",
    "false_interventions": "False interventions",
    "reward": "Reward",
    "lived": "All that people lived",
    "lived_improvement": "Reward, with people who stay away and missing rewards",
    "lived_empathy": "Empathy over interventions",
    "lived_false_intervention": "False interventions, with silence counted",
    "lived_retention": "People keep coming",
}
_HARM = {
    "empathy_drop": "Lower empathy",
    "false_intervention_rise": "More false interventions",
    "latency_over_250_ms": "Slow answers",
    "silence": "People fall silent",
}

_LIVED_NEEDED = {
    "lived_improvement": "above 0, and a loss of {margin:g} is excluded",
    "lived_empathy": "proven at least {bar:g}",
    "lived_false_intervention": "proven at most {bar:.3g}",
    "lived_retention": "a fall beyond {bar:+.0%} of the days is excluded",
}


@dataclass(frozen=True)
class EvidenceRow:
    """Hold one condition of the next step in words.

    ``difference``: between the arms, with its bounds. ``state``: pass, insufficient or fail.
    """

    name: str
    needed: str
    candidate: str
    present: str
    difference: str
    state: str

    @property
    def numbers(self) -> str:
        """Return the values of both arms and their difference in one text."""
        arms = f"{self.candidate} against {self.present}" if self.candidate and self.present else ""
        return ", ".join(filter(None, (arms, f"difference {self.difference}" if self.difference else "")))


@dataclass(frozen=True)
class HarmRow:
    """Hold how near one kind of harm is to its proof. ``percent``: of the evidence that takes the version back."""

    name: str
    percent: int


def evidence_rows(check: RolloutCheck) -> list[EvidenceRow]:
    """Return the conditions of a verdict in words. Figures of fewer than ten people of an arm are not shown."""
    shown, terms = shows_figures(check), check.terms
    conditions: Mapping[str, Any] = check.figures.get("conditions", {})
    return [_row(name, figures, terms, shown) for name, figures in conditions.items()]


def known_sentences(check: RolloutCheck) -> list[str]:
    """Return what a verdict on an apprenticeship knew of the app's choices, in sentences. Other verdicts have none."""
    return known_of(ApprenticeFacts.from_json(check.facts)) if "imitation" in check.facts else []


def _row(name: str, figures: Mapping[str, Any], terms: Mapping[str, Any], shown: bool) -> EvidenceRow:
    if name == "people":
        candidate, present = (str(count) for count in figures["people"])
        difference = ""
    else:
        candidate, present = (_value(figures.get(arm), shown) for arm in ("candidate", "stable"))
        difference = _difference(figures, shown)
    state = _STATES.get(str(figures.get("state")), "insufficient")
    return EvidenceRow(_NAMES.get(name, name.replace("_", " ").capitalize()), _needed(name, figures, terms), candidate,
                       present, difference, state)  # fmt: skip


def _needed(name: str, figures: Mapping[str, Any], terms: Mapping[str, Any]) -> str:
    if name == "people":
        if "minimum_an_arm" in terms:
            return f"at least {terms['minimum_an_arm']} with each version"
        return f"at least {LEAST_PEOPLE}, and {LEAST_IN_SMALL_ARM} with each version"
    factor = figures.get("factor")
    if name == "empathy":
        return (
            f"proven above {factor:.0%} of the present version's" if factor and factor != 1.0 else "proven high enough"
        )
    if name == "false_interventions":
        return f"clearly within {FALSE_INTERVENTION_BAR:g}, and proven below twice the present version's"
    if name in _LIVED_NEEDED:
        return _LIVED_NEEDED[name].format(bar=figures.get("bar") or 0.0, margin=_margin(terms))
    if name == "reward" and "winner" in figures:
        return "proven higher"
    if name == "reward":
        return f"higher, and a loss of {_margin(terms):g} is excluded"
    return ""


def _margin(terms: Mapping[str, Any]) -> float:
    """Return the loss of reward that must be excluded, in the loop's units."""
    return REWARD_MARGIN * float(terms.get("reward_scale", 1.0))


def _value(value: float | None, shown: bool) -> str:
    return number_text(value) if shown and value is not None else ""


def _difference(figures: Mapping[str, Any], shown: bool) -> str:
    estimate, low, high = (figures.get(name) for name in ("estimate", "low", "high"))
    if not shown:
        return _TOO_FEW
    if estimate is None:
        return "not known yet"
    if low is None or high is None:
        return number_text(estimate)
    return f"{number_text(estimate)} (from {number_text(low)} to {number_text(high)})"


def harm_rows(check: RolloutCheck) -> list[HarmRow]:
    """Return how near each kind of harm is to its proof. Triggers say nothing of fewer than ten people themselves."""
    return [
        HarmRow(
            _HARM.get(t["name"], t["name"].replace("_", " ").capitalize()),
            min(100, max(0, round(100 * t["log_evidence"] / t["bar"]))) if t["bar"] else 0,
        )
        for t in check.figures.get("triggers", [])
    ]
