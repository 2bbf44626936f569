"""Recognise a version that acts like one that was taken back for harm. Harm is remembered by behaviour, not by name."""

from __future__ import annotations

from core.errors import R3alError
from deployments.models import Incident
from deployments.selectors.slots import is_made_for
from training.engine.gates.resemblance import ACTS_ALIKE, agreement
from training.models import ModelVersion
from training.selectors.evidence import evidence_around, training_states
from training.selectors.versions import version_policy


def remembered_harm(version: ModelVersion) -> str:
    """Describe the newest harmful version that this one acts like, or return an empty text.

    Two versions act alike if they make the same choice in ``ACTS_ALIKE`` of the states of the training pool in which either
    intervenes. Harm is forgotten once outcomes that are newer than the incident outweigh those before it.
    """
    harmed = list(
        Incident.objects.filter(slot__loop=version.loop_version.loop, slot__head=version.head, harmful=True)
        .exclude(version=version)
        .select_related("version__loop_version__loop")
        .order_by("-pk")
    )
    if not harmed:
        return ""
    states, policy = training_states(version), version_policy(version)
    for incident in harmed:
        if not is_made_for(incident.version, version.loop_version.spec):
            continue
        before, after = evidence_around(version, incident.created_at)
        if after > before:
            continue
        try:
            alike = agreement(policy, version_policy(incident.version), states)
        except (R3alError, ValueError, KeyError):
            continue  # a version whose weights cannot be read cannot be compared, and never serves again either
        if alike >= ACTS_ALIKE:
            return (
                f"{version} acts like {incident.version}, which was taken back for harm on {incident.created_at:%Y-%m-%d}: "
                f"it makes the same choice in {alike:.0%} of the states in which either intervenes, and outcomes since then "
                f"(about {after:,.0f} people who explored) do not outweigh those before (about {before:,.0f})"
            )
    return ""
