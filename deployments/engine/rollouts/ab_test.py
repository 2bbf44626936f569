"""Decide the next step of an A/B test, as a pure function of frozen terms and stored facts.

Two versions serve for a declared time. A normal mixture compares mean rewards at every look (``normal_mixture``), so a page may
show the difference at any time. The decision falls when the time is over. A candidate that was proven better is promoted if it
also keeps empathy, and otherwise the stable version is kept. Proven harm takes the candidate back at any time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import InputError
from deployments.engine.evidence.normal_mixture import (
    MixtureBlocks,
    MixturePath,
    interval,
    mixing_variance,
    planned_information,
)
from deployments.engine.health.metrics import LEAST_SHOWN
from deployments.engine.health.triggers import Trigger
from deployments.engine.rollouts.arm_values import ArmMoments, ArmValues
from deployments.engine.rollouts.checks import (
    assignment_figures,
    assignment_found,
    harm_found,
    signal_figures,
    signals_found,
    trigger_figures,
)
from deployments.engine.rollouts.conditions import (
    REWARD_MARGIN,
    Condition,
    ConditionState,
    empathy_is_kept,
    false_interventions_are_few,
)
from deployments.engine.rollouts.lived_conditions import LivedFinding, lived_conditions, lived_json, lived_of
from deployments.engine.rollouts.staged import exit_of
from deployments.engine.rollouts.verdict import (
    CONTROL_KEPT,
    PROVEN_BETTER,
    WAITING,
    CheckFinding,
    RolloutVerdict,
    worst_of,
)
from loops.engine.spec import WHEN_INSUFFICIENT, WhenInsufficient
from privacy.engine.dp.coarse_counts import two_digits


@dataclass(frozen=True)
class AbTerms:
    """Hold what an A/B test was started with. It never changes afterwards.

    ``split``: the candidate's share of traffic. ``weeks``: the declared time. ``alpha``: probability of a false winner over all
    looks. ``minimum_an_arm``: people. ``planned_people``: of both arms, at which the interval is tightest. ``planned_sd``: the
    spread of people's mean rewards, in scales. ``minimum_effect``: the smallest gain worth having, in scales. The other terms
    are those of a rollout in stages.
    """

    split: float = 0.5
    weeks: int = 4
    alpha: float = 0.05
    minimum_an_arm: int = 100
    planned_people: int = 5_000
    planned_sd: float = 0.5
    minimum_effect: float = 0.1
    extensions: int = 1
    when_insufficient: WhenInsufficient = "go_back"
    proven_gate: bool = True
    reward_scale: float = 1.0
    logged_rate: float = 0.0
    judges_lived: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for terms that no test can follow."""
        if not 0.0 < self.split < 1.0:
            raise InputError(f"the split is {self.split}; give the candidate's share of traffic between 0 and 1")
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"alpha is {self.alpha}; give a probability between 0 and 1")
        if not (self.planned_people > 0 and self.planned_sd > 0 and self.minimum_effect > 0 and self.reward_scale > 0):
            raise InputError("planned people, their spread, the minimum effect and the reward scale must be above 0")
        if self.weeks < 1 or self.extensions < 0 or self.minimum_an_arm < 2:
            raise InputError("an A/B test needs at least one week and two people an arm, and no negative extensions")
        if self.when_insufficient not in WHEN_INSUFFICIENT:
            raise InputError(
                f"when_insufficient is {self.when_insufficient!r}; give one of {', '.join(WHEN_INSUFFICIENT)}"
            )

    def weeks_due(self, extended: int) -> int:
        """Return the closed weeks after which a test is decided that was extended so often."""
        return self.weeks * (1 + max(extended, 0))

    def path(self, blocks: MixtureBlocks) -> MixturePath:
        """Return what is known of the difference of rewards after each block, in the units of rewards."""
        planned = planned_information(self.planned_people, self.split, self.planned_sd * self.reward_scale)
        return interval(blocks, mixing_variance(planned, self.alpha), self.alpha)

    def as_json(self) -> dict[str, Any]:
        """Return the terms as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> AbTerms:
        """Read what ``as_json`` returned."""
        return cls(**stored)


@dataclass(frozen=True)
class AbFacts:
    """Hold what is known of an A/B test: ``blocks`` of people's rewards in joint order, or the last look at
    them, and otherwise as ``StageFacts``."""

    closed_weeks: int
    extended: int
    blocks: MixtureBlocks | AbLook
    candidate: ArmValues | ArmMoments
    stable: ArmValues | ArmMoments
    triggers: tuple[Trigger, ...] = ()
    exposed_both: int = 0
    assigned: tuple[int, int] = (0, 0)
    late: bool = False
    lived: tuple[LivedFinding, ...] | None = None

    def as_json(self, terms: AbTerms) -> dict[str, Any]:
        """Return the facts as JSON values, of people no more than the last look under the test's terms and moments of arms."""
        return {
            "closed_weeks": self.closed_weeks,
            "extended": self.extended,
            "look": AbLook.of(terms, self.blocks).as_json(),
            "candidate": self.candidate.moments.as_json(),
            "stable": self.stable.moments.as_json(),
            "triggers": trigger_figures(self.triggers),
            "exposed_both": self.exposed_both,
            "assigned": list(self.assigned),
            "late": self.late,
        } | lived_json(self.lived)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> AbFacts:
        """Read what ``as_json`` returned."""
        arms = {arm: ArmMoments.from_json(stored[arm]) for arm in ("candidate", "stable")}
        triggers = tuple(Trigger(**trigger) for trigger in stored["triggers"])
        ours, theirs = stored["assigned"]
        known = {name: value for name, value in stored.items() if name != "look"}
        look = AbLook.from_json(stored["look"])
        lived = lived_of(stored)
        return cls(
            **{**known, **arms, "blocks": look, "triggers": triggers, "assigned": (ours, theirs), "lived": lived}
        )


@dataclass(frozen=True)
class AbLook:
    """Hold the last look at the blocks of a test, all that a verdict reads and all that is stored: people of each
    arm, the difference with its bounds in units of rewards, and the winner so far. Fewer than ten people an arm say nothing.
    """

    ours: int
    theirs: int
    estimate: float
    low: float
    high: float
    winner: int

    @classmethod
    def of(cls, terms: AbTerms, blocks: MixtureBlocks | AbLook) -> AbLook:
        """Return the last look at blocks, or a stored one as it is."""
        if isinstance(blocks, AbLook):
            return blocks
        path = terms.path(blocks)
        if not len(path.estimate) or min(path.ours[-1], path.theirs[-1]) < LEAST_SHOWN:
            return cls(0, 0, 0.0, float("-inf"), float("inf"), 0)
        estimate, low, high = (float(column[-1]) for column in (path.estimate, path.low, path.high))
        return cls(int(path.ours[-1]), int(path.theirs[-1]), estimate, low, high, path.winner(terms.minimum_an_arm))

    def as_json(self) -> list[Any]:
        """Return the look as JSON values."""
        bounds = [None if math.isinf(bound) else bound for bound in (self.low, self.high)]
        return [self.ours, self.theirs, self.estimate, *bounds, self.winner]

    @classmethod
    def from_json(cls, stored: Sequence[Any]) -> AbLook:
        """Read what ``as_json`` returned."""
        ours, theirs, estimate, low, high, winner = stored
        return cls(
            ours, theirs, estimate, -math.inf if low is None else low, math.inf if high is None else high, winner
        )

    @property
    def numbers(self) -> str:
        """Return the difference in words, if there are enough people to show it."""
        people = f"about {two_digits(self.ours)} and {two_digits(self.theirs)} people"
        if min(self.ours, self.theirs) < LEAST_SHOWN:
            return people
        return f"difference {self.estimate:.3f}, bounds {self.low:.3f} and {self.high:.3f}, {people}"

    @property
    def figures(self) -> dict[str, Any]:
        """Return the last look as JSON values."""
        shown = min(self.ours, self.theirs) >= LEAST_SHOWN
        values = (self.estimate, self.low, self.high) if shown else (None,) * 3
        return {"people": [self.ours, self.theirs], "winner": self.winner} | dict(
            zip(("estimate", "low", "high"), values, strict=True)
        )


def ab_verdict(terms: AbTerms, facts: AbFacts) -> RolloutVerdict:
    """Decide the next step of an A/B test."""
    ours, theirs, now = facts.candidate.moments, facts.stable.moments, AbLook.of(terms, facts.blocks)
    conditions = _conditions(terms, facts, ours, theirs, now)
    findings = [
        *harm_found(facts.triggers),
        *assignment_found(facts.assigned, terms.split, facts.exposed_both),
        *signals_found(ours, theirs, logged_rate=terms.logged_rate, reward=False),
        *_course(terms, facts, conditions, now),
    ]
    figures = {
        "closed_weeks": facts.closed_weeks,
        "weeks": terms.weeks,
        "extended": facts.extended,
        "late": facts.late,
        "reward": now.figures | {"alpha": terms.alpha, "minimum_effect": terms.minimum_effect * terms.reward_scale},
        "conditions": {c.name: {"state": c.state, **c.figures} for c in conditions},
        "signals": signal_figures(ours, theirs, terms.logged_rate),
        "triggers": trigger_figures(facts.triggers),
        "assignment": assignment_figures(facts.assigned, terms.split, facts.exposed_both),
    }
    return worst_of(findings, figures)


def ab_lived_is_due(terms: AbTerms, closed_weeks: int, extended: int) -> bool:
    """Tell whether the next look at a test needs to know what both arms lived, which takes long to read."""
    return terms.judges_lived and closed_weeks >= terms.weeks_due(extended)


def _conditions(terms: AbTerms, facts: AbFacts, ours: ArmMoments, theirs: ArmMoments, now: AbLook) -> list[Condition]:
    """Return what promotes a candidate beside its proof: people, reward, empathy, and what an unsure gate leaves open."""
    needed = [_enough_an_arm(terms, now), _reward(terms, now), empathy_is_kept(ours, theirs)]
    if not terms.proven_gate:
        needed.append(false_interventions_are_few(ours, theirs))
    if ab_lived_is_due(terms, facts.closed_weeks, facts.extended):
        needed += lived_conditions(facts.lived, terms.reward_scale)
    return needed


def _enough_an_arm(terms: AbTerms, now: AbLook) -> Condition:
    enough = min(now.ours, now.theirs) >= terms.minimum_an_arm
    have = f"About {two_digits(now.ours)} and {two_digits(now.theirs)} people of the arms are compared"
    said = f"{have}; at least {terms.minimum_an_arm} an arm are needed."
    return Condition("people", "holds" if enough else "open", said, {"people": [now.ours, now.theirs]})


def _reward(terms: AbTerms, now: AbLook) -> Condition:
    """Require proof of a higher reward. It has failed if the mean is lower, or if a loss beyond the margin is possible."""
    margin = -REWARD_MARGIN * terms.reward_scale
    wrong = now.estimate <= 0.0 or now.low <= margin
    state: ConditionState = "holds" if now.winner > 0 else "failed" if wrong else "open"
    answer = {"holds": "this is proven", "open": "it is probable, and not proven", "failed": "this is not shown"}[state]
    return Condition("reward", state, f"Reward is higher: {answer} ({now.numbers}).", now.figures)


def _course(terms: AbTerms, facts: AbFacts, conditions: list[Condition], now: AbLook) -> list[CheckFinding]:
    """Return what follows if nothing stops the test."""
    due = terms.weeks_due(facts.extended)
    if facts.closed_weeks < due and not facts.late:
        return [CheckFinding("wait", f"{facts.closed_weeks} of {due} weeks are closed ({now.numbers}).", WAITING)]
    if facts.closed_weeks >= due and all(c.holds for c in conditions):
        return [CheckFinding("promote", c.sentence, PROVEN_BETTER) for c in conditions]
    if now.winner < 0:
        return [CheckFinding("end", f"Reward is proven to be lower ({now.numbers}).", CONTROL_KEPT)]
    if min(now.ours, now.theirs) >= terms.minimum_an_arm and now.high < terms.minimum_effect * terms.reward_scale:
        said = f"A gain of {terms.minimum_effect:g} scales or more is excluded ({now.numbers})."
        return [CheckFinding("end", said, CONTROL_KEPT)]
    return exit_of(terms.when_insufficient, facts.extended < terms.extensions, facts.late, conditions, "promote")
