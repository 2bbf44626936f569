"""Recognise a version that acts like one that was taken back for harm. Harm is remembered by behaviour, not by name."""

from __future__ import annotations

from dataclasses import dataclass

from core.arrays import Floats
from core.errors import R3alError
from deployments.models import Incident
from deployments.selectors.slots import is_made_for
from training.engine.gates.resemblance import ACTS_ALIKE, agreement
from training.models import ModelVersion
from training.selectors.evidence import evidence_around, training_states
from training.selectors.versions import version_policy


@dataclass(frozen=True)
class HarmReview:
    """Hold what earlier harm says about a version.

    objection: the newest harmful version that it acts like, in words, or an empty text. forgotten: why others do not count.
    """

    objection: str = ""
    forgotten: tuple[str, ...] = ()


def remembered_harm(version: ModelVersion) -> str:
    """Describe the newest harmful version that this one acts like, or return an empty text."""
    return harm_review(version).objection


def forgotten_harm(version: ModelVersion) -> tuple[str, ...]:
    """Describe each harmful version that no longer speaks against this one, and why."""
    return harm_review(version).forgotten


def harm_review(version: ModelVersion) -> HarmReview:
    """Compare a version with those that were taken back for harm, newest first.

    Two versions act alike if they make the same choice in ``ACTS_ALIKE`` of the states of the training pool in which either
    intervenes. Harm is forgotten once outcomes that are newer than the incident outweigh those before it.
    """
    harmed = list(
        Incident.objects.filter(slot__loop=version.loop_version.loop, slot__head=version.head, harmful=True)
        .exclude(version=version)
        .select_related("version__loop_version__loop")
        .order_by("-pk")
    )
    states = training_states(version) if harmed else None
    forgotten: list[str] = []
    for incident in harmed:
        was = f"{incident.version}, which was taken back for harm on {incident.created_at:%Y-%m-%d}"
        alike = None if states is None else _agreement(version, incident.version, states)
        if alike is None:
            forgotten.append(f"{version} cannot be compared with {was}: {_incomparable(version, incident.version)}")
            continue
        if alike < ACTS_ALIKE:
            continue
        before, after = evidence_around(version, incident.created_at)
        outcomes = f"outcomes since then (about {after:,.0f} people who explored)"
        if after <= before:
            objection = (
                f"{version} acts like {was}: it makes the same choice in {alike:.0%} of the states in which either intervenes, "
                f"and {outcomes} do not outweigh those before (about {before:,.0f})"
            )
            return HarmReview(objection, tuple(forgotten))
        forgotten.append(
            f"{version} acts like {was}, but that no longer counts: {outcomes} outweigh those before (about {before:,.0f})"
        )
    return HarmReview("", tuple(forgotten))


def _agreement(version: ModelVersion, harmed: ModelVersion, states: Floats) -> float | None:
    """Return the share of equal choices, or None for versions that cannot be compared."""
    if not is_made_for(harmed, version.loop_version.spec):
        return None
    try:
        return agreement(version_policy(version), version_policy(harmed), states)
    except (R3alError, ValueError, KeyError):
        return None


def _incomparable(version: ModelVersion, harmed: ModelVersion) -> str:
    """State why two versions cannot be compared. Such a harmful version cannot serve again either."""
    if not is_made_for(harmed, version.loop_version.spec):
        return "the loop has other features or actions now"
    return "its weights cannot be read"
