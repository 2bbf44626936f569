"""State the blueprint's thresholds. The gates apply them to candidates, and health checks apply them to deployed versions."""

from __future__ import annotations

from loops.engine.spec import LoopSpec

EMPATHY_BAR = 0.75  # lowest acceptable mean empathy of interventions, per person
FALSE_INTERVENTION_BAR = 0.10  # highest acceptable share of false interventions, per person
SILENT_HARM_RATIO = 2.5  # how much more often than the others those who did not answer are taken to be harmed
LATENCY_BAR_MS = 200.0  # the 95th percentile of decision latency
SLOW_SHARE = 0.05  # share of requests that may be slower; the 95th percentile meets the bar exactly when no more are
SLOWER_MS = 250.0  # the deployed version may not exceed this latency more often than its holdback
EMPATHY_DROP, FALSE_INTERVENTION_RISE = 0.05, 0.25  # relative to the other arm, once harm is proven
MODEL_BAR_REFERENCE = 1.3  # z of the gain over the reference, in sampled worlds
MODEL_BAR_INCUMBENT = 1.0  # z of the gain over the incumbent, in sampled worlds
_EFFECT = 0.1  # reward scales: the smallest gain worth finding where the loop declares none
_STABILITY = 0.5  # reward scales; with the blueprint's scale of .10 this equals its tolerance of +-.05


def smallest_effect(spec: LoopSpec) -> float:
    """Return the smallest gain worth finding, in reward scales."""
    return _EFFECT if spec.minimum_effect is None else spec.minimum_effect / spec.reward.scale


def stability_margin(spec: LoopSpec) -> float:
    """Return how far mean reward may move and still count as stable, in the loop's reward units."""
    declared = spec.reward.stability_margin
    return _STABILITY * spec.reward.scale if declared is None else declared
