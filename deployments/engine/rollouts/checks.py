"""Find what stops a rollout: proven harm takes the candidate back, and signals or a broken assignment pause it.

- *Guardrails* are empathy, false interventions, latency and silence. Any proven harm of a candidate takes it back, because
  nothing is lost by that. All guardrails together take back at most 1% of harmless candidates.
- *Signals* are reward, engagement and how often the version speaks. They pause, because a change is not harm yet. A signal stops
  at most one harmless candidate in a thousand at each closed week.
- The *assignment* pauses a rollout if the arms are proven not to have the declared ratio (at most .1% of stages), or if too many
  people met both arms in one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from deployments.engine.evidence.fixed_time import Comparison, compare_arms, compare_rewards, compare_with_bar
from deployments.engine.evidence.sample_ratio import log_bayes_factor, ratio_is_off
from deployments.engine.health.metrics import LEAST_COMPARED
from deployments.engine.health.triggers import NEAR_NOTHING, Trigger
from deployments.engine.rollouts.arm_values import ArmMoments
from deployments.engine.rollouts.conditions import numbers, shown
from deployments.engine.rollouts.verdict import HARM_PROVEN, NEEDS_A_LOOK, CheckFinding
from privacy.engine.dp.coarse_counts import two_digits

SIGNAL_ALPHA = 0.001  # for each signal and closed week
KEPT_ENGAGEMENT = 0.80  # share of the stable version's decisions a week
MORE_OFTEN, LESS_OFTEN = 2.0, 0.25  # times the stable version's share of decisions with an intervention
MORE_THAN_LOGGED = 1.5  # times the logged share; a trained policy is held to that share in its model
BOTH_ARMS_TOLERATED = 0.01  # share of people; a change of the stage meets a few of them between two decisions

_HARM = {
    "empathy_drop": "Empathy is proven to be lower",
    "false_intervention_rise": "False interventions are proven to be more frequent",
    "latency_over_250_ms": "Slow answers are proven to be more frequent",
    "silence": "People are proven to answer less or less kindly, which can hide harm",
}


def harm_found(triggers: Sequence[Trigger]) -> list[CheckFinding]:
    """Return one finding for each guardrail with proven harm."""
    return [CheckFinding("roll_back", _harm_said(t), HARM_PROVEN) for t in triggers if t.proven or t.fires]


def _harm_said(trigger: Trigger) -> str:
    name = _HARM.get(trigger.name, f"Harm is proven ({trigger.name})")
    size = "" if trigger.value is None else f"difference {trigger.value:.3f}, "
    return f"{name} ({size}log evidence {trigger.log_evidence:.2f} of {trigger.bar:.2f}, over {trigger.over})."


def assignment_found(assigned: tuple[int, int], share: float, exposed_both: int) -> list[CheckFinding]:
    """Return findings about the ratio of the arms, and about people who met both."""
    found, (ours, theirs) = [], assigned
    if ratio_is_off(ours, theirs, share):
        had = f"About {two_digits(ours)} people were assigned to the candidate and {two_digits(theirs)} to the stable version"
        said = f"{had}, where {share:.0%} should be the"
        found.append(CheckFinding("pause", f"{said} candidate's. Find out which people are missing.", NEEDS_A_LOOK))
    if exposed_both > BOTH_ARMS_TOLERATED * (ours + theirs):
        said = "More than 1% of the people met both arms in one stage, so the arms cannot be compared."
        found.append(CheckFinding("pause", said, NEEDS_A_LOOK))
    return found


def assignment_figures(assigned: tuple[int, int], share: float, exposed_both: int) -> dict[str, Any]:
    """Return the numbers behind ``assignment_found``."""
    return {
        "assigned": list(assigned),
        "share": share,
        "log_bayes_factor": log_bayes_factor(*assigned, share),
        "exposed_both": exposed_both,
    }


def signals_found(
    candidate: ArmMoments, stable: ArmMoments, *, logged_rate: float = 0.0, reward: bool = True
) -> list[CheckFinding]:
    """Return one finding for each signal.

    Args:
        logged_rate: share of decisions with an intervention in the loop's own draws, if the stable version is the reference,
            which never intervenes by itself. It is what people are used to, so a first policy is compared with it.
        reward: whether reward is one of the signals, and not the question itself.
    """
    signals = _signals(candidate, stable)
    said = []
    if reward and signals["reward"].is_below(0.0):
        said.append(f"Reward is lower ({numbers(signals['reward'])})")
    if signals["engagement"].is_below(0.0):
        said.append(f"People decide on less than {KEPT_ENGAGEMENT:.0%} as much ({numbers(signals['engagement'])})")
    if stable.intervention_rate.n and stable.intervention_rate.mean >= NEAR_NOTHING:
        if signals["more_often"].is_above(0.0) and _exceeds_logged(candidate, logged_rate):
            said.append(
                f"The candidate speaks more than {MORE_OFTEN:g} times as often ({numbers(signals['more_often'])})"
            )
        if signals["less_often"].is_below(0.0):
            said.append(
                f"The candidate speaks less than {LESS_OFTEN:g} times as often ({numbers(signals['less_often'])})"
            )
    return [CheckFinding("pause", f"{text}. Find out why, and then resume or abort.", NEEDS_A_LOOK) for text in said]


def _exceeds_logged(candidate: ArmMoments, logged_rate: float) -> bool:
    """Tell whether the candidate is proven to speak clearly more often than the loop's own draws."""
    bar = MORE_THAN_LOGGED * logged_rate
    return compare_with_bar(candidate.intervention_rate, bar, level=1.0 - SIGNAL_ALPHA, values="share").is_above(0.0)


def signal_figures(candidate: ArmMoments, stable: ArmMoments, logged_rate: float = 0.0) -> dict[str, Any]:
    """Return the numbers behind ``signals_found``, with the share of false alarms of each signal and week."""
    figures = {name: shown(found) for name, found in _signals(candidate, stable).items()}
    return figures | {"alpha": SIGNAL_ALPHA} | ({"logged_rate": logged_rate} if logged_rate else {})


def _signals(candidate: ArmMoments, stable: ArmMoments) -> dict[str, Comparison]:
    level, shares = 1.0 - SIGNAL_ALPHA, (candidate.intervention_rate, stable.intervention_rate)
    found = {
        "reward": compare_rewards(candidate.reward, stable.reward, level=level),
        "engagement": compare_arms(candidate.engagement, stable.engagement, KEPT_ENGAGEMENT, level=level),
        "more_often": compare_arms(*shares, MORE_OFTEN, level=level, values="share"),
        "less_often": compare_arms(*shares, LESS_OFTEN, level=level, values="share"),
    }
    return {
        name: one if min(one.n_candidate, one.n_stable) >= LEAST_COMPARED else _unknown(one)
        for name, one in found.items()
    }


def _unknown(one: Comparison) -> Comparison:
    return Comparison(one.factor, one.n_candidate, one.n_stable, None, None, None, None, None, one.level)


def trigger_figures(triggers: Sequence[Trigger]) -> list[dict[str, Any]]:
    """Return the results of all guardrails as JSON values."""
    return [asdict(trigger) for trigger in triggers]
