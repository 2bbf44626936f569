"""The shapes of the API's answers, for its document. What is answered is built where it is read."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from deployments.models import HealthState
from jobs.models import JobState
from training.models import VersionKind, VersionState

VERDICTS = ("pass", "fail", "insufficient")


class Shape(serializers.Serializer[Any]):
    """Everything that an answer has is there every time, if perhaps null, unless said otherwise."""


def _number(**more: Any) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, **more)


class StageAnswer(Shape):
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=JobState.choices)
    seconds = _number()
    did = serializers.CharField(help_text="What it did, in a sentence; empty before it ended.")


class JobAnswer(Shape):
    """A job. One that belongs to a turn tells of the whole turn: it has ``turnId`` and what follows, others have ``error``."""

    jobId = serializers.IntegerField()
    kind = serializers.CharField(help_text="turn, or the kind of a job that stands alone.")
    status = serializers.CharField()
    cancelRequested = serializers.BooleanField(help_text="It was asked to end, if it has not ended yet.")
    progress = serializers.FloatField(min_value=0, max_value=1)
    message = serializers.CharField()
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(required=False, allow_null=True)
    turnId = serializers.IntegerField(required=False)
    outcome = serializers.CharField(required=False)
    reason = serializers.CharField(required=False, allow_null=True)
    stage = serializers.CharField(required=False, allow_null=True)
    stages = StageAnswer(many=True, required=False)
    versions = serializers.DictField(child=serializers.IntegerField(), required=False, help_text="By head.")


class MetricAnswer(Shape):
    """A number with its interval and the bar it is held against. Shares lie within 0 and 1."""

    source = serializers.CharField(help_text="model_gate (drawn worlds) or outcome_gate (people who trained none).")
    name = serializers.CharField()
    value = _number()
    low = _number()
    high = _number()
    threshold = _number()
    tooFew = serializers.BooleanField(
        help_text="The interval covers all that is possible: too few people to say, so value is null."
    )
    verdict = serializers.CharField()
    reason = serializers.CharField()


class VersionAnswer(Shape):
    versionId = serializers.CharField(help_text="Like model_12; every page and command names the version so.")
    modelType = serializers.CharField()
    status = serializers.ChoiceField(choices=VersionState.choices)
    loop = serializers.CharField()
    loopVersion = serializers.IntegerField()
    number = serializers.IntegerField(help_text="Counts up within a loop and head.")
    kind = serializers.ChoiceField(choices=VersionKind.choices)
    deployed = serializers.BooleanField()
    createdAt = serializers.DateTimeField()
    metrics = MetricAnswer(many=True)
    verdict = serializers.ChoiceField(choices=VERDICTS, allow_null=True)


class PageAnswer(Shape):
    """One page of a list, newest first; ``next`` and ``previous`` are addresses."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class VersionsAnswer(PageAnswer):
    results = VersionAnswer(many=True)


class EvaluationAnswer(Shape):
    versionId = serializers.CharField()
    verdict = serializers.ChoiceField(choices=VERDICTS)
    reason = serializers.CharField()
    neededUsers = _number(help_text="About how many people would decide it.")
    attempt = serializers.IntegerField()
    passed = serializers.BooleanField()
    metrics = MetricAnswer(many=True)


class DeployAnswer(Shape):
    deploymentId = serializers.IntegerField()
    versionId = serializers.CharField()
    status = serializers.CharField()


class RollbackAnswer(Shape):
    incidentId = serializers.IntegerField()
    serving = serializers.CharField(help_text="The version that serves now.")
    status = serializers.CharField()


class LookMetricAnswer(Shape):
    name = serializers.CharField()
    value = _number()
    low = _number()
    high = _number()
    threshold = _number()
    n = serializers.IntegerField()
    minimum_n = serializers.IntegerField()
    verdict = serializers.ChoiceField(choices=("ok", "beyond", "too_few"))


class TriggerAnswer(Shape):
    name = serializers.CharField()
    value = _number()
    log_evidence = serializers.FloatField()
    bar = serializers.FloatField()
    fires = serializers.BooleanField()


class HealthAnswer(Shape):
    versionId = serializers.CharField()
    status = serializers.ChoiceField(choices=HealthState.choices)
    enoughSeen = serializers.BooleanField(
        help_text="False: every metric has too few values, so the status is no praise."
    )
    checkedAt = serializers.DateTimeField()
    metrics = LookMetricAnswer(many=True)
    triggers = TriggerAnswer(many=True)
    recommendations = serializers.ListField(child=serializers.CharField())
    rolledBack = serializers.BooleanField()


class SpentAnswer(Shape):
    spent = serializers.FloatField()
    cap = serializers.FloatField()


class WindowsAnswer(Shape):
    day = SpentAnswer()
    week = SpentAnswer()
    month = SpentAnswer()
    lifetime = SpentAnswer()


class FormalAnswer(Shape):
    """The formal account over a lifetime; ``epsilon`` is null once an export without a formal guarantee ended it."""

    rhoSpent = serializers.FloatField()
    rhoCap = serializers.FloatField()
    epsilon = _number()
    delta = serializers.FloatField()
    voidSince = serializers.DateTimeField(allow_null=True)


class BudgetAnswer(Shape):
    period = serializers.CharField()
    remaining = serializers.FloatField()
    periodEnds = serializers.CharField()
    policyUnits = WindowsAnswer()
    formal = FormalAnswer()


class EventAnswer(Shape):
    sequence = serializers.IntegerField()
    kind = serializers.CharField()
    at = serializers.DateTimeField()
    what = serializers.DictField(help_text="The event's facts; what they are depends on its kind.")
    hash = serializers.CharField()


class MyVaultAnswer(Shape):
    events = EventAnswer(many=True)


class TrainedAnswer(Shape):
    versionId = serializers.CharField()
    name = serializers.CharField()
    state = serializers.CharField()
    trainedAt = serializers.DateTimeField()


class ConsentsAnswer(Shape):
    personalization = serializers.BooleanField()
    training = serializers.BooleanField()
    evaluation = serializers.BooleanField()
    affectedModels = TrainedAnswer(many=True, required=False, help_text="After training was withdrawn.")


class MyExportAnswer(Shape):
    """Everything that is kept of me, in the names of the loop's file."""

    consents = serializers.ListField(child=serializers.DictField())
    privacyBudget = serializers.DictField()
    usedFor = serializers.ListField(child=serializers.DictField())
    signals = serializers.ListField(child=serializers.DictField())
    decisions = serializers.ListField(child=serializers.DictField())
    remembered = serializers.ListField(child=serializers.DictField())
    logins = serializers.ListField(child=serializers.DictField())
    cohort = serializers.DictField()
    evidence = serializers.ListField(child=serializers.DictField())
    vault = EventAnswer(many=True)
    models = TrainedAnswer(many=True)


class ErasedAnswer(Shape):
    signals = serializers.IntegerField()
    decisions = serializers.IntegerField()
    exports = serializers.IntegerField()


class ErasureAnswer(Shape):
    erased = ErasedAnswer()
    releases = serializers.ListField(child=serializers.IntegerField())
    affectedModels = TrainedAnswer(many=True)


class ReleaseAnswer(Shape):
    """A row of the permanent log. The policy cost and the formal pair are two things and never added."""

    releaseId = serializers.IntegerField()
    state = serializers.CharField()
    loop = serializers.CharField()
    purpose = serializers.CharField()
    dataType = serializers.CharField(allow_null=True)
    technique = serializers.CharField()
    mechanism = serializers.CharField()
    unit = serializers.CharField()
    neighbouring = serializers.CharField()
    guarantee = serializers.CharField()
    policyCost = serializers.FloatField()
    formalEpsilon = _number(help_text="Null: the technique has no formal guarantee.")
    formalDelta = _number()
    rho = _number()
    people = serializers.IntegerField(allow_null=True, help_text="Noised.")
    rowsIn = serializers.IntegerField(allow_null=True)
    rowsOut = serializers.IntegerField(allow_null=True)
    informationLoss = _number()
    parameters = serializers.DictField()
    library = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()
    committedAt = serializers.DateTimeField(allow_null=True)


class ReleasesAnswer(PageAnswer):
    results = ReleaseAnswer(many=True)


class ReleaseDetailAnswer(ReleaseAnswer):
    """The row of the log; of an anonymisation also its ``statistics``, or where its rows are."""

    statistics = serializers.DictField(required=False)
    rowsUrl = serializers.CharField(required=False)


class AnonymizeAnswer(ReleaseDetailAnswer):
    """What was released, with the first rows where it is rows, and the key by which a retry finds it."""

    jobId = serializers.IntegerField()
    idempotencyKey = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField(), required=False)
    csv = serializers.ListField(child=serializers.CharField(), required=False)


class AnonymizeAccepted(Shape):
    """Charged, and being computed: the job tells when it is done, the release then what became of it."""

    releaseId = serializers.IntegerField()
    jobId = serializers.IntegerField()
    idempotencyKey = serializers.CharField()
    status = serializers.CharField()
    releaseUrl = serializers.CharField()


class PreviewAnswer(Shape):
    """Counts of people to two digits."""

    policyCost = serializers.FloatField()
    formalEpsilon = _number()
    formalDelta = _number()
    guarantee = serializers.CharField()
    people = serializers.IntegerField()
    withoutConsent = serializers.IntegerField()
    withoutBudget = serializers.IntegerField()


class StandingAnswer(Shape):
    """How many people have spent nothing of a cap, some of it, four fifths or more, all of it."""

    untouched = serializers.IntegerField()
    some = serializers.IntegerField()
    near = serializers.IntegerField()
    spent = serializers.IntegerField()


class StandingsAnswer(Shape):
    day = StandingAnswer()
    week = StandingAnswer()
    month = StandingAnswer()
    lifetime = StandingAnswer()


class ConsentingAnswer(Shape):
    personalization = serializers.IntegerField()
    training = serializers.IntegerField()
    evaluation = serializers.IntegerField()


class BudgetsAnswer(Shape):
    """Counts of people to two digits."""

    period = serializers.CharField()
    people = serializers.IntegerField()
    consents = ConsentingAnswer()
    windows = StandingsAnswer()
    formal = StandingAnswer()
    formalVoid = serializers.IntegerField(help_text="Whose formal account was ended by an export without a guarantee.")
