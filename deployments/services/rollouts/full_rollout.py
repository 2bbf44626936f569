"""Deploy a version to all traffic of its head after checking its preconditions. Each failed precondition has its own error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from core.errors import Conflict, InputError
from core.sentences import clause
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.models import Deployment, ServingSlot
from deployments.selectors.harm import remembered_harm
from deployments.selectors.slots import incumbent_among, no_slot
from deployments.services.rollouts.slots import LONGEST_REASON, slot_swap, slots_lock
from deployments.services.serving.policy_cache import policy_of_version
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from loops.selectors import loop_version_latest, loop_versions_with
from privacy.services.approvals.second_operator import second_operator, second_words
from training.models import VERDICT_WORDS, GateVerdict, ModelVersion, VersionState
from training.selectors.versions import last_verdict, versions_with


@dataclass(frozen=True)
class Proposal:
    """Hold a version to deploy, its loop's current version (``current``), and the loop's slots by head (``slots``)."""

    version: ModelVersion
    current: LoopVersion
    slots: dict[str, ServingSlot]

    @property
    def slot(self) -> ServingSlot:
        """Return the slot that the version would serve. Raises NotFound."""
        if self.version.head not in self.slots:
            raise no_slot(self.current.loop, self.version.head)
        return self.slots[self.version.head]

    def incumbent(self, head: str) -> ModelVersion | None:
        """Return the incumbent of a head, or None if its reference is deployed."""
        slot = self.slots.get(head)
        return incumbent_among(slot.stable if slot else None, self.current.spec)


@transaction.atomic
def full_rollout(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Deploy a version to all of its head's traffic at once, if its latest verdict is pass against the present incumbent.

    Args:
        override: why it is deployed although it was evaluated against another policy, or acts like one that did harm. It is
            stored in the deployment history, and its digest in the Trust Vault.
    Raises: Conflict when a precondition fails (``deploy_check``), or when there is an objection (``objections``) and no override.
        InputError when there is nothing to override.
    """
    proposal = proposal_under_lock(version)
    deploy_check(proposal)
    reason, override = overridden(proposal, objections(proposal), reason, override)
    return slot_swap(
        slot=proposal.slot, version=version, strategy=FULL_ROLLOUT, actor=actor, reason=reason, override=override
    )


def overridden(proposal: Proposal, objection: str, reason: str, override: str) -> tuple[str, str]:
    """Return the reason to store, with the override in it, and the override alone. Call it under the lock of the slots.

    Raises: Conflict when there is an objection and no override, or when the loop asks for a second operator. InputError when
        there is nothing to override.
    """
    version, override = proposal.version, override.strip()[:LONGEST_REASON]
    if objection and not override:
        raise Conflict(
            f"{objection}; start another turn, or deploy with an override reason (needs the permission to override)"
        )
    if not objection:
        nothing_overridden(version, override)
        return reason, override
    seen = {"objection": objection, "generation": proposal.slot.generation}
    declared = proposal.current.spec.approvals.second_operator
    second = second_operator(loop=version.loop_version.loop, act="override", seen=seen, declared=declared)
    words = f"overridden, because {override} ({objection}){second_words(second)}"
    return f"{clause(reason)}; {words}", override


def nothing_overridden(version: ModelVersion, override: str) -> None:
    """Raise InputError for an override of a version that has no objection against it."""
    if override.strip():
        raise InputError(
            f"{version} was judged against the deployed policy; there is nothing to override, so leave the reason out"
        )


def proposal_under_lock(version: ModelVersion) -> Proposal:
    """Load everything that deploying a version concerns, and lock the loop's slots until the transaction ends."""
    return _proposal(version, slots_lock(version.loop_version.loop))


def proposal_of(version: ModelVersion) -> Proposal:
    """Load everything that deploying a version concerns, without locks."""
    return _proposal(version, ServingSlot.objects.filter(loop=version.loop_version.loop).order_by("pk"))


def _proposal(version: ModelVersion, loop_slots: Iterable[ServingSlot]) -> Proposal:
    """Load each row once, and reuse the version, its loop version and the loop that are loaded already."""
    slots, loop = list(loop_slots), version.loop_version.loop
    stable = versions_with([slot.stable_id for slot in slots], at_hand=version)
    latest = loop_version_latest(loop)
    made_for = {v.loop_version_id for v in stable.values()}
    loop_versions = loop_versions_with({latest, *made_for}, at_hand=version.loop_version)
    for v in stable.values():
        v.loop_version = loop_versions[v.loop_version_id]
    for slot in slots:
        slot.loop, slot.stable = loop, stable[slot.stable_id]
    return Proposal(version, loop_versions[latest], {slot.head: slot for slot in slots})


def objections(proposal: Proposal) -> str:
    """Describe what speaks against deploying a version although it passed, or return an empty text. An operator may override it.

    It was judged against another policy than the deployed one (``outdated``), or it acts like a version that did harm
    (``remembered_harm``).
    """
    return "; ".join(filter(None, (outdated(proposal), remembered_harm(proposal.version))))


def outdated(proposal: Proposal) -> str:
    """Describe how the deployed policy differs from the one that the version was judged against, or return an empty text.

    A version is trained and judged against its ``parent`` (None: the reference).
    """
    version, slot = proposal.version, proposal.slot
    incumbent = proposal.incumbent(slot.head)
    incumbent_id = incumbent.pk if incumbent else None
    if incumbent_id in (version.parent_id, version.pk):
        return ""
    against = version.parent.with_loop_version(version.loop_version) if version.parent else "the reference"
    return f"{version} was judged against {against}, but {incumbent or 'the reference'} is deployed now"


def deploy_check(proposal: Proposal) -> None:
    """Check that the version could be deployed now, whichever policy it was judged against.

    Raises: Conflict when the version is in the wrong state, did not pass, cannot serve, or has a head that would never act.
        Conflict also when another deployment is active.
    """
    verdict_check(proposal.version, last_verdict(proposal.version))
    serving_check(proposal)


def verdict_check(version: ModelVersion, verdict: GateVerdict | None) -> None:
    """Check that a version waits for its deployment, and that its latest verdict is pass. Raises Conflict."""
    if version.state != VersionState.EVALUATING:
        raise Conflict(f"{version} is in state {version.state}; only a version in state evaluating can be deployed")
    if verdict is None or verdict.verdict != "pass":
        problem = (
            "was not evaluated"
            if verdict is None
            else f"got the verdict {VERDICT_WORDS[verdict.verdict]!r}: {clause(verdict.reason)}"
        )
        raise Conflict(f"{version} {problem}; it is not deployed, and the incumbent keeps serving")


def serving_check(proposal: Proposal) -> None:
    """Check that a version can serve its slot now. Raises Conflict, also when another deployment of the slot is active."""
    slot = proposal.slot
    _check_serves(proposal)
    active = slot.deployments.filter(state__in=ACTIVE_STATES).first()
    if active is not None:
        raise Conflict(f"deployment {active.pk} of the slot {slot} is {active.state}; finish or abort it first")


def _check_serves(proposal: Proposal) -> None:
    """Check that the version can be loaded under the current loop, and that its head would act. Raises Conflict."""
    version, current = proposal.version, proposal.current
    policy_of_version(version, current)
    if version.head == MAIN_HEAD or current.spec.head(version.head).when == "always":
        return
    if proposal.incumbent(MAIN_HEAD) is None:
        raise Conflict(
            f"{version} acts only when head {MAIN_HEAD} intervenes, and {MAIN_HEAD} serves its reference; "
            f"deploy a learned version of {MAIN_HEAD} first"
        )
