"""The tables by the names their users query, and each invariant that a database can hold, refusing a bad row.

Runs on the database of the stack under test, so on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction

from deployments.models import (
    AbExperiment,
    Deployment,
    EvidenceUnit,
    EvidenceWeek,
    HealthCheck,
    Incident,
    LatencyMinute,
    ServingSlot,
    ShadowMinute,
)
from jobs.models import IdempotentAnswer, Job
from loops.models import Loop, LoopVersion
from notices.models import Delivery, Notice, WebhookEndpoint
from privacy.models import (
    Approval,
    Choice,
    Consent,
    DataKey,
    Decision,
    ExportKey,
    LedgerEntry,
    Person,
    PersonAccount,
    PrivacyBudget,
    Release,
    ReleaseRound,
    RewardEvent,
    RewardSignal,
    ServedDecision,
    ServingState,
    Signal,
    VaultBatch,
    VaultEvent,
    VaultHead,
)
from r3al_project.turns.models import Turn, TurnStage
from tests.factories.rows import GOOD, NOW, Rows
from training.models import GateVerdict, ModelMetric, ModelVersion, SyntheticJob, TrainingDataPool, TrainingEpisode

BLUEPRINT = {
    "training_data_pool", "model_versions", "model_metrics", "training_episodes", "reward_signals", "ab_experiments",
    "anonymization_logs", "synthetic_jobs", "deployment_history", "privacy_budget",
}  # fmt: skip
OURS = ("jobs", "notices", "loops", "privacy", "training", "deployments", "turns")
BEFORE = datetime(2024, 12, 31, tzinfo=UTC)
pytestmark = pytest.mark.django_db

# constraint -> the table, and what makes a good row of it bad. A name in quotes repeats that column of the good row.
Same = type("Same", (), {})()
Another = type("Another", (), {})()  # a version that nothing else refers to
MailedNotice = type("MailedNotice", (), {})()  # a notice that was sent by e-mail already
STARTED = {"attempts": 1, "started_at": NOW}
ENDED = {**STARTED, "finished_at": NOW}
APPS: dict[str, Any] = {  # a choice that the app made itself
    "fallback": "app", "learnable": False, "explored": False, "version": None, "propensity": None, "marginal_propensity": None,
}  # fmt: skip
BAD: dict[str, list[tuple[type[models.Model], dict[str, Any]]]] = {
    "loop_version_unique": [(LoopVersion, {"loop": Same, "version": Same})],
    "loop_version_from_one": [(LoopVersion, {"version": 0})],
    "person_unique": [(Person, {"population": Same, "key": Same})],
    "person_fold_in_range": [(Person, {"fold": 10_000})],
    "consent_purpose_known": [(Consent, {"purpose": "sales"})],
    "consent_lift_is_an_accounts_own": [(Consent, {"granted": False, "lifts": True})],
    **{
        f"budget_{w}_within_cap": [(PrivacyBudget, {f"spent_{w}": v}) for v in (11, -1)]
        for w in ("day", "week", "month", "lifetime")
    },
    "budget_rho_within_cap": [(PrivacyBudget, {"rho_spent": v}) for v in (11, -1)],
    "export_key_master_from_one": [(ExportKey, {"master_version": 0})],
    "data_key_master_from_one": [(DataKey, {"master_version": 0})],
    "budget_consent_mask_known": [(PrivacyBudget, {"consent_mask": 8})],
    "ledger_entry_once": [(LedgerEntry, {"release": Same, "person": Same})],
    "ledger_entry_positive": [(LedgerEntry, {"policy_cost": 0}), (LedgerEntry, {"rho": -1})],
    "decision_row_once": [(Decision, {"loop_version": Same, "row_key": Same})],
    "choice_once_a_head": [(Choice, {"decision": Same, "head": Same})],
    "choice_propensity_valid": [(Choice, {"propensity": v}) for v in (0.0, -0.1, 1.01)],
    "choice_marginal_valid": [(Choice, {"marginal_propensity": v}) for v in (0.0, -0.1, 1.01)],
    "choice_fallback_known": [(Choice, {"fallback": "other", "learnable": False})],
    "choice_fallback_never_learned": [
        *((Choice, {"fallback": f}) for f in ("stable", "reference")),
        (Choice, APPS | {"learnable": True}),
    ],
    "choice_of_the_app_has_no_propensity": [
        *((Choice, APPS | {name: 0.5}) for name in ("propensity", "marginal_propensity")),
        (Choice, APPS | {"version": 1}),
        (Choice, APPS | {"explored": True}),
        *((Choice, {name: None}) for name in ("propensity", "marginal_propensity")),
    ],
    "served_request_once": [(ServedDecision, {"person": Same, "request_key": Same})],
    "served_reason_known": [(ServedDecision, {"unavailable": "asleep"})],
    "served_closes_in_time": [(ServedDecision, {"closed_at": BEFORE})],
    "reward_event_once": [(RewardEvent, {"served": Same, "reward_key": Same})],
    "serving_state_once": [(ServingState, {"person": Same, "loop": Same})],
    "signal_once": [(Signal, {"person": Same, "signal_key": Same})],
    "signal_kind_known": [(Signal, {"kind": "rumour"})],
    "approval_state_known": [(Approval, {"state": "lost", "decided_by_account": 2, "decided_at": NOW})],
    "approval_decided_by_somebody": [
        (Approval, {"state": "declined"}),
        (Approval, {"state": "declined", "decided_by_account": 2}),
        (Approval, {"decided_by_account": 2, "decided_at": NOW}),
    ],
    "approval_by_another": [(Approval, {"state": "approved", "decided_by_account": 1, "decided_at": NOW})],
    "vault_has_one_head": [(VaultHead, {"id": 2}), (VaultHead, {"id": 0})],
    "vault_kind_known": [(VaultEvent, {"kind": "rumour"})],
    "vault_sequence_from_one": [(VaultEvent, {"sequence": 0})],
    "vault_batch_not_empty": [(VaultBatch, {"decisions_count": 0})],
    "release_costs_something": [(Release, {"policy_cost": 0})],
    "release_formal_whole_or_absent": [
        (Release, {"rho": 1}),
        (Release, {"formal_epsilon": 1.0, "formal_delta": 1e-5}),
        (Release, {"rho": 1, "formal_epsilon": 1.0, "formal_delta": 1.0}),
        (Release, {"rho": 0, "formal_epsilon": 1.0, "formal_delta": 1e-5}),
    ],
    "release_state_known": [(Release, {"state": "lost"})],
    "release_committed_has_time": [
        (Release, {"state": "committed"}),
        (Release, {"state": "reserved", "committed_at": NOW}),
    ],
    "release_round_once": [(ReleaseRound, {"release": Same, "index": Same})],
    "synthetic_once": [(SyntheticJob, {"release": Same, "head": Same, "generator": Same, "seed": Same})],
    "synthetic_request_whole_or_absent": [
        (SyntheticJob, {"head": ""}),
        *((SyntheticJob, {name: 1}) for name in ("request_digest", "threshold", "source_count")),
        *(
            (SyntheticJob, {"head": "", "request_digest": "x", "threshold": 0.7, "source_count": 50} | {name: None})
            for name in ("request_digest", "threshold", "source_count")
        ),
    ],
    "synthetic_judged_by_all_scores": [
        (SyntheticJob, {"accepted": True}),
        *((SyntheticJob, {name: 0.5}) for name in ("quality", "diversity", "privacy")),
    ],
    "pool_chunk_once": [(TrainingDataPool, {"synthetic_job": Same, "index": Same})],
    "pool_chunk_size": [(TrainingDataPool, {"rows": 0}), (TrainingDataPool, {"rows": 5_001})],
    "pool_synthetic_has_job": [(TrainingDataPool, {"synthetic_job": None})],
    "model_version_number_once": [(ModelVersion, {"loop_version": Same, "head": Same, "number": Same})],
    "model_version_state_known": [(ModelVersion, {"state": "lost"})],
    "model_version_has_weights": [
        (ModelVersion, {"weights_sha256": "", "state": s}) for s in ("evaluating", "deployed", "archived")
    ],
    "model_metric_once": [(ModelMetric, {"version": Same, "source": Same, "name": Same})],
    "model_metric_verdict_known": [(ModelMetric, {"verdict": "maybe"})],
    "episode_once": [(TrainingEpisode, {"version": Same, "index": Same})],
    "gate_verdict_once": [(GateVerdict, {"version": Same, "attempt": Same})],
    "gate_verdict_known": [(GateVerdict, {"verdict": "maybe"})],
    "slot_once_a_head": [(ServingSlot, {"loop": Same, "head": Same})],
    "slot_weight_in_range": [(ServingSlot, {"weight_bp": 10_001, "candidate": Another})],
    "slot_candidate_consistent": [(ServingSlot, {"weight_bp": 1}), (ServingSlot, {"candidate": ModelVersion})],
    "slot_shadow_consistent": [
        (ServingSlot, {"shadow": ModelVersion}),  # which is the stable one
        (ServingSlot, {"shadow": Another, "candidate": Another}),
    ],
    "slot_app_chooses_beside_a_shadow": [(ServingSlot, {"app_chooses": True})],
    "shadow_minute_once": [(ShadowMinute, {"version": Same, "minute": Same})],
    "shadow_counts_nest": [
        (ShadowMinute, {"scored": 1, "late": 2}),
        *((ShadowMinute, {"compared": 1, name: 2}) for name in ("agreed", "intervened", "stable_intervened")),
    ],
    "slot_exploration_in_range": [(ServingSlot, {"exploration_bp": 10_001})],
    "slot_holdback_consistent": [
        (ServingSlot, {"holdback_bp": 500}),
        (ServingSlot, {"holdback": Another}),
        (ServingSlot, {"holdback": Another, "holdback_bp": 5_001}),
        (ServingSlot, {"holdback": ModelVersion, "holdback_bp": 500}),  # which is the stable one
    ],
    "slot_rotates_a_holdback": [(ServingSlot, {"rotates": True})],
    "evidence_week_once": [(EvidenceWeek, {"deployment": Same, "week": Same})],
    "evidence_unit_once": [(EvidenceUnit, {"slot": Same, "version": Same, "data_key": Same, "epoch": Same})],
    "evidence_counts_nest": [
        (EvidenceUnit, {"decisions": 1, "interventions": 2}),
        (EvidenceUnit, {"decisions": 2, "interventions": 1, "rated": 2}),
        (EvidenceUnit, {"decisions": 2, "interventions": 1, "answered": 2}),
        (EvidenceUnit, {"decisions": 2, "interventions": 2, "answered": 1, "harmful": 2}),
        (EvidenceUnit, {"decisions": 1, "rewarded": 2}),
    ],
    "latency_minute_once": [(LatencyMinute, {"loop": Same, "version": Same, "minute": Same})],
    "latency_counts_nest": [
        (LatencyMinute, {"requests": 1, "over_200_ms": 2}),
        (LatencyMinute, {"requests": 3, "over_200_ms": 1, "over_250_ms": 2}),
    ],
    "health_state_known": [(HealthCheck, {"state": "fine"})],
    "deployment_one_active_a_slot": [
        (Deployment, {"slot": Same, "state": s}) for s in ("pending", "in_progress", "paused")
    ],
    "deployment_state_known": [(Deployment, {"state": "lost", "finished_at": NOW})],
    "deployment_finished_has_time": [
        (Deployment, {"state": "succeeded"}),
        (Deployment, {"state": "pending", "finished_at": NOW}),
    ],
    "deployment_waits_while_active": [
        (Deployment, {"waits_for": "advance", "state": "succeeded", "finished_at": NOW}),
        (Deployment, {"waits_for": "nothing"}),
    ],
    "experiment_arms_differ": [(AbExperiment, {"treatment": ModelVersion})],
    "experiment_split_in_range": [(AbExperiment, {"split_bp": v}) for v in (0, 10_000)],
    "experiment_alpha_in_range": [(AbExperiment, {"alpha": v}) for v in (0.0, 1.0)],
    "idempotent_key_once": [(IdempotentAnswer, {"user": Same, "key": Same})],
    "job_state_known": [(Job, {"state": "lost", "finished_at": NOW})],
    "job_kind_named": [(Job, {"kind": ""})],
    "job_key_null_or_named": [(Job, {"key": ""})],
    "job_progress_in_range": [(Job, {"progress": v}) for v in (-0.1, 1.1)],
    "job_attempts_bounded": [(Job, {"attempts": 6, "max_attempts": 5, "started_at": NOW}), (Job, {"max_attempts": 0})],
    "job_lease_while_running": [
        (Job, STARTED | {"state": "running"}),
        (Job, STARTED | {"state": "running", "lease_until": NOW, "lease_token": ""}),
        (Job, {"state": "queued", "lease_token": "t"}),
        (Job, ENDED | {"state": "failed", "error": "e", "lease_until": NOW}),
    ],
    "job_started_has_time": [(Job, {"attempts": 1}), (Job, {"started_at": NOW})],
    "job_finished_has_time": [
        (Job, STARTED | {"state": "failed", "error": "e"}),
        (Job, {"state": "queued", "finished_at": NOW}),
    ],
    "job_result_when_done": [
        (Job, ENDED | {"state": "done", "progress": 1.0}),
        (Job, ENDED | {"state": "done", "progress": 0.5, "result": {}}),
        (Job, {"result": {}}),
    ],
    "job_failed_has_reason": [(Job, ENDED | {"state": "failed"})],
    "job_cancelled_when_asked": [(Job, ENDED | {"state": "cancelled"}), (Job, {"cancel_requested": True})],
    "notice_key_named": [(Notice, {"key": ""})],
    "notice_level_known": [(Notice, {"level": "loud"})],
    "webhook_named_and_addressed": [(WebhookEndpoint, {"name": ""}), (WebhookEndpoint, {"url": ""})],
    "webhook_level_known": [(WebhookEndpoint, {"least_level": "loud"})],
    "webhook_secret_from_one": [(WebhookEndpoint, {"secret_number": 0})],
    "delivery_endpoint_once": [(Delivery, {"notice": Same, "endpoint": Same})],
    "delivery_mail_once": [(Delivery, {"notice": MailedNotice, "endpoint": None})],
    "delivery_state_known": [(Delivery, {"state": "lost", "finished_at": NOW})],
    "delivery_finished_has_time": [
        (Delivery, {"state": "delivered"}),
        (Delivery, {"finished_at": NOW}),
        (Delivery, {"state": "delivered", "finished_at": NOW, "token": "t"}),
    ],
    "turn_one_running_a_loop": [(Turn, {"loop": Same})],
    "turn_finished_has_time": [(Turn, {"outcome": "kept"}), (Turn, {"finished_at": NOW})],
    "turn_stage_once": [(TurnStage, {"turn": Same, "name": Same})],
}
# Without a name of their own: columns declared unique, and a slot's stable version.
UNNAMED: list[tuple[type[models.Model], dict[str, Any]]] = [
    (Loop, {"name": Same}),
    (Job, {"key": Same}),
    (Release, {"key": Same}),
    (RewardSignal, {"decision": Same}),
    (TurnStage, {"job": Same}),
    (AbExperiment, {"deployment": Same}),
    (ServingSlot, {"stable": None}),
    (ServedDecision, {"decision": Same}),
    (ServedDecision, {"public_id": Same}),
    (PersonAccount, {"user": Same}),
    (PersonAccount, {"person": Same}),
    (VaultEvent, {"sequence": Same}),
    (VaultEvent, {"hash": Same}),
    (VaultBatch, {"event": Same}),
    (VaultHead, {"id": Same}),
    (Notice, {"key": Same}),
    (Notice, {"public_id": Same}),
    (WebhookEndpoint, {"name": Same}),
    (WebhookEndpoint, {"public_id": Same}),
    (Incident, {"deployment": Same}),
]


@pytest.fixture
def rows() -> Iterator[Rows]:
    yield Rows()


def refused(rows: Rows, model: type[models.Model], changed: dict[str, Any]) -> str:
    """Try to write a bad row; the database's words."""
    good = rows.get(model)
    values = {name: _value(rows, good, name, value) for name, value in changed.items()}
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        rows.fresh(model, **values)
    return str(error.value)


def _value(rows: Rows, good: models.Model, name: str, value: Any) -> Any:
    if value is Same:
        return getattr(good, name)
    if value is Another:
        return rows.fresh(ModelVersion)
    if value is MailedNotice:
        return rows.fresh(Delivery, endpoint=None).notice
    return rows.get(ModelVersion) if value is ModelVersion else value


def test_the_blueprints_tables_exist_under_their_names() -> None:
    assert set(connection.introspection.table_names()) >= BLUEPRINT


def test_migrations_say_what_the_models_say() -> None:
    out = io.StringIO()
    call_command("makemigrations", "--check", "--dry-run", stdout=out)
    assert "No changes" in out.getvalue()


def test_every_constraint_of_ours_is_tried_here() -> None:
    declared = {c.name for app in OURS for m in apps.get_app_config(app).get_models() for c in m._meta.constraints}
    assert declared == set(BAD)


def test_a_good_row_of_each_table_is_taken(rows: Rows) -> None:
    for model in GOOD:
        assert rows.get(model).pk


@pytest.mark.parametrize(
    ("name", "model", "changed"),
    [pytest.param(n, m, c, id=f"{n}-{i}") for n, tries in BAD.items() for i, (m, c) in enumerate(tries)],
)
def test_a_bad_row_is_refused(rows: Rows, name: str, model: type[models.Model], changed: dict[str, Any]) -> None:
    words = refused(rows, model, changed)
    if name.endswith(("_once", "_unique", "_once_a_head", "_one_active_a_slot", "_one_running_a_loop")):
        assert name in words or "UNIQUE" in words
    else:
        assert name in words


@pytest.mark.parametrize(("model", "changed"), UNNAMED, ids=lambda x: x.__name__ if isinstance(x, type) else "")
def test_a_second_row_or_an_empty_slot_is_refused(
    rows: Rows, model: type[models.Model], changed: dict[str, Any]
) -> None:
    assert refused(rows, model, changed)


def test_a_deployment_that_ended_makes_room_for_the_next(rows: Rows) -> None:
    first = rows.get(Deployment)
    Deployment.objects.filter(pk=first.pk).update(state="aborted", finished_at=NOW)
    assert rows.fresh(Deployment, slot=first.slot).pk
