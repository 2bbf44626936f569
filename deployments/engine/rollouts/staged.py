"""Decide the next step of a rollout in stages (a canary), as a pure function of frozen terms and stored facts.

Proven harm takes the candidate back at any time. A signal or a broken assignment pauses. Otherwise a stage runs for its declared
weeks, and then one look decides. *Advance* needs enough people and proof that nine tenths of the empathy are kept. *Promote* of a
candidate whose gate was not sure needs the reward and the false interventions as well. A stage without proof is extended, and
ends as the terms say. No data is never success, and no traffic is never failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import InputError
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
    FEW_PEOPLE,
    KEPT_EMPATHY,
    KEPT_EMPATHY_OF_FEW,
    Condition,
    empathy_is_kept,
    enough_people,
    false_interventions_are_few,
    reward_is_better,
    reward_is_not_worse,
)
from deployments.engine.rollouts.lived_conditions import LivedFinding, lived_conditions, lived_json, lived_of
from deployments.engine.rollouts.verdict import (
    ACCEPTED,
    NOT_ENOUGH,
    PASSED_AND_SAFE,
    PROBABLY_BETTER,
    PROVEN_BETTER,
    SAFE_TO_GO_ON,
    WAITING,
    WITHOUT_PROOF,
    CheckFinding,
    RolloutVerdict,
    Step,
    worst_of,
)
from loops.engine.spec import WHEN_INSUFFICIENT, WhenInsufficient

CANARY_STAGES = (0.1, 0.5)
_DWELL, _DWELL_OF_FEW = 2, 4  # weeks
LIVED_WEEKS = (
    4  # of the last stage where all that was lived is judged: two do not show people who stay away and come back
)


def dwell_of(people: int) -> int:
    """Return how many whole weeks a stage lasts in a service with this many people, 0 if nobody has counted them."""
    return _DWELL_OF_FEW if people < FEW_PEOPLE else _DWELL


@dataclass(frozen=True)
class CanaryTerms:
    """Hold what a rollout in stages was started with. It never changes afterwards.

    ``stages``: the candidate's shares of traffic, ascending; everybody comes after the last one. ``people``: of the service.
    ``dwell_weeks``: closed whole weeks of each stage; by default two, and four of a service with fewer than 600 people.
    ``extensions``: how often one stage may be extended. ``when_insufficient``: how a stage without proof ends at its deadline.
    ``proven_gate``: whether the candidate's gate said pass. ``reward_scale``: one scale, in the units of rewards.
    ``logged_rate``: as ``signals_found`` takes it. ``judges_lived``: whether its promotion needs ``lived_conditions``.
    ``last_weeks``: those of the last stage, 0 for as many as of the others.
    """

    stages: tuple[float, ...] = CANARY_STAGES
    people: int = 1_000
    dwell_weeks: int = 0
    extensions: int = 2
    when_insufficient: WhenInsufficient = "go_back"
    proven_gate: bool = True
    reward_scale: float = 1.0
    logged_rate: float = 0.0
    judges_lived: bool = False
    last_weeks: int = 0

    def __post_init__(self) -> None:
        """Fill in the weeks of a stage. Raises InputError for terms that no rollout can follow."""
        ascending = all(a < b for a, b in zip(self.stages, self.stages[1:], strict=False))
        if not self.stages or not ascending or not all(0.0 < share < 1.0 for share in self.stages):
            raise InputError(f"stages are {list(self.stages)}; give ascending shares of traffic between 0 and 1")
        if min(self.dwell_weeks, self.last_weeks, self.extensions) < 0:
            raise InputError("the weeks of a stage and its extensions cannot be negative")
        if self.when_insufficient not in WHEN_INSUFFICIENT:
            raise InputError(
                f"when_insufficient is {self.when_insufficient!r}; give one of {', '.join(WHEN_INSUFFICIENT)}"
            )
        if not self.reward_scale > 0:
            raise InputError(f"the reward scale is {self.reward_scale}; it must be above 0")
        if self.dwell_weeks == 0:
            object.__setattr__(self, "dwell_weeks", dwell_of(self.people))

    def share(self, stage: int) -> float:
        """Return the candidate's share of traffic in a stage, counted from 0."""
        return self.stages[min(max(stage, 0), len(self.stages) - 1)]

    def is_last(self, stage: int) -> bool:
        """Tell whether everybody comes after this stage."""
        return stage >= len(self.stages) - 1

    def weeks_due(self, stage: int, extended: int) -> int:
        """Return the closed weeks after which a stage is looked at that was extended so often."""
        first = self.last_weeks if self.is_last(stage) and self.last_weeks else self.dwell_weeks
        return first + self.dwell_weeks * max(extended, 0)

    def kept_empathy(self, stage: int) -> float:
        """Return the share of empathy that a stage must prove to be kept. Few people may leave early stages by less."""
        return KEPT_EMPATHY_OF_FEW if self.people < FEW_PEOPLE and not self.is_last(stage) else KEPT_EMPATHY

    def as_json(self) -> dict[str, Any]:
        """Return the terms as JSON values."""
        return asdict(self) | {"stages": list(self.stages)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CanaryTerms:
        """Read what ``as_json`` returned."""
        return cls(**{**stored, "stages": tuple(stored["stages"])})


@dataclass(frozen=True)
class StageFacts:
    """Hold what is known of the present stage.

    ``stage``: 0 for the first. ``closed_weeks``: whole closed weeks in it. ``extended``: how often it was extended.
    ``candidate``, ``stable``: the values of both arms over these weeks, or their moments. ``triggers``: the guardrails over the
    whole rollout. ``exposed_both``: people who met both arms within the stage. ``assigned``: people first assigned to the
    candidate and to the stable version in it. ``late``: whether the rollout's deadline has passed. ``lived``: what a private
    trial would say of the last stage, None if it was not read.
    """

    stage: int
    closed_weeks: int
    extended: int
    candidate: ArmValues | ArmMoments
    stable: ArmValues | ArmMoments
    triggers: tuple[Trigger, ...] = ()
    exposed_both: int = 0
    assigned: tuple[int, int] = (0, 0)
    late: bool = False
    lived: tuple[LivedFinding, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the facts as JSON values. Of people's values only moments are kept, which are all that a verdict reads."""
        return {
            "stage": self.stage,
            "closed_weeks": self.closed_weeks,
            "extended": self.extended,
            "candidate": self.candidate.moments.as_json(),
            "stable": self.stable.moments.as_json(),
            "triggers": trigger_figures(self.triggers),
            "exposed_both": self.exposed_both,
            "assigned": list(self.assigned),
            "late": self.late,
        } | lived_json(self.lived)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> StageFacts:
        """Read what ``as_json`` returned."""
        arms = {arm: ArmMoments.from_json(stored[arm]) for arm in ("candidate", "stable")}
        triggers = tuple(Trigger(**trigger) for trigger in stored["triggers"])
        ours, theirs = stored["assigned"]
        lived = lived_of(stored)
        return cls(**{**stored, **arms, "triggers": triggers, "assigned": (ours, theirs), "lived": lived})


def canary_verdict(terms: CanaryTerms, facts: StageFacts) -> RolloutVerdict:
    """Decide the next step of a rollout in stages."""
    ours, theirs, share = facts.candidate.moments, facts.stable.moments, terms.share(facts.stage)
    conditions = _conditions(terms, facts, ours, theirs)
    findings = [
        *harm_found(facts.triggers),
        *assignment_found(facts.assigned, share, facts.exposed_both),
        *signals_found(ours, theirs, logged_rate=terms.logged_rate),
        *_course(terms, facts, conditions),
    ]
    figures = {
        "stage": facts.stage,
        "share": share,
        "closed_weeks": facts.closed_weeks,
        "dwell_weeks": terms.dwell_weeks,
        "extended": facts.extended,
        "late": facts.late,
        "conditions": {c.name: {"state": c.state, **c.figures} for c in conditions},
        "signals": signal_figures(ours, theirs, terms.logged_rate),
        "triggers": trigger_figures(facts.triggers),
        "assignment": assignment_figures(facts.assigned, share, facts.exposed_both),
    }
    return worst_of(findings, figures)


def lived_is_due(terms: CanaryTerms, stage: int, closed_weeks: int, extended: int) -> bool:
    """Tell whether the next look at a rollout needs to know what both arms lived, which takes long to read."""
    return terms.judges_lived and terms.is_last(stage) and closed_weeks >= terms.weeks_due(stage, extended)


def _conditions(terms: CanaryTerms, facts: StageFacts, ours: ArmMoments, theirs: ArmMoments) -> list[Condition]:
    """Return what the stage needs for its next step."""
    needed = [enough_people(ours, theirs), empathy_is_kept(ours, theirs, terms.kept_empathy(facts.stage))]
    if terms.is_last(facts.stage) and not terms.proven_gate:
        needed += [
            reward_is_not_worse(ours, theirs, terms.reward_scale),
            false_interventions_are_few(ours, theirs),
        ]
    if lived_is_due(terms, facts.stage, facts.closed_weeks, facts.extended):
        needed += lived_conditions(facts.lived, terms.reward_scale)
    return needed


def _course(terms: CanaryTerms, facts: StageFacts, conditions: list[Condition]) -> list[CheckFinding]:
    """Return what follows if nothing stops the rollout."""
    due = terms.weeks_due(facts.stage, facts.extended)
    if facts.closed_weeks < due and not facts.late:
        return [CheckFinding("wait", f"{facts.closed_weeks} of {due} weeks of this stage are closed.", WAITING)]
    go_on: Step = "promote" if terms.is_last(facts.stage) else "advance"
    if facts.closed_weeks >= due and all(c.holds for c in conditions):
        label = _label(terms, facts)
        return [CheckFinding(go_on, c.sentence, label) for c in conditions]
    return exit_of(terms.when_insufficient, facts.extended < terms.extensions, facts.late, conditions, go_on)


def _label(terms: CanaryTerms, facts: StageFacts) -> str:
    if not terms.is_last(facts.stage):
        return SAFE_TO_GO_ON
    ours, theirs = facts.candidate.moments, facts.stable.moments
    if reward_is_better(ours, theirs):
        return PROVEN_BETTER
    return PROBABLY_BETTER if reward_is_not_worse(ours, theirs, terms.reward_scale).holds else PASSED_AND_SAFE


def exit_of(
    when_insufficient: WhenInsufficient, extensible: bool, late: bool, conditions: list[Condition], go_on: Step
) -> list[CheckFinding]:
    """Return how a time without proof ends. It is extended while it may be, and otherwise ends as the terms say.

    Only "extend" extends after the deadline. Nothing is accepted with too few people or against a condition that has failed.
    """
    missing = [c for c in conditions if not c.holds]
    if extensible and (not late or when_insufficient == "extend"):
        return [CheckFinding("extend", c.sentence, NOT_ENOUGH) for c in missing] or [
            CheckFinding("extend", "The deadline has passed before the weeks of this stage are closed.", NOT_ENOUGH)
        ]
    people = next(c for c in conditions if c.name == "people")
    if when_insufficient == "accept" and people.holds and not any(c.state == "failed" for c in conditions):
        said = "The time for evidence is over, and no condition has failed. The terms accept that without proof."
        return [CheckFinding(go_on, text, ACCEPTED) for text in (said, *(c.sentence for c in conditions))]
    said = "The time for evidence is over without proof, so the stable version stays. No harm is proven."
    return [CheckFinding("end", text, WITHOUT_PROOF) for text in (said, *(c.sentence for c in missing))]
