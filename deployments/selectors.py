"""Reads of the deployments floor."""

from __future__ import annotations

from deployments.models import ServingSlot
from loops.engine.spec import LoopSpec
from loops.models import Loop, LoopVersion
from privacy.engine.layout import MAIN_HEAD
from privacy.models import ServedDecision
from r3al_project.common.errors import NotFound
from training.models import ModelVersion, VersionKind


def slot_of(version: ModelVersion) -> ServingSlot:
    """The slot that the version would serve."""
    return slot_for(version.loop_version.loop, version.head)


def slot_for(loop: Loop, head: str) -> ServingSlot:
    """The slot of one head; NotFound when the loop was never added with that head."""
    slot = ServingSlot.objects.select_related("stable", "loop").filter(loop=loop, head=head).first()
    if slot is None:
        raise NotFound(f"loop {loop.name!r} has no slot for head {head!r}; add the loop with `manage.py loop add FILE`")
    return slot


def serving_now(loop: Loop) -> dict[str, ModelVersion]:
    """What serves each head of the loop."""
    slots = ServingSlot.objects.select_related("stable__loop_version__loop").filter(loop=loop).order_by("head")
    return {slot.head: slot.stable for slot in slots}


def incumbents_of(loop_version: LoopVersion) -> dict[str, ModelVersion]:
    """Learned versions that serve the loop's heads now, where their features and actions are still those of ``loop_version``."""
    spec = loop_version.spec
    serving = serving_now(loop_version.loop)
    return {h.name: serving[h.name] for h in spec.heads if h.name in serving and _learned_here(serving[h.name], spec)}


def _learned_here(version: ModelVersion, spec: LoopSpec) -> bool:
    if version.kind == VersionKind.REFERENCE:
        return False
    learned = version.loop_version.spec
    same_head = version.head in [h.name for h in spec.heads] and learned.head(version.head) == spec.head(version.head)
    return learned.features == spec.features and same_head


def explored_share(loop_version: LoopVersion) -> float:
    """The public share of decisions drawn from the logging distribution: the slot's, or all of them where nothing was ever
    served and people's records come from files.
    """
    if not ServedDecision.objects.filter(decision__loop_version=loop_version).exists():
        return 1.0
    return slot_for(loop_version.loop, MAIN_HEAD).exploration_bp / 10_000
