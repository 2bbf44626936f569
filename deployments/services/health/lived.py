"""Write down what people lived under a deployed version, so that its gates can be compared with it."""

from __future__ import annotations

from deployments.engine.health.evidence import Evidence
from deployments.engine.health.metrics import LEAST_COMPARED, Metric, rewards_are_compared
from deployments.engine.health.report import HealthReport
from deployments.models import ServingSlot
from deployments.selectors.health import arms_compared
from loops.engine.heads import MAIN_HEAD
from training.models import ModelVersion
from training.services.lived import lived_record


def lived_write(slot: ServingSlot, evidence: Evidence, health: HealthReport) -> None:
    """Store each metric of a health report that the version's gate estimated too, if enough people lived it.

    People's first days count until a week is closed, so that a version that is taken back early leaves a trace. A trial releases
    noised sums of the same people, so nothing is stored during it, unless this check ends it. Gates make no such statement
    about heads other than policy.
    """
    arms = arms_compared(slot)
    version = arms.watched
    if slot.head != MAIN_HEAD or not version.is_learned or (arms.kind == "trial" and not health.must_roll_back):
        return
    metrics = {metric.name: metric for metric in health.metrics if metric.verdict != "too_few"}
    _share(version, "empathy", metrics.get("empathy"))
    _silence(version, metrics.get("answered"))
    if version.loop_version.spec.reward.silence == evidence.silence:  # else they are shares of other interventions
        _share(version, "false_intervention", metrics.get("false_intervention"))
    if arms.other is not None and _is_rival(arms.other, version):
        _improvement(version, evidence, metrics.get("reward_stability"))


def _share(version: ModelVersion, name: str, found: Metric | None) -> None:
    if found is not None and found.value is not None:
        lived_record(version=version, name=name, value=found.value, low=found.low, high=found.high, users=found.n)


def _silence(version: ModelVersion, answered: Metric | None) -> None:
    """Store the share that was not answered."""
    if answered is not None and answered.value is not None:
        low, high = (None if bound is None else 1 - bound for bound in (answered.high, answered.low))
        lived_record(version=version, name="silence", value=1 - answered.value, low=low, high=high, users=answered.n)


def _improvement(version: ModelVersion, evidence: Evidence, found: Metric | None) -> None:
    """Store the reward difference from the policy that the version was to beat, at the same time, over all closed weeks.

    Health shows the difference where a fall is seen best, or from the version's own first weeks, which is no such difference.
    """
    table = evidence.weeks.reward
    ours, theirs = table.person_means(ours=True), table.person_means(ours=False)
    users = min(len(ours), len(theirs))
    if found is None or users < LEAST_COMPARED or not rewards_are_compared(table):
        return
    value = float(ours.mean() - theirs.mean())
    lived_record(version=version, name="improvement", value=value, low=found.low, high=found.high, users=users)


def _is_rival(other: ModelVersion, version: ModelVersion) -> bool:
    return other.pk == version.parent_id if version.parent_id is not None else not other.is_learned
