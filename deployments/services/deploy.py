"""Deploying a version: preconditions, each its own error, then the rollout."""

from __future__ import annotations

from deployments.models import Deployment, ServingSlot
from deployments.models.slot import ACTIVE_STATES
from deployments.selectors import slot_of
from deployments.services.slots import slot_swap
from r3al_project.common.errors import Conflict
from training.models import VERDICT_WORDS, ModelVersion, VersionState
from training.selectors import last_verdict


def full_rollout(*, version: ModelVersion, actor: str, reason: str) -> Deployment:
    """Immediate 100% of the head's traffic, for a version whose latest outcome gate said pass. Raises as ``deploy_check``."""
    return slot_swap(slot=deploy_check(version), version=version, actor=actor, reason=reason)


def deploy_check(version: ModelVersion) -> ServingSlot:
    """The slot that the version could be deployed into now.

    Raises Conflict when the version is in the wrong state, did not pass, or another deployment is in progress.
    """
    if version.state != VersionState.EVALUATING:
        raise Conflict(f"{version} is {version.state}; only a version that is evaluating can be deployed")
    verdict = last_verdict(version)
    if verdict is None or verdict.verdict != "pass":
        said = (
            "was not evaluated"
            if verdict is None
            else f"got {VERDICT_WORDS[verdict.verdict]!r}: {verdict.reason.rstrip('.')}"
        )
        raise Conflict(f"{version} {said}; it stays where it is and the slot keeps serving what serves now")
    slot = slot_of(version)
    active = slot.deployments.filter(state__in=ACTIVE_STATES).first()
    if active is not None:
        raise Conflict(f"deployment {active.pk} of the slot {slot} is {active.state}; finish or abort it first")
    return slot
