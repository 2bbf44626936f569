"""Reads of the deployments floor."""

from __future__ import annotations

from deployments.models import ServingSlot
from loops.models import Loop
from r3al_project.common.errors import NotFound
from training.models import ModelVersion


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
