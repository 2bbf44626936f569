"""Build answers about one person: consents, budget, Trust Vault events, models and erasure."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from privacy.models import Person, PrivacyBudget, VaultEvent, VaultKind
from privacy.selectors.budgets import PERIOD_NAMES, PERIODS, budget_summary
from privacy.services.people.accounts import consents_of
from privacy.services.people.erasure import ErasureCounts
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, camel_keys, nullable_number
from training.models import ModelVersion, VersionState


class ConsentsAnswer(Shape):
    personalization = serializers.BooleanField()
    training = serializers.BooleanField()
    evaluation = serializers.BooleanField()


def consents_answer(person: Person) -> Answer:
    """Build the consents that are in force."""
    return dict(consents_of(person))


class PersonAnswer(Shape):
    new = serializers.BooleanField()
    token = serializers.CharField(allow_null=True, help_text="The device's token, shown only once.")
    expiry = serializers.DateTimeField(allow_null=True)
    consents = ConsentsAnswer()


def person_answer(person: Person, *, new: bool) -> Answer:
    """Build the part of a registration's answer that is stored for a retry. ``TokenAnswer`` adds the token and its expiry."""
    return {"new": new, "consents": consents_answer(person)}


class TrainedAnswer(Shape):
    versionId = serializers.CharField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=VersionState.choices)
    trainedAt = serializers.DateTimeField()


def trained_answer(version: ModelVersion) -> Answer:
    """Build the entry of a version that was trained on a person's data."""
    return {"versionId": version.name, "name": str(version), "state": version.state, "trainedAt": version.created_at}


class ConsentsChangedAnswer(ConsentsAnswer):
    affectedModels = TrainedAnswer(
        many=True,
        required=False,
        help_text="Versions trained on the person's data. Present after consent to training is withdrawn.",
    )


def consents_changed_answer(person: Person, affected: Sequence[ModelVersion] | None) -> Answer:
    """Build the consents after a change.

    affected: versions trained on the person's data, or None unless consent to training was withdrawn.
    """
    models = {} if affected is None else {"affectedModels": [trained_answer(v) for v in affected]}
    return consents_answer(person) | models


class SpentAnswer(Shape):
    spent = serializers.FloatField()
    cap = serializers.FloatField()
    ends = serializers.DateTimeField(
        allow_null=True, help_text="When the next window begins, with nothing spent. Null: never."
    )


class WindowsAnswer(Shape):
    day = SpentAnswer()
    week = SpentAnswer()
    month = SpentAnswer()
    lifetime = SpentAnswer()


class FormalAnswer(Shape):
    """The formal lifetime account. ``epsilon`` is null once an export without a formal guarantee has ended it."""

    rhoSpent = serializers.FloatField()
    rhoCap = serializers.FloatField()
    epsilon = nullable_number()
    delta = serializers.FloatField()
    voidSince = serializers.DateTimeField(allow_null=True)


class BudgetAnswer(Shape):
    period = serializers.ChoiceField(choices=PERIOD_NAMES)
    remaining = serializers.FloatField(min_value=0, help_text="Policy units that every window still allows.")
    limitedBy = serializers.ChoiceField(choices=tuple(PERIODS), help_text="The window that allows least.")
    periodEnds = serializers.DateTimeField(allow_null=True, help_text="When the period ends. Null: never.")
    policyUnits = WindowsAnswer()
    formal = FormalAnswer()


def budget_answer(budget: PrivacyBudget) -> Answer:
    """Build one person's budget: policy units by window, and separately the formal account."""
    account: Answer = camel_keys(budget_summary(budget))
    return account


class EventAnswer(Shape):
    sequence = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=VaultKind.choices)
    at = serializers.DateTimeField()
    what = serializers.DictField(help_text="The facts that the hash covers. Their names depend on the kind of event.")
    hash = serializers.CharField()


def event_answer(event: VaultEvent) -> Answer:
    """Build one Trust Vault event. Its facts keep their stored names, because the hash covers them."""
    return {"sequence": event.sequence, "kind": event.kind, "at": event.at, "what": event.body, "hash": event.hash}


class MyVaultAnswer(PageAnswer):
    results = EventAnswer(many=True)


class ErasedAnswer(Shape):
    signals = serializers.IntegerField()
    decisions = serializers.IntegerField()
    exports = serializers.IntegerField()


class ErasureAnswer(Shape):
    erased = ErasedAnswer()
    releases = serializers.ListField(child=serializers.IntegerField())
    affectedModels = TrainedAnswer(many=True)


def erasure_answer(erased: ErasureCounts, affected: Sequence[ModelVersion]) -> Answer:
    """Build the counts of erased rows, and the releases and models that stay."""
    return {
        "erased": {"signals": erased.signals, "decisions": erased.decisions, "exports": erased.exports},
        "releases": list(erased.releases),
        "affectedModels": [trained_answer(v) for v in affected],
    }
