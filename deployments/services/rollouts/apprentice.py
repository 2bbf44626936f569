"""Serve the app's own choices for a declared time while a version decides beside them, to see how well it imitates the app.

Nobody gets the version's actions. Pause, resume, extension and end are those of a shadow test (``shadow``).
"""

from __future__ import annotations

from deployments.engine.rollouts.apprentice import APPRENTICE_WEEKS, ApprenticeTerms
from deployments.engine.rollouts.strategies import APPRENTICE
from deployments.models import Deployment
from deployments.services.rollouts.shadow import beside_start
from loops.engine.spec import DeclaredRollout
from training.models import ModelVersion


def apprentice_start(*, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Serve the app's own choices for the declared weeks, and let a version decide beside them.

    Args:
        override: why, although the version's gate failed.
    Raises: Conflict and InputError as ``beside_start`` does.
    """
    return beside_start(
        strategy=APPRENTICE, terms_of=apprentice_terms, version=version, actor=actor, reason=reason, override=override
    )


def apprentice_terms(declared: DeclaredRollout) -> ApprenticeTerms:
    """Return the terms of an apprenticeship. The declared weeks are its own only in a loop that declares one."""
    return ApprenticeTerms(weeks=declared.weeks if declared.strategy == APPRENTICE else APPRENTICE_WEEKS)
