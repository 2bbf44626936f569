"""Build the export of everything stored about one person. Features, heads and actions keep their names from the loop file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from deployments.models import EvidenceUnit
from loops.engine.spec import LoopSpec
from privacy.engine.anonymize.registry import technique_names
from privacy.engine.data_types import DATA_TYPES
from privacy.engine.dp.accounting import NANO
from privacy.engine.head_choice import OWN_CHOICE
from privacy.models import (
    Choice,
    Consent,
    LedgerEntry,
    Person,
    PersonAccount,
    Purpose,
    ReleaseState,
    Unavailable,
)
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
from r3al_project.api.answers.shape import Answer, Shape, nullable_number
from training.models import ModelVersion


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string"}]})
class _FeatureValue(serializers.Field[Any, Any, Any, Any]):
    """A number, or the name of a category."""


def _features() -> serializers.DictField:
    return serializers.DictField(child=_FeatureValue(), help_text="Values of the known features, by name.")


class ExportedConsent(Shape):
    purpose = serializers.ChoiceField(choices=Purpose.choices)
    granted = serializers.BooleanField()
    lifted = serializers.BooleanField(
        help_text="The person no longer refuses on devices of the account, but another account's refusal stands."
    )
    text = serializers.CharField(help_text="Version of the consent text.")
    from_ = serializers.CharField()
    device = serializers.CharField(
        help_text="The device that sent it, as the Trust Vault names it. Empty: none, or before."
    )
    account = serializers.IntegerField(
        allow_null=True, help_text="Number of the account that issued the device, or that reported the act."
    )
    at = serializers.DateTimeField()


def exported_consent(act: Consent) -> Answer:
    """Build one consent or withdrawal."""
    return {
        "purpose": act.purpose, "granted": act.granted, "lifted": act.lifts, "text": act.text_version, "from": act.source,
        "device": act.device, "account": act.account_id, "at": act.created_at,
    }  # fmt: skip


class ExportedLogin(Shape):
    since = serializers.DateTimeField()


def exported_login(account: PersonAccount) -> Answer:
    """Build the login behind a person's device tokens."""
    return {"since": account.created_at}


class ExportedCohort(Shape):
    """The fold that a keyed hash of the identifier assigns. It decides which loops train on the person and which evaluate."""

    fold = serializers.IntegerField()
    of = serializers.IntegerField()
    population = serializers.CharField()
    since = serializers.DateTimeField()


def exported_cohort(person: Person) -> Answer:
    """Build a person's fold and the number of folds."""
    return {"fold": person.fold, "of": FOLDS, "population": person.population, "since": person.created_at}


class ExportedCharge(Shape):
    release = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ReleaseState.choices)
    purpose = serializers.CharField()
    technique = serializers.ChoiceField(choices=technique_names())
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
    type = serializers.ChoiceField(choices=DATA_TYPES)
    at = serializers.DateTimeField()
    values = _features()


def exported_signal(opened: OpenedSignal) -> Answer:
    """Build one signal."""
    signal = opened.signal
    loop = signal.loop_version.loop.name
    return {"loop": loop, "type": signal.kind, "at": signal.observed_at, "values": opened.values}


class ExportedChoice(Shape):
    action = serializers.CharField()
    drawn = serializers.BooleanField(help_text="True: the action was drawn at random to explore.")
    propensity = nullable_number()
    marginalPropensity = nullable_number()
    version = serializers.IntegerField(allow_null=True)
    byApp = serializers.BooleanField(help_text="True: the app made this choice itself, so nobody knows its propensity.")


def exported_choice(choice: Choice, spec: LoopSpec) -> Answer:
    """Build one head's choice."""
    return {
        "action": spec.head(choice.head).actions[choice.action], "drawn": choice.explored, "propensity": choice.propensity,
        "marginalPropensity": choice.marginal_propensity, "version": choice.version, "byApp": choice.fallback == OWN_CHOICE,
    }  # fmt: skip


class ExportedNumbers(Shape):
    """The known parts of a reward: its total and its components."""

    total = serializers.FloatField(required=False)
    sentiment = serializers.FloatField(required=False)
    engagement = serializers.FloatField(required=False)
    compliance = serializers.FloatField(required=False)
    empathy = serializers.FloatField(required=False)
    timing = serializers.FloatField(required=False)
    uptake = serializers.FloatField(required=False)


class ExportedReward(ExportedNumbers):
    """A reported reward. A ``late`` one arrived after the deadline."""

    at = serializers.DateTimeField()
    late = serializers.BooleanField()
    harmful = serializers.BooleanField(allow_null=True)


def exported_reward(opened: OpenedReward) -> Answer:
    """Build one reported reward."""
    event = opened.event
    return {"at": event.created_at, "late": event.late, "harmful": event.harmful, **opened.numbers}


class ExportedOutcome(ExportedNumbers):
    """The outcome of a decision, closed at its deadline."""

    closedAt = serializers.DateTimeField()
    harmful = serializers.BooleanField(allow_null=True)
    usedBy = serializers.IntegerField(allow_null=True, help_text="Id of the release that read it.")


def exported_outcome(opened: OpenedDecision) -> Answer | None:
    """Build the outcome of a decision. None while it is open."""
    if opened.outcome is None:
        return None
    outcome = opened.decision.outcome
    closed = {"closedAt": outcome.closed_at, "harmful": outcome.harmful, "usedBy": outcome.release_id}
    return closed | opened.outcome


class ExportedDecision(Shape):
    loop = serializers.CharField()
    at = serializers.DateTimeField()
    decisionId = serializers.UUIDField(allow_null=True, help_text="Null for a decision that was imported from a file.")
    state = _features()
    actions = serializers.DictField(child=ExportedChoice(), help_text="The chosen action of each head.")
    unavailable = serializers.ChoiceField(
        choices=Unavailable.choices, allow_null=True, help_text="Reason why no intervention was allowed at the time."
    )
    shown = serializers.DateTimeField(allow_null=True)
    rewards = ExportedReward(many=True)
    outcome = ExportedOutcome(allow_null=True)


def exported_decision(opened: OpenedDecision) -> Answer:
    """Build one decision with its rewards and its outcome."""
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
    """The serving state of a person in one loop."""

    loop = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    values = _features()
    atLastDecision = _features()
    lastDecision = serializers.DateTimeField(allow_null=True)
    lastIntervention = serializers.DateTimeField(allow_null=True)
    interventionsThatDay = serializers.IntegerField()
    day = serializers.DateField(allow_null=True)


def exported_serving_state(opened: OpenedServingState) -> Answer:
    """Build the serving state of a person in one loop."""
    row = opened.row
    return {
        "loop": row.loop.name, "at": row.observed_at, "values": opened.values, "atLastDecision": opened.at_last_decision,
        "lastDecision": row.last_decision_at, "lastIntervention": row.last_intervention_at,
        "interventionsThatDay": row.interventions_today, "day": row.local_day,
    }  # fmt: skip


class ExportedEvidence(Shape):
    """This person's contribution to the health checks of one version in one window: counts, and sums over them."""

    loop = serializers.CharField()
    head = serializers.CharField()
    versionId = serializers.CharField()
    from_ = serializers.DateTimeField()
    until = serializers.DateTimeField()
    decisions = serializers.IntegerField()
    interventions = serializers.IntegerField()
    answered = serializers.IntegerField()
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
        "interventions": unit.interventions, "answered": unit.answered, "harmful": unit.harmful, "rated": unit.rated,
        "empathySum": unit.empathy_sum, "rewarded": unit.rewarded, "rewardSum": unit.reward_sum,
    }  # fmt: skip


class MyExportAnswer(Shape):
    """Everything stored about the person, with the names of the loop file."""

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
    """Build the export from the records of privacy, deployments and training."""
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
