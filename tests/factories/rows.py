"""One good row of every table, with no more in it than the table asks for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import models

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
    VaultCheck,
    VaultEvent,
    VaultHead,
)
from r3al_project.turns.models import Turn, TurnStage
from training.models import GateVerdict, ModelMetric, ModelVersion, SyntheticJob, TrainingDataPool, TrainingEpisode

NOW = datetime(2025, 1, 1, tzinfo=UTC)
DAY = date(2025, 1, 1)


class Rows:
    """One good row of each table, made when first asked for; ``fresh`` makes another with some columns changed."""

    def __init__(self) -> None:
        self._count = 0
        self._kept: dict[type[models.Model], Any] = {}

    def get(self, model: type[models.Model]) -> Any:
        if model not in self._kept:
            self._kept[model] = self.fresh(model)
        return self._kept[model]

    def fresh(self, model: type[models.Model], **changed: Any) -> Any:
        self._count += 1
        given = GOOD[model](self, self._count)
        return model._default_manager.create(**{**given, **changed})


def _budget(r: Rows, n: int) -> dict[str, Any]:
    caps = {f"cap_{w}": 10 for w in ("day", "week", "month", "lifetime")}
    return {"person": r.fresh(Person), **caps, "rho_cap": 10, "day": DAY, "week": DAY, "month": DAY}


GOOD: dict[type[models.Model], Callable[[Rows, int], dict[str, Any]]] = {
    Loop: lambda r, n: {"name": f"loop-{n}"},
    LoopVersion: lambda r, n: {"loop": r.fresh(Loop), "version": 1, "source": "", "sha256": ""},
    Person: lambda r, n: {"population": "p", "key": f"{n}", "fold": 0},
    PrivacyBudget: _budget,
    Consent: lambda r, n: {"person": r.get(Person), "purpose": "training", "granted": True, "source": "test"},
    Decision: lambda r, n: {
        "person": r.get(Person), "loop_version": r.get(LoopVersion), "row_key": n.to_bytes(16, "big"), "decided_at": NOW,
        "local_day": DAY, "available": True, "state": b"",
    },
    Choice: lambda r, n: {
        "decision": r.get(Decision), "head": f"h{n}", "action": 0, "propensity": 0.5, "marginal_propensity": 0.5,
    },
    RewardSignal: lambda r, n: {"decision": r.fresh(Decision), "payload": b"", "closed_at": NOW},
    Release: lambda r, n: {
        "key": f"r{n}", "loop_version": r.get(LoopVersion), "purpose": "training", "technique": "differential_privacy",
        "mechanism": "m", "policy_cost": 1, "guarantee": "g",
    },
    ReleaseRound: lambda r, n: {"release": r.get(Release), "index": n, "output": b"", "output_sha256": ""},
    LedgerEntry: lambda r, n: {"release": r.fresh(Release), "person": r.get(Person), "policy_cost": 1, "rho": 1},
    SyntheticJob: lambda r, n: {
        "release": r.get(Release), "generator": "world_model", "head": "policy", "sample_count": 1, "seed": n,
    },
    TrainingDataPool: lambda r, n: {
        "loop_version": r.get(LoopVersion), "kind": "synthetic", "release": r.get(Release), "index": n, "rows": 1,
        "synthetic_job": r.get(SyntheticJob), "columns": [], "data": b"", "data_sha256": "", "expires_at": NOW,
    },
    ModelVersion: lambda r, n: {
        "loop_version": r.get(LoopVersion), "head": "policy", "number": n, "kind": "linear_q", "state": "evaluating",
        "weights_sha256": "x",
    },
    ModelMetric: lambda r, n: {"version": r.get(ModelVersion), "source": "s", "name": f"m{n}", "verdict": "pass"},
    TrainingEpisode: lambda r, n: {
        "version": r.get(ModelVersion), "index": n, "steps": 1, "candidate_return": 0.0, "reference_return": 0.0,
        "intervention_rate": 0.0,
    },
    GateVerdict: lambda r, n: {"version": r.get(ModelVersion), "attempt": n, "verdict": "pass", "reason": "r"},
    ServingSlot: lambda r, n: {"loop": r.get(Loop), "head": f"h{n}", "stable": r.get(ModelVersion), "salt": "s"},
    Deployment: lambda r, n: {
        "slot": r.fresh(ServingSlot), "version": r.get(ModelVersion), "strategy": "full_rollout", "state": "in_progress",
    },
    AbExperiment: lambda r, n: {
        "deployment": r.fresh(Deployment), "control": r.get(ModelVersion), "treatment": r.fresh(ModelVersion),
        "ends_at": NOW,
    },
    ServedDecision: lambda r, n: {
        "decision": r.fresh(Decision), "person": r.get(Person), "request_key": n.to_bytes(16, "big"), "seed": b"s",
        "expires_at": NOW, "closes_at": NOW,
    },
    RewardEvent: lambda r, n: {
        "served": r.get(ServedDecision), "reward_key": n.to_bytes(16, "big"), "content_key": b"c", "payload": b"",
    },
    ExportKey: lambda r, n: {"round": r.fresh(ReleaseRound), "wrapped": b"", "master_version": 1},
    DataKey: lambda r, n: {"person": r.fresh(Person), "wrapped": b"", "master_version": 1},
    ServingState: lambda r, n: {"person": r.fresh(Person), "loop": r.get(Loop), "memory": b""},
    Signal: lambda r, n: {
        "person": r.get(Person), "loop_version": r.get(LoopVersion), "kind": "pulse", "signal_key": n.to_bytes(16, "big"),
        "content_key": b"c", "observed_at": NOW, "payload": b"",
    },
    PersonAccount: lambda r, n: {"user": r.fresh(User), "person": r.fresh(Person)},
    VaultHead: lambda r, n: {"id": 1, "hash": "0" * 64},
    Notice: lambda r, n: {
        "key": f"k{n}", "kind": "turn_failed", "level": "warning", "subject": "loop", "sentence": "It failed.",
    },
    WebhookEndpoint: lambda r, n: {"name": f"w{n}", "url": "https://example.org/hook"},
    Delivery: lambda r, n: {
        "notice": r.fresh(Notice), "endpoint": r.get(WebhookEndpoint), "next_attempt_at": NOW,
    },
    Approval: lambda r, n: {
        "loop": r.get(Loop), "act": "cap", "door": "cap", "words": "Raise it.", "asked_by": "ann", "asked_by_account": 1,
        "expires_at": NOW,
    },
    VaultEvent: lambda r, n: {
        "sequence": n, "kind": "release", "at": NOW, "previous_hash": "0" * 64, "hash": f"{n:064}",
    },
    VaultBatch: lambda r, n: {"event": r.fresh(VaultEvent), "decisions_count": 1, "leaves": b"", "root": "0" * 64},
    VaultCheck: lambda r, n: {"sequence": 1, "head": "0" * 64, "decisions_count": 0, "erased_count": 0},
    EvidenceUnit: lambda r, n: {
        "slot": r.get(ServingSlot), "version": r.get(ModelVersion), "data_key": r.fresh(DataKey), "epoch": 1,
        "first_exposed_at": NOW, "closes_at": NOW,
    },
    EvidenceWeek: lambda r, n: {"deployment": r.get(Deployment), "week": 1},
    LatencyMinute: lambda r, n: {"loop": r.fresh(Loop), "version": r.get(ModelVersion), "minute": NOW},
    ShadowMinute: lambda r, n: {"version": r.fresh(ModelVersion), "minute": NOW},
    HealthCheck: lambda r, n: {
        "slot": r.get(ServingSlot), "version": r.get(ModelVersion), "generation": 1, "state": "healthy", "metrics": [],
    },
    Incident: lambda r, n: {
        "slot": r.get(ServingSlot), "version": r.get(ModelVersion), "deployment": r.fresh(Deployment), "reason": "r",
        "automatic": True, "harmful": True,
    },
    User: lambda r, n: {"username": f"user-{n}"},
    IdempotentAnswer: lambda r, n: {"user": r.get(User), "key": f"k{n}", "request_digest": ""},
    Job: lambda r, n: {"kind": "k", "key": f"j{n}"},
    Turn: lambda r, n: (lambda version: {"loop": version.loop, "loop_version": version})(r.fresh(LoopVersion)),
    TurnStage: lambda r, n: {"turn": r.get(Turn), "name": f"s{n}", "job": r.fresh(Job)},
}  # fmt: skip
