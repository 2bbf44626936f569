"""Cards of the training dashboard about the health of versions that are deployed or tried."""

from __future__ import annotations

from typing import Any

from core.html_format import NOT_ENOUGH_PEOPLE, interval_plot, number_text
from deployments.engine.rollouts.strategies import TRIAL
from deployments.models import Deployment, HealthCheck, ServingSlot
from deployments.selectors.health import arms_compared
from loops.engine.thresholds import LATENCY_BAR_MS
from r3al_project.pages.front_page import SIGNS, estimate
from r3al_project.turns.rollout_progress import rollout_words
from training.models import says_nothing

_METRIC_WORDS = {
    "empathy": ("Empathy", "each person's mean over interventions", "at least {}"),
    "false_intervention": ("False interventions", "share of each person's interventions", "at most {}"),
    "latency": ("Slow decisions", f"share over {LATENCY_BAR_MS:g} ms", "at most {}"),
    "reward_stability": ("Reward drift", "compared with the previous version", "within ±{}"),
    "answered": ("Answered interventions", "share of each person's interventions", ""),
}
_STATE_SIGNS = {"healthy": "✓", "degraded": "!", "critical": "✕", "unwatched": "○"}


def health_card(slot: ServingSlot, rollout: Deployment | None) -> dict[str, Any]:
    """Return the latest health check of a slot's watched version, which is the candidate while one is tried.

    ``rollout``: the one that tries a version in the slot now.
    """
    watched = arms_compared(slot).watched
    check = HealthCheck.objects.filter(slot=slot, version=watched).order_by("-id").first()
    return {
        "slot": slot,
        "version": watched,
        "tried": _tried(rollout) if rollout is not None and watched == slot.candidate else "",
        "against": slot.stable.name if slot.stable.is_learned else "the reference",
        "check": check,
        "chip": _health_chip(check),
        "metrics": [_metric(m) for m in check.metrics] if check else [],
        "recommendations": check.recommendations if check else [],
        "holdback": _holdback(slot),
        "exploration": f"{slot.exploration_bp / 100:g}%",
    }


def _tried(rollout: Deployment) -> str:
    """Return how a version is tried, such as "is on trial for half of the people"."""
    if rollout.strategy == TRIAL:
        return "is on trial for half of the people"
    return f"is tried ({rollout_words(rollout)})"


def _holdback(slot: ServingSlot) -> str:
    if not slot.holdback_bp:
        return ""
    return f"{slot.holdback_bp / 100:g}% of people{', drawn anew each week' if slot.rotates else ''}"


def holdback_words(slot: ServingSlot) -> str:
    """State who is held back in a slot, with which version, and whether they are drawn anew each week."""
    if slot.holdback is None:
        return "Nobody is held back, so relative changes cannot be measured."
    drawn = "They are drawn anew each week." if slot.rotates else "They stay the same."
    kept = slot.holdback.name if slot.holdback.is_learned else "the reference"
    return f"{slot.holdback_bp / 100:g}% of people keep {kept}. {drawn}"


def _health_chip(check: HealthCheck | None) -> dict[str, str]:
    words = check.status_text if check else "not checked yet"
    state = words if words in _STATE_SIGNS else "unwatched"
    return {"state": state, "sign": _STATE_SIGNS[state], "words": words}


def _metric(stored: dict[str, Any]) -> dict[str, Any]:
    name, unit, limit = _METRIC_WORDS[stored["name"]]
    verdict = {"ok": "pass", "beyond": "fail", "too_few": "insufficient"}[stored["verdict"]]
    words = {"pass": "within limit", "fail": "beyond limit", "insufficient": "not enough data"}[verdict]
    low, high = stored["low"], stored["high"]
    return {
        "name": name,
        "unit": unit,
        "text": _metric_text(stored),
        "requirement": f"Must be {limit.format(number_text(stored['threshold']))}." if limit else "",
        "chip": {"state": verdict, "sign": SIGNS[verdict], "words": words},
        "plot": interval_plot(
            None if says_nothing(stored["name"], low, high) else stored["value"], low, high, stored["threshold"]
        ),
    }


def _metric_text(stored: dict[str, Any]) -> str:
    """Return a metric's estimate and its number of observations, in words."""
    n, needed = stored["n"], stored["minimum_n"]
    noun = "decisions" if stored["name"] == "latency" else "people"
    found = estimate(stored["name"], stored["value"], stored["low"], stored["high"])
    is_enough = n >= needed
    if found == NOT_ENOUGH_PEOPLE:
        return f"Not enough data yet ({n:,}{'' if is_enough else f' of {needed:,}'} {noun})."
    days = ", on their first day only" if stored.get("over") == "first day" else ""
    return f"{found} from {n:,}{'' if is_enough else f' of the needed {needed:,}'} {noun}{days}."
