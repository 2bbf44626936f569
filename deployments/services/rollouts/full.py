"""Deploying a version: preconditions, each its own error, then the rollout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from core.errors import Conflict, InputError
from deployments.models import Deployment, ServingSlot
from deployments.models.slot import ACTIVE_STATES
from deployments.selectors.slots import incumbent_among, no_slot
from deployments.services.rollouts.slots import LONGEST_REASON, slot_swap, slots_lock
from deployments.services.serving.policy_cache import policy_of_version
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from loops.selectors import loop_version_latest, loop_versions_with
from training.models import VERDICT_WORDS, ModelVersion, VersionState
from training.selectors.versions import last_verdict, versions_with


@dataclass(frozen=True)
class Proposal:
    """A version that might be deployed, beside its loop as it is now (``current``) and what serves each head (``slots``)."""

    version: ModelVersion
    current: LoopVersion
    slots: dict[str, ServingSlot]

    @property
    def slot(self) -> ServingSlot:
        """The slot that the version would serve. Raises NotFound."""
        if self.version.head not in self.slots:
            raise no_slot(self.current.loop, self.version.head)
        return self.slots[self.version.head]

    def incumbent(self, head: str) -> ModelVersion | None:
        """What a candidate for a head must beat beside the reference; None where the reference serves."""
        slot = self.slots.get(head)
        return incumbent_among(slot.stable if slot else None, self.current.spec)


@transaction.atomic
def full_rollout(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Immediate 100% of the head's traffic, for a version whose latest outcome gate said pass against what serves now.

    ``override``: why it is deployed although it was judged against something else; kept in the history and in the vault.
    Raises as ``deploy_check``, Conflict when it was judged against something else, InputError for an override of nothing.
    """
    proposal = _proposal(version, slots_lock(version.loop_version.loop))
    deploy_check(proposal)
    other, override = outdated(proposal), override.strip()[:LONGEST_REASON]
    if other and not override:
        raise Conflict(f"{other}; start another turn, or have somebody who may override this say why")
    if override and not other:
        raise InputError(f"{version} was judged against what serves now; there is nothing to override")
    said = f"{reason}; overridden, because {override} ({other})" if other else reason
    return slot_swap(slot=proposal.slot, version=version, actor=actor, reason=said, override=override)


def proposal_of(version: ModelVersion) -> Proposal:
    """What deploying a version now would be about; nothing is locked."""
    return _proposal(version, ServingSlot.objects.filter(loop=version.loop_version.loop).order_by("pk"))


def _proposal(version: ModelVersion, found: Iterable[ServingSlot]) -> Proposal:
    """Every row is loaded once: the version, its loop version and the loop are at hand already."""
    slots, loop = list(found), version.loop_version.loop
    stable = versions_with([slot.stable_id for slot in slots], at_hand=version)
    latest = loop_version_latest(loop)
    made_for = {v.loop_version_id for v in stable.values()}
    loop_versions = loop_versions_with({latest, *made_for}, at_hand=version.loop_version)
    for v in stable.values():
        v.loop_version = loop_versions[v.loop_version_id]
    for slot in slots:
        slot.loop, slot.stable = loop, stable[slot.stable_id]
    return Proposal(version, loop_versions[latest], {slot.head: slot for slot in slots})


def outdated(proposal: Proposal) -> str:
    """How what serves now differs from what the version was judged against, in one phrase; empty when it does not.

    That is its ``parent``, which it was trained and judged to beat (None: the reference alone).
    """
    version, slot = proposal.version, proposal.slot
    serves = proposal.incumbent(slot.head)
    serving = serves.pk if serves else None
    if serving in (version.parent_id, version.pk):
        return ""
    against = version.parent.with_loop_version(version.loop_version) if version.parent else "the reference"
    return f"{version} was judged against {against}, but {serves or 'the reference'} serves now"


def deploy_check(proposal: Proposal) -> None:
    """Whether the version could be deployed now, whatever it was judged against.

    Raises Conflict when the version is in the wrong state, did not pass, cannot serve or would not be heard, or when another
    deployment is in progress.
    """
    version = proposal.version
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
    slot = proposal.slot
    _check_serves(proposal)
    active = slot.deployments.filter(state__in=ACTIVE_STATES).first()
    if active is not None:
        raise Conflict(f"deployment {active.pk} of the slot {slot} is {active.state}; finish or abort it first")


def _check_serves(proposal: Proposal) -> None:
    """It can be read under the loop as it is now, and its head speaks: by itself, or with a policy that learned to."""
    version, current = proposal.version, proposal.current
    policy_of_version(version, current)
    if version.head == MAIN_HEAD or current.spec.head(version.head).when == "always":
        return
    if proposal.incumbent(MAIN_HEAD) is None:
        raise Conflict(
            f"{version} speaks only when {MAIN_HEAD} intervenes, and {MAIN_HEAD} serves its reference; "
            f"deploy a {MAIN_HEAD} first"
        )
