"""A release as the API and the commands tell it: the permanent log row, in words."""

from __future__ import annotations

from typing import Any

from privacy.engine.dp.accounting import NANO
from privacy.models import Release


def release_summary(release: Release) -> dict[str, Any]:
    """Parameters, guarantee, cost and rounded counts. The policy cost and the formal pair are two things and never added."""
    return {
        "releaseId": release.pk,
        "state": release.state,
        "loop": release.loop_version.loop.name,
        "purpose": release.purpose,
        "dataType": release.data_type or None,
        "technique": release.technique,
        "mechanism": release.mechanism,
        "unit": release.unit,
        "neighbouring": release.neighbouring,
        "guarantee": release.guarantee,
        "policyCost": release.policy_cost / NANO,
        "formalEpsilon": release.formal_epsilon,
        "formalDelta": release.formal_delta,
        "rho": None if release.rho is None else release.rho / NANO,
        "people": None if release.noisy_users is None else round(release.noisy_users),
        "rowsIn": release.rows_in,
        "rowsOut": release.rows_out,
        "informationLoss": release.information_loss,
        "parameters": release.parameters,
        "library": release.library_version or None,
        "createdAt": release.created_at,
        "committedAt": release.committed_at,
    }
