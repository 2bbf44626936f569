"""Deploying a version: preconditions, each its own error, then the rollout."""

from __future__ import annotations

from django.db import transaction

from core.errors import Conflict, InputError
from deployments.models import Deployment, ServingSlot
from deployments.models.slot import ACTIVE_STATES
from deployments.selectors.slots import incumbent_among, slot_for, slot_of
from deployments.services.rollouts.slots import slot_swap, slots_lock
from deployments.services.serving.policy_cache import policy_read
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from training.models import VERDICT_WORDS, ModelVersion, VersionState
from training.selectors.versions import last_verdict

LONGEST_OVERRIDE_REASON = 500


@transaction.atomic
def full_rollout(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Immediate 100% of the head's traffic, for a version whose latest outcome gate said pass against what serves now.

    ``override``: why it is deployed although it was judged against something else; kept in the history and in the vault.
    Raises as ``deploy_check``, Conflict when it was judged against something else, InputError for an override of nothing.
    """
    slots_lock(version.loop_version.loop)
    slot, other, override = deploy_check(version), outdated(version), override.strip()[:LONGEST_OVERRIDE_REASON]
    if other and not override:
        raise Conflict(f"{other}; start another turn, or have somebody who may override this say why")
    if override and not other:
        raise InputError(f"{version} was judged against what serves now; there is nothing to override")
    said = f"{reason}; overridden, because {override} ({other})" if other else reason
    return slot_swap(slot=slot, version=version, actor=actor, reason=said, override=override)


def outdated(version: ModelVersion) -> str:
    """How what serves now differs from what the version was judged against, in one phrase; empty when it does not.

    That is its ``parent``, which it was trained and judged to beat (None: the reference alone).
    """
    slot = slot_of(version)
    serves = incumbent_among(slot.stable, loop_version_current(slot.loop.name).spec)
    if serves in (version.parent, version):
        return ""
    return (
        f"{version} was judged against {version.parent or 'the reference'}, but {serves or 'the reference'} serves now"
    )


def deploy_check(version: ModelVersion) -> ServingSlot:
    """The slot that the version could be deployed into now, whatever it was judged against.

    Raises Conflict when the version is in the wrong state, did not pass, cannot serve or would not be heard, or when another
    deployment is in progress.
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
    _check_serves(version, loop_version_current(slot.loop.name))
    active = slot.deployments.filter(state__in=ACTIVE_STATES).first()
    if active is not None:
        raise Conflict(f"deployment {active.pk} of the slot {slot} is {active.state}; finish or abort it first")
    return slot


def _check_serves(version: ModelVersion, current: LoopVersion) -> None:
    """It can be read under the loop as it is now, and its head speaks: by itself, or with a policy that learned to."""
    policy_read(version.pk, current)
    if version.head == MAIN_HEAD or current.spec.head(version.head).when == "always":
        return
    if incumbent_among(slot_for(current.loop, MAIN_HEAD).stable, current.spec) is None:
        raise Conflict(
            f"{version} speaks only when {MAIN_HEAD} intervenes, and {MAIN_HEAD} serves its reference; "
            f"deploy a {MAIN_HEAD} first"
        )
