"""Summarise a release, from its permanent log row, for commands and the API."""

from __future__ import annotations

from typing import Any

from privacy.engine.dp.accounting import NANO
from privacy.models import Release


def release_summary(release: Release) -> dict[str, Any]:
    """Return parameters, guarantee, cost and rounded counts. The policy cost and the formal guarantee are never added."""
    return {
        "release_id": release.pk,
        "state": release.state,
        "loop": release.loop_version.loop.name,
        "purpose": release.purpose,
        "data_type": release.data_type or None,
        "technique": release.technique,
        "mechanism": release.mechanism,
        "unit": release.unit,
        "neighbouring": release.neighbouring,
        "guarantee": release.guarantee,
        "policy_cost": release.policy_cost / NANO,
        "formal_epsilon": release.formal_epsilon,
        "formal_delta": release.formal_delta,
        "rho": None if release.rho is None else release.rho / NANO,
        "people": None if release.noisy_users is None else round(release.noisy_users),
        "rows_in": release.rows_in,
        "rows_out": release.rows_out,
        "information_loss": release.information_loss,
        "parameters": release.parameters,
        "library": release.library_version or None,
        "created_at": release.created_at,
        "committed_at": release.committed_at,
    }
