"""Keep a loop file from asking for a second operator less often, unless a second operator approved it."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from loops.models import LoopVersion
from loops.services import loop_version_added
from privacy.models.approval import DECLARATION
from privacy.services.approvals.second_operator import second_required


@receiver(loop_version_added)
def declaration_check(version: LoopVersion, **signal: Any) -> None:
    """Refuse a loop file that drops an act of ``[approvals]`` in the transaction that stores it. Raises SecondOperatorNeeded."""
    before = version.loop.versions.filter(version__lt=version.version).order_by("-version").first()
    if before is None:
        return
    kept = version.spec.approvals.second_operator
    if dropped := [act for act in before.spec.approvals.second_operator if act not in kept]:
        seen = {"after": before.version, "dropped": dropped}
        second_required(loop=version.loop, act=DECLARATION, seen=seen)
