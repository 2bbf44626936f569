"""Judge what a stage's people lived: the conditions of *advance* and *promote*, each of which holds, is open or has failed.

A condition holds if its bound proves it. It has failed if people's mean itself is on the wrong side, and is open otherwise. Open
is no success: more people may close it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from deployments.engine.evidence.fixed_time import Comparison, compare_arms, compare_rewards, compare_with_bar
from deployments.engine.health.metrics import LEAST_SHOWN
from deployments.engine.health.triggers import NEAR_NOTHING
from deployments.engine.rollouts.arm_values import ArmMoments
from loops.engine.thresholds import EMPATHY_BAR, FALSE_INTERVENTION_BAR
from privacy.engine.dp.coarse_counts import two_digits

LEAST_PEOPLE, LEAST_IN_SMALL_ARM = 20, LEAST_SHOWN  # of fewer people in an arm nothing is told, and nothing is judged
FEW_PEOPLE = 600  # a service with fewer needs four weeks a stage, and may leave its first stages by the wider margin
KEPT_EMPATHY, KEPT_EMPATHY_OF_FEW = 0.90, 0.85  # share of the stable version's empathy that must be proven to be kept
FALSE_INTERVENTION_ROOM = (
    0.5  # standard errors by which the share must stay below its bar: at the bar itself, half would pass
)
FALSE_INTERVENTION_RATIO = 2.0  # times the stable version's share, which must be proven not to be reached
REWARD_MARGIN = 0.05  # reward scales: the loss that must be proven not to be reached

ConditionState = Literal["holds", "open", "failed"]


@dataclass(frozen=True)
class Condition:
    """Hold one condition: its state, a sentence for people, and the numbers behind it."""

    name: str
    state: ConditionState
    sentence: str
    figures: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Tell whether the condition is proven."""
        return self.state == "holds"


def enough_people(candidate: ArmMoments, stable: ArmMoments) -> Condition:
    """Require twenty people of both arms, and ten of each. An arm with fewer counts as empty (``ArmValues.moments``)."""
    total, small = candidate.people + stable.people, min(candidate.people, stable.people)
    enough = total >= LEAST_PEOPLE and small >= LEAST_IN_SMALL_ARM
    least = f"at least {LEAST_PEOPLE} and {LEAST_IN_SMALL_ARM} are needed"
    have = (
        f"about {two_digits(total)} people have closed outcomes, about {two_digits(small)} of them in the smaller arm"
    )
    said = (
        f"{have[:1].upper()}{have[1:]}; {least}." if small else f"An arm has fewer than {LEAST_SHOWN} people; {least}."
    )
    return Condition("people", "holds" if enough else "open", said, {"people": [candidate.people, stable.people]})


def empathy_is_kept(candidate: ArmMoments, stable: ArmMoments, kept: float = KEPT_EMPATHY) -> Condition:
    """Require proof that the candidate keeps this share of the stable version's empathy.

    Where the stable version's people never had an intervention to rate, the bar on empathy takes its place.
    """
    if only_waits(stable):
        found = compare_with_bar(candidate.empathy, kept * EMPATHY_BAR, values="share")
        against = f"{kept:.0%} of the bar {EMPATHY_BAR}, because the stable version's people had nothing to rate"
    else:
        found = compare_arms(candidate.empathy, stable.empathy, kept, values="share")
        against = f"{kept:.0%} of the stable version's"
    state = _state(found.is_above(0.0), found.estimate is not None and found.estimate <= 0.0)
    return Condition("empathy", state, _said("Empathy", f"is above {against}", state, found), shown(found))


def false_interventions_are_few(candidate: ArmMoments, stable: ArmMoments) -> Condition:
    """Require a share of false interventions clearly within the bar, and proof that it is below twice the stable version's.

    Where the stable version has next to none, the upper bound must be within the bar.
    """
    own, other = candidate.false_intervention, stable.false_intervention
    if other.n and other.mean >= NEAR_NOTHING:
        found = compare_arms(own, other, FALSE_INTERVENTION_RATIO, values="share")
        room = FALSE_INTERVENTION_ROOM * own.standard_error
        proven = found.is_below(0.0) and own.mean + room <= FALSE_INTERVENTION_BAR
        text = f"are clearly within {FALSE_INTERVENTION_BAR} and below twice the stable version's"
        wrong = not own.mean <= FALSE_INTERVENTION_BAR or (found.estimate is not None and found.estimate >= 0.0)
    else:
        found = compare_with_bar(own, FALSE_INTERVENTION_BAR, values="share")
        proven, text = (
            found.high is not None and found.high <= 0.0,
            f"are proven to be at most {FALSE_INTERVENTION_BAR}",
        )
        wrong = not own.mean <= FALSE_INTERVENTION_BAR
    state = _state(proven, own.n > 0 and wrong)
    return Condition("false_interventions", state, _said("False interventions", text, state, found), shown(found))


def reward_is_not_worse(candidate: ArmMoments, stable: ArmMoments, scale: float) -> Condition:
    """Require a higher mean reward, and proof that it is lower by no more than the margin."""
    found = compare_rewards(candidate.reward, stable.reward)
    higher = found.estimate is not None and found.estimate > 0.0
    state = _state(
        higher and found.is_above(-REWARD_MARGIN * scale), found.estimate is not None and found.estimate <= 0.0
    )
    text = f"is higher, and proven to be lower by no more than {REWARD_MARGIN} scales"
    return Condition("reward", state, _said("Reward", text, state, found), shown(found))


def reward_is_better(candidate: ArmMoments, stable: ArmMoments) -> bool:
    """Tell whether a higher mean reward is proven."""
    return compare_rewards(candidate.reward, stable.reward).is_above(0.0)


def only_waits(stable: ArmMoments) -> bool:
    """Tell whether an arm has people with rewards, but none who could rate an intervention."""
    return stable.reward.n >= LEAST_PEOPLE and stable.empathy.n == 0


def shown(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON values. Figures of fewer than ``LEAST_SHOWN`` people of an arm are left out."""
    values = asdict(found)
    if _few(found):
        values |= dict.fromkeys(("candidate", "stable", "estimate", "low", "high"))
    return values


def _few(found: Comparison) -> bool:
    return found.n_candidate < LEAST_SHOWN or 0 < found.n_stable < LEAST_SHOWN


def _state(holds: bool, failed: bool) -> ConditionState:
    return "holds" if holds else "failed" if failed else "open"


_ANSWERS: dict[ConditionState, str] = {
    "holds": "this is proven",
    "open": "there is not enough evidence",
    "failed": "people's mean is on the wrong side",
}


def _said(name: str, text: str, state: ConditionState, found: Comparison) -> str:
    """Return a sentence such as "Empathy is above 90% of the stable version's: this is proven (difference .05, ...)."."""
    return f"{name} {text}: {_ANSWERS[state]} ({numbers(found)})."


def numbers(found: Comparison) -> str:
    """Return a difference with its bounds and people, in words."""
    people = f"{found.n_candidate} and {found.n_stable} people" if found.n_stable else f"{found.n_candidate} people"
    if found.estimate is None or _few(found):
        return people
    if found.low is None or found.high is None:
        return f"difference {found.estimate:.3f}, {people}"
    return f"difference {found.estimate:.3f}, bounds {found.low:.3f} and {found.high:.3f}, {people}"
