"""The answer with everything that is kept of a person. Features, heads and actions keep the names of the loop's file."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from deployments.models import EvidenceUnit
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import NANO
from privacy.models import Choice, Consent, LedgerEntry, Person, PersonAccount
from privacy.models.person import FOLDS
from privacy.services.people.export import OpenedDecision, OpenedReward, OpenedServingState, OpenedSignal, PersonExport
from r3al_project.api.answers.people import (
    BudgetAnswer,
    EventAnswer,
    TrainedAnswer,
    budget_answer,
    event_answer,
    trained_answer,
)
from r3al_project.api.answers.shape import Answer, Shape
from training.models import ModelVersion


def _features() -> serializers.DictField:
    return serializers.DictField(help_text="Known features by name.")


class ExportedConsent(Shape):
    purpose = serializers.CharField()
    granted = serializers.BooleanField()
    text = serializers.CharField(help_text="Version of the text that was agreed to.")
    from_ = serializers.CharField()
    at = serializers.DateTimeField()


def exported_consent(act: Consent) -> Answer:
    """Build one act of consent or withdrawal."""
    return {
        "purpose": act.purpose, "granted": act.granted, "text": act.text_version, "from": act.source,
        "at": act.created_at,
    }  # fmt: skip


class ExportedLogin(Shape):
    since = serializers.DateTimeField()


def exported_login(account: PersonAccount) -> Answer:
    """Build the login behind a person's device tokens."""
    return {"since": account.created_at}


class ExportedCohort(Shape):
    """Where a keyed hash of the identifier put the person: into some loops' evaluation, into others' training."""

    fold = serializers.IntegerField()
    of = serializers.IntegerField()
    population = serializers.CharField()
    since = serializers.DateTimeField()


def exported_cohort(person: Person) -> Answer:
    """Build the fold of a person among all folds."""
    return {"fold": person.fold, "of": FOLDS, "population": person.population, "since": person.created_at}


class ExportedCharge(Shape):
    release = serializers.IntegerField()
    state = serializers.CharField()
    purpose = serializers.CharField()
    technique = serializers.CharField()
    at = serializers.DateTimeField()
    policyUnits = serializers.FloatField()
    guarantee = serializers.CharField()


def exported_charge(entry: LedgerEntry) -> Answer:
    """Build one release that a person was charged for."""
    release = entry.release
    return {
        "release": release.pk, "state": release.state, "purpose": release.purpose, "technique": release.technique,
        "at": release.created_at, "policyUnits": entry.policy_cost / NANO, "guarantee": release.guarantee,
    }  # fmt: skip


class ExportedSignal(Shape):
    loop = serializers.CharField()
    type = serializers.CharField()
    at = serializers.DateTimeField()
    values = _features()


def exported_signal(opened: OpenedSignal) -> Answer:
    """Build one signal."""
    signal = opened.signal
    loop = signal.loop_version.loop.name
    return {"loop": loop, "type": signal.kind, "at": signal.observed_at, "values": opened.values}


class ExportedChoice(Shape):
    action = serializers.CharField()
    drawn = serializers.BooleanField(help_text="To explore.")
    propensity = serializers.FloatField()
    marginalPropensity = serializers.FloatField()
    version = serializers.IntegerField(allow_null=True)


def exported_choice(choice: Choice, spec: LoopSpec) -> Answer:
    """Build what one head chose."""
    return {
        "action": spec.head(choice.head).actions[choice.action], "drawn": choice.explored, "propensity": choice.propensity,
        "marginalPropensity": choice.marginal_propensity, "version": choice.version,
    }  # fmt: skip


class ExportedNumbers(Shape):
    """The total and the components of a reward that are known."""

    total = serializers.FloatField(required=False)
    sentiment = serializers.FloatField(required=False)
    engagement = serializers.FloatField(required=False)
    compliance = serializers.FloatField(required=False)
    empathy = serializers.FloatField(required=False)
    timing = serializers.FloatField(required=False)
    uptake = serializers.FloatField(required=False)


class ExportedReward(ExportedNumbers):
    """A report of reward; ``late`` ones came after the deadline."""

    at = serializers.DateTimeField()
    late = serializers.BooleanField()
    harmful = serializers.BooleanField(allow_null=True)


def exported_reward(opened: OpenedReward) -> Answer:
    """Build one report of reward."""
    event = opened.event
    return {"at": event.created_at, "late": event.late, "harmful": event.harmful, **opened.numbers}


class ExportedOutcome(ExportedNumbers):
    """What a decision came to at its deadline."""

    closedAt = serializers.DateTimeField()
    harmful = serializers.BooleanField(allow_null=True)
    usedBy = serializers.IntegerField(allow_null=True, help_text="The release that has read it.")


def exported_outcome(opened: OpenedDecision) -> Answer | None:
    """Build the outcome of a decision; None while it is open."""
    if opened.outcome is None:
        return None
    outcome = opened.decision.outcome
    closed = {"closedAt": outcome.closed_at, "harmful": outcome.harmful, "usedBy": outcome.release_id}
    return closed | opened.outcome


class ExportedDecision(Shape):
    loop = serializers.CharField()
    at = serializers.DateTimeField()
    decisionId = serializers.UUIDField(allow_null=True, help_text="Null: it came from a file.")
    state = _features()
    actions = serializers.DictField(child=ExportedChoice(), help_text="By head.")
    unavailable = serializers.CharField(allow_null=True, help_text="Why the person could not be spoken to.")
    shown = serializers.DateTimeField(allow_null=True)
    rewards = ExportedReward(many=True)
    outcome = ExportedOutcome(allow_null=True)


def exported_decision(opened: OpenedDecision) -> Answer:
    """Build one decision with what followed it."""
    decision, spec = opened.decision, opened.decision.loop_version.spec
    served = getattr(decision, "served", None)
    return {
        "loop": spec.name,
        "at": decision.decided_at,
        "decisionId": served.public_id if served else None,
        "state": opened.state,
        "actions": {c.head: exported_choice(c, spec) for c in decision.choices.all()},
        "unavailable": served.unavailable or None if served else None,
        "shown": served.activated_at if served else None,
        "rewards": [exported_reward(r) for r in opened.rewards],
        "outcome": exported_outcome(opened),
    }


class ExportedServingState(Shape):
    """What serving keeps of a person in one loop."""

    loop = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    values = _features()
    atLastDecision = _features()
    lastDecision = serializers.DateTimeField(allow_null=True)
    lastIntervention = serializers.DateTimeField(allow_null=True)
    interventionsThatDay = serializers.IntegerField()
    day = serializers.DateField(allow_null=True)


def exported_serving_state(opened: OpenedServingState) -> Answer:
    """Build what serving keeps of a person in one loop."""
    row = opened.row
    return {
        "loop": row.loop.name, "at": row.observed_at, "values": opened.values, "atLastDecision": opened.at_last_decision,
        "lastDecision": row.last_decision_at, "lastIntervention": row.last_intervention_at,
        "interventionsThatDay": row.interventions_today, "day": row.local_day,
    }  # fmt: skip


class ExportedEvidence(Shape):
    """What one version's health was judged by, of this person and window: counts, and sums over them."""

    loop = serializers.CharField()
    head = serializers.CharField()
    versionId = serializers.CharField()
    from_ = serializers.DateTimeField()
    until = serializers.DateTimeField()
    decisions = serializers.IntegerField()
    interventions = serializers.IntegerField()
    harmful = serializers.IntegerField()
    rated = serializers.IntegerField()
    empathySum = serializers.FloatField()
    rewarded = serializers.IntegerField()
    rewardSum = serializers.FloatField()


def exported_evidence(unit: EvidenceUnit) -> Answer:
    """Build one unit of evidence about a version."""
    return {
        "loop": unit.slot.loop.name, "head": unit.slot.head, "versionId": unit.version.name,
        "from": unit.first_exposed_at, "until": unit.closes_at, "decisions": unit.decisions,
        "interventions": unit.interventions, "harmful": unit.harmful, "rated": unit.rated,
        "empathySum": unit.empathy_sum, "rewarded": unit.rewarded, "rewardSum": unit.reward_sum,
    }  # fmt: skip


class MyExportAnswer(Shape):
    """Everything that is kept of me, in the names of the loop's file."""

    consents = ExportedConsent(many=True)
    privacyBudget = BudgetAnswer()
    usedFor = ExportedCharge(many=True)
    signals = ExportedSignal(many=True)
    decisions = ExportedDecision(many=True)
    remembered = ExportedServingState(many=True)
    logins = ExportedLogin(many=True)
    cohort = ExportedCohort()
    evidence = ExportedEvidence(many=True)
    vault = EventAnswer(many=True)
    models = TrainedAnswer(many=True)


def my_export_answer(kept: PersonExport, evidence: Sequence[EvidenceUnit], trained: Sequence[ModelVersion]) -> Answer:
    """Build everything that is kept of a person, on all floors."""
    return {
        "consents": [exported_consent(c) for c in kept.consents],
        "privacyBudget": budget_answer(kept.person.budget),
        "usedFor": [exported_charge(c) for c in kept.charges],
        "signals": [exported_signal(s) for s in kept.signals],
        "decisions": [exported_decision(d) for d in kept.decisions],
        "remembered": [exported_serving_state(s) for s in kept.serving_states],
        "logins": [exported_login(a) for a in kept.logins],
        "cohort": exported_cohort(kept.person),
        "evidence": [exported_evidence(u) for u in evidence],
        "vault": [event_answer(e) for e in kept.events],
        "models": [trained_answer(v) for v in trained],
    }
