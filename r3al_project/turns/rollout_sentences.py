"""State in sentences how a version can be rolled out, and what a rollout does. Pages, commands and turns use the same ones."""

from __future__ import annotations

from deployments.engine.rollouts.strategies import AB_TEST, APPRENTICE, CANARY, FULL_ROLLOUT, SHADOW_TEST, TRIAL
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment
from deployments.services.rollouts.slots import HOLDBACK_BP

_HOLDBACK = f"{100 * HOLDBACK_BP / BASIS_POINTS:g}%"
CHOICES = {
    FULL_ROLLOUT: ("To everybody.", f"A holdback of {_HOLDBACK} of people keeps the present version, for comparison."),
    TRIAL: (
        "On trial.",
        "Half of the people get it, and the others keep the present version. Later turns read how both live.",
    ),
    CANARY: (
        "As a canary.",
        "A small share of people gets it first. Each larger share follows once whole weeks show no harm.",
    ),
    SHADOW_TEST: (
        "In a shadow test.",
        "It decides beside the present version, and nobody gets its actions. This shows failures, slowness and how often both "
        "agree. It cannot show outcomes of its own actions.",
    ),
    APPRENTICE: (
        "As an apprentice.",
        "The app's own choices are served for a declared time, and it decides beside them. This shows how often it would choose "
        "as the app does. What the app never tried stays unknown.",
    ),
    AB_TEST: (
        "In an A/B test.",
        "A declared share of people gets it for a declared time. Then the version that was proven better serves everybody.",
    ),
}
ACTS = {
    FULL_ROLLOUT: "deploy",
    TRIAL: "begin the trial of",
    CANARY: "begin the canary of",
    SHADOW_TEST: "begin the shadow test of",
    APPRENTICE: "begin the apprenticeship of",
    AB_TEST: "begin the A/B test of",
}

DONE = {FULL_ROLLOUT: "deployed"} | {
    name: act.replace("begin", "began", 1) for name, act in ACTS.items() if name != FULL_ROLLOUT
}


def percent(share_bp: int) -> str:
    """Return basis points as a percentage."""
    return f"{100 * share_bp / BASIS_POINTS:g}%"


def begun_sentence(made: Deployment) -> str:
    """State what was just deployed, and who has it."""
    others = "and the others keep the present version"
    if made.strategy == TRIAL:
        return f"{made.version} is on trial: half of the people have it, {others}."
    if made.strategy == AB_TEST:
        share = percent(int(made.frozen_policy["share_bp"]))
        return f"{made.version} is in an A/B test: {share} of people have it, {others}."
    if made.strategy == CANARY:
        share = percent(int(made.frozen_policy["share_bp"]))
        return f"{made.version} is in its first stage: {share} of people have it, {others}."
    if made.strategy == SHADOW_TEST:
        return f"{made.version} decides in shadow for {_weeks(made)}. Nobody gets its actions."
    if made.strategy == APPRENTICE:
        return (
            f"{made.version} is an apprentice for {_weeks(made)}. The app's own choices are served where it sends them."
        )
    return f"{made.version} is deployed to everybody except the holdback, who keep the previous version."


def _weeks(made: Deployment) -> str:
    weeks = int(made.frozen_policy["weeks"])
    return f"{weeks} week{'s' * (weeks > 1)}"
