"""The blueprint's thresholds, as the gates judge a candidate by them and as health watches what is deployed."""

from __future__ import annotations

from loops.engine.spec import LoopSpec

EMPATHY_BAR = 0.75  # least empathy over interventions, a person
FALSE_INTERVENTION_BAR = 0.10  # largest share of false interventions, a person
LATENCY_BAR_MS = 200.0  # the 95th percentile of a decision
SLOW_SHARE = 0.05  # of requests that may take longer: the 95th percentile is at most the bar exactly when no more do
SLOWER_MS = 250.0  # what the deployed version may not exceed more often than its holdback
EMPATHY_DROP, FALSE_INTERVENTION_RISE = 0.10, 0.50  # against the holdback, as shares of the holdback's
MODEL_BAR_REFERENCE = 1.3  # z of the gain over the reference, in drawn worlds
MODEL_BAR_INCUMBENT = 1.0  # z of the gain over the deployed version
_EFFECT = 0.1  # reward scales: the smallest gain worth finding where the loop declares none
_STABILITY = 0.5  # reward scales; with the blueprint's scale of .10 this is its +-.05


def smallest_effect(spec: LoopSpec) -> float:
    """Return the smallest gain worth finding, in reward scales."""
    return _EFFECT if spec.minimum_effect is None else spec.minimum_effect / spec.reward.scale


def stability_margin(spec: LoopSpec) -> float:
    """Return how far mean reward may move and count as stable, in the loop's units of reward."""
    declared = spec.reward.stability_margin
    return _STABILITY * spec.reward.scale if declared is None else declared
