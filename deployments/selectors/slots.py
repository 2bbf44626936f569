"""Read serving slots, deployed versions and incumbents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet

from core.errors import NotFound
from deployments.engine.arm_assignment import assignment
from deployments.engine.rollouts.strategies import BESIDE, FULL_ROLLOUT, TRIAL
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, DeploymentState, EvidenceUnit, Incident, ServingSlot
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from loops.models import Loop, LoopVersion
from loops.selectors import loop_versions_current
from privacy.selectors.services import people_may_be_served
from privacy.selectors.trial_decisions import TrialSpan
from training.models import ModelVersion


def slot_of(version: ModelVersion) -> ServingSlot:
    """Return the slot that the version would serve. Raises NotFound.

    If the version is the stable one, it is attached and not read again.
    """
    loop = version.loop_version.loop
    slot = ServingSlot.objects.filter(loop=loop, head=version.head).first()
    if slot is None:
        raise no_slot(loop, version.head)
    slot.loop = loop
    if slot.stable_id == version.pk:
        slot.stable = version
    return slot


def slot_for(loop: Loop, head: str) -> ServingSlot:
    """Return the slot of one head. Raises NotFound when the loop was never added with that head."""
    slot = ServingSlot.objects.select_related("stable", "loop").filter(loop=loop, head=head).first()
    if slot is None:
        raise no_slot(loop, head)
    return slot


def slot_on_trial(loop: Loop) -> ServingSlot | None:
    """Return the slot of the policy head while a version is on trial in it, or None."""
    slots = ServingSlot.objects.select_related("loop", "stable", "candidate__loop_version__loop")
    slot = slots.filter(loop=loop, head=MAIN_HEAD, candidate__isnull=False).first()
    return slot if slot is not None and trial_of(slot) is not None else None


def rollout_in(slot: ServingSlot) -> Deployment | None:
    """Return the rollout of a slot that has not ended, or None."""
    return Deployment.objects.filter(slot=slot, state__in=ACTIVE_STATES).first()


def rollout_with(version: ModelVersion) -> Deployment | None:
    """Return the rollout of a version that has not ended, or None."""
    return Deployment.objects.filter(version=version, state__in=ACTIVE_STATES).first()


def rollouts_now(*strategies: str) -> QuerySet[Deployment]:
    """Return the rollouts by these strategies that have not ended, oldest first. Without strategies: all of them."""
    rollouts = Deployment.objects.filter(state__in=ACTIVE_STATES)
    if strategies:
        rollouts = rollouts.filter(strategy__in=strategies)
    related = rollouts.select_related(
        "slot__loop", "slot__stable", "version__loop_version__loop", "previous__loop_version__loop"
    )
    return related.order_by("pk")


def trials_now() -> QuerySet[Deployment]:
    """Return the trials in progress, oldest first."""
    trials = Deployment.objects.filter(strategy=TRIAL, state=DeploymentState.IN_PROGRESS)
    return trials.select_related("slot__loop", "version__loop_version__loop", "previous__loop_version__loop").order_by(
        "pk"
    )


def incident_of(version: ModelVersion) -> Incident:
    """Return the newest incident of a version. Raises NotFound when it was never rolled back."""
    incidents = Incident.objects.select_related("slot__loop", "version__loop_version__loop", "deployment")
    incident = incidents.filter(version=version).order_by("-pk").first()
    if incident is None:
        raise NotFound(f"{version} was never rolled back, so there is nothing to undo")
    return incident


def serving_after(incident: Incident) -> ModelVersion:
    """Return the version that served after a rollback. After a rollout that was stopped it is the stable one, which went on."""
    stopped = incident.deployment.strategy != FULL_ROLLOUT
    served = incident.deployment.previous if stopped else incident.deployment.rolled_back_by.version
    if served is None:
        raise NotFound(f"nothing is recorded of what served before {incident}")
    return served


def is_on_trial(version: ModelVersion) -> bool:
    """Tell whether half of the people have this version, in a trial that is in progress."""
    return Deployment.objects.filter(version=version, strategy=TRIAL, state=DeploymentState.IN_PROGRESS).exists()


def is_candidate(version: ModelVersion) -> bool:
    """Tell whether a share of the people has this version, in a rollout that has not ended."""
    return ServingSlot.objects.filter(candidate=version).exists()


def rollout_beside(version: ModelVersion) -> Deployment | None:
    """Return the shadow test or the apprenticeship of a version that has not ended, or None. Nobody gets its actions."""
    return rollouts_now(*BESIDE).filter(version=version).first()


def candidate_arm(slot: ServingSlot) -> Callable[[str], bool]:
    """Return a function that tells from a person's key whether their arm is the candidate's."""
    salt, share = slot.salt, slot.weight_bp / BASIS_POINTS
    return lambda person_key: assignment(salt, person_key) < share


def trial_of(slot: ServingSlot) -> Deployment | None:
    """Return the slot's trial that is in progress, or None."""
    return Deployment.objects.filter(slot=slot, strategy=TRIAL, state=DeploymentState.IN_PROGRESS).first()


def trial_span(trial: Deployment, generation: int) -> TrialSpan:
    """Return which decisions were made in a trial. ``generation``: of its slot while it runs."""
    log_end = trial.frozen_policy["log_end"]
    return TrialSpan(trial.created_at, generation, log_end and datetime.fromisoformat(log_end))


def no_slot(loop: Loop, head: str) -> NotFound:
    """Build the error for a head without a slot."""
    return NotFound(f"loop {loop.name!r} has no slot for head {head!r}; add the loop with 'manage.py loop add FILE'")


def slots_in_use() -> QuerySet[ServingSlot]:
    """Return the slots of heads in current loop versions. A head that a newer loop version dropped serves nobody."""
    heads = [Q(loop=v.loop_id, head__in=v.spec.head_names) for v in loop_versions_current()]
    return ServingSlot.objects.filter(reduce(or_, heads, Q(pk__in=[])))


def serving_now(loop_version: LoopVersion) -> dict[str, ModelVersion]:
    """Return the deployed version of each head of a loop version."""
    slots = ServingSlot.objects.select_related("stable__loop_version__loop").order_by("head")
    serving = slots.filter(loop=loop_version.loop_id, head__in=loop_version.spec.head_names)
    return {slot.head: slot.stable for slot in serving}


def incumbents_of(loop_version: LoopVersion) -> dict[str, ModelVersion]:
    """Return the incumbent of each head: its deployed learned version, if it still fits the loop's features and actions."""
    serving = serving_now(loop_version)
    incumbents = {h.name: incumbent_among(serving.get(h.name), loop_version.spec) for h in loop_version.spec.heads}
    return {head: version for head, version in incumbents.items() if version is not None}


def incumbent_among(stable: ModelVersion | None, spec: LoopSpec) -> ModelVersion | None:
    """Return the stable version if it is learned and can serve the loop. A candidate must then beat it too."""
    return stable if stable is not None and stable.is_learned and is_made_for(stable, spec) else None


def is_made_for(version: ModelVersion, spec: LoopSpec) -> bool:
    """Tell whether the loop still has the version's head with the same actions and, for a learned version, the same features."""
    declared = version.loop_version.spec
    if version.head not in spec.head_names:
        return False
    before, now = declared.head(version.head), spec.head(version.head)
    if (before.actions, before.reference) != (now.actions, now.reference):
        return False
    return not version.is_learned or declared.features == spec.features


def explored_share(loop_version: LoopVersion) -> float:
    """Return the public share of decisions drawn from the logging distribution.

    It is the slot's share. While operators let no service act for people, all records come from files, and the share is 1. It
    never depends on whether somebody's row exists, because it is published with a release.
    """
    if not people_may_be_served():
        return 1.0
    return slot_for(loop_version.loop, MAIN_HEAD).exploration_bp / BASIS_POINTS


def evidence_units_of(person_id: int) -> QuerySet[EvidenceUnit]:
    """Return a person's evidence units, oldest first."""
    units = EvidenceUnit.objects.filter(data_key_id=person_id)
    return units.select_related("slot__loop", "version").order_by("pk")
