"""Names the permissions that endpoints, pages and roles check: one an action, and one for each kind of record that is shown."""

from __future__ import annotations

from deployments.models import DEPLOY_VERSION, OVERRIDE_COMPARISON, ROLLBACK_VERSION
from jobs.models import CANCEL_JOB
from notices.models import MANAGE_WEBHOOKS, VIEW_NOTICES
from privacy.models.account import REVOKE_TOKENS
from privacy.models.approval import DECIDE_APPROVAL, VIEW_APPROVALS
from privacy.models.budget import CHANGE_CAPS
from privacy.models.keys import ERASE_PERSON
from privacy.models.person import SERVE_PEOPLE, VIEW_PEOPLE
from privacy.models.release import ANONYMIZE_DATA
from r3al_project.turns.models import START_TURN
from training.models import SYNTHESIZE_DATA

VIEW_BUDGETS = "privacy.view_privacybudget"
VIEW_HEALTH = "deployments.view_healthcheck"
VIEW_JOBS = "jobs.view_job"
VIEW_RELEASES = "privacy.view_release"
VIEW_SYNTHETIC = "training.view_syntheticjob"
VIEW_VERSIONS = "training.view_modelversion"

__all__ = [
    "ANONYMIZE_DATA",
    "CANCEL_JOB",
    "CHANGE_CAPS",
    "DECIDE_APPROVAL",
    "DEPLOY_VERSION",
    "ERASE_PERSON",
    "MANAGE_WEBHOOKS",
    "OVERRIDE_COMPARISON",
    "REVOKE_TOKENS",
    "ROLLBACK_VERSION",
    "SERVE_PEOPLE",
    "START_TURN",
    "SYNTHESIZE_DATA",
    "VIEW_APPROVALS",
    "VIEW_BUDGETS",
    "VIEW_HEALTH",
    "VIEW_JOBS",
    "VIEW_NOTICES",
    "VIEW_PEOPLE",
    "VIEW_RELEASES",
    "VIEW_SYNTHETIC",
    "VIEW_VERSIONS",
]
