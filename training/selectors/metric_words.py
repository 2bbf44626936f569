"""Name the metrics of gates for people: what they compare with, who judged them, and their unit."""

from __future__ import annotations

from core.html_format import NOT_ENOUGH_PEOPLE, NOT_KNOWN, number_text
from training.models import TRIAL_GATE, ModelMetric, says_nothing

_WORDS = {
    "model_gate_z": "model gate (z against the reference, in sampled worlds)",
    "model_gate_z_incumbent": "model gate (z against the incumbent, in sampled worlds)",
    "support": "how much of it the log tried (1: as declared)",
    "empathy": "empathy over interventions",
    "silence": "share of interventions without an answer",
    "false_intervention": "share of false interventions",
    "stability": "drift of the reward over time (reward per decision)",
    "retention": "change in the share of days on which people come",
    "latency_ms": "decision time (ms)",
}


def metric_words(name: str, *, on_trial: bool = False, over_incumbent: bool = False) -> str:
    """Return the name of a gate's metric, with its unit where it has one.

    Args:
        on_trial: whether the people of a trial judged it, and not the logged decisions.
        over_incumbent: whether the version was to beat an incumbent, and not the reference.
    """
    words = _WORDS.get(name, name.replace("_", " "))
    if name == "improvement":
        words = f"improvement over the {'incumbent' if over_incumbent else 'reference'} (reward per decision)"
    return f"{words}, in the trial" if on_trial else words


def words_of_metric(metric: ModelMetric, *, over_incumbent: bool) -> str:
    """Return the name of a stored metric."""
    return metric_words(metric.name, on_trial=metric.source == TRIAL_GATE, over_incumbent=over_incumbent)


def estimate_words(name: str, value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """Return a metric's value and its interval, or that it is not known, or that too few people contributed."""
    if value is None:
        return NOT_KNOWN, NOT_KNOWN if low is None or high is None else _span(low, high)
    if says_nothing(name, low, high):
        return NOT_KNOWN, NOT_ENOUGH_PEOPLE
    return number_text(value), NOT_KNOWN if low is None or high is None else _span(low, high)


def _span(low: float, high: float) -> str:
    return f"{number_text(low)} to {number_text(high)}"
