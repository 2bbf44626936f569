"""Rows in every table, with raw content that is recognised wherever it should turn up."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta

import numpy as np
from django.contrib.auth.models import Group, User
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from knox.models import AuthToken

from core.checksums import sha256_hex
from deployments.models import (
    AbExperiment,
    Deployment,
    EvidenceUnit,
    EvidenceWeek,
    HealthCheck,
    Incident,
    LatencyMinute,
    RolloutAct,
    RolloutCheck,
    ServingSlot,
    ShadowMinute,
)
from deployments.services.rollouts.slots import slots_seed
from jobs.models import Job
from loops.models import LoopVersion
from loops.services import loop_add
from notices.models import Delivery, Notice, WebhookEndpoint
from notices.services.record import notice_record
from privacy.models import (
    Approval,
    Choice,
    Consent,
    Decision,
    DeviceToken,
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
    SignalImport,
    VaultBatch,
    VaultCheck,
    VaultKind,
)
from privacy.services.people.data_keys import ciphers
from privacy.services.vault.append import subject_of, vault_append
from r3al_project.turns.models import Turn, TurnStage
from tests.factories.loop_files import SMALL
from training.models import (
    GateVerdict,
    ModelMetric,
    ModelVersion,
    SyntheticJob,
    TrainingDataPool,
    TrainingEpisode,
)

NOW = datetime(2025, 3, 3, 12, tzinfo=UTC)
DAY = date(2025, 3, 3)
NANO = 1_000_000_000

STATE = np.array([0.7310585786, 271828.1828]).tobytes()
REWARD = np.array([3.1415926535] * 7).tobytes()
BLOBS = {
    "state": STATE,
    "reward": REWARD,
    "row key": b"ROWKEYROWKEYROWK",
    "weights": b"WEIGHTS-OF-A-POLICY",
    "pool": b"POOL-DATA-OF-A-CHUNK",
    "round": b"OUTPUT-OF-A-ROUND",
    "seed": b"SEED-OF-ONE-DRAW",
    "request key": b"REQUEST-KEY-WORD",
    "reward key": b"REWARD-KEY-WORDS",
    "content key": b"CONTENT-KEY-WORD",
    "signal key": b"SIGNAL-KEY-WORDS",
}
TEXTS = {"person key": "deadbeef" * 8, "salt": "5a17" * 8, "token": "70ce" * 8}
NUMBERS = ("0.7310", "271828", "271,828", "3.1415", "3.142")


def raw_forms() -> dict[str, str]:
    """Every form in which something raw could be printed, by what it is."""
    forms = dict(TEXTS)
    for name, blob in BLOBS.items():
        forms |= {f"{name} in hex": blob.hex(), f"{name} in base64": base64.b64encode(blob).decode().rstrip("=")}
        if blob.isascii():
            forms[name] = blob.decode()
    return forms | {f"number {n}": n for n in NUMBERS}


def furnish(name: str = "small") -> LoopVersion:
    """A loop with people, decisions, releases, versions, a running turn and what serves."""
    text = SMALL.replace('name = "small"', f'name = "{name}"\npopulation = "{name}"')  # its people are its own
    version = loop_add(text=text, source=f"{name}.toml")[0]
    slots = slots_seed(loop_version=version)
    release = _release(version)
    _people(version, release)
    job = _turn(version, name)
    candidate = _learned(version, release, job)
    _served(slots[0], candidate)
    _watched(slots[0])
    _lived(version, name)
    _system(name)
    _told(name)
    _waiting(version)
    return version


def _release(version: LoopVersion) -> Release:
    release = Release.objects.create(
        key=f"{version.loop.name}-release", loop_version=version, purpose="training", technique="differential_privacy",
        mechanism="discrete Gaussian", parameters={"kind": "moments", "folds": [3000, 10000]}, policy_cost=NANO, rho=NANO // 30,
        formal_epsilon=1.0, formal_delta=1e-5, guarantee="(1, 1e-5)-differential privacy", state="committed",
        noisy_users=412.0, committed_at=NOW,
    )  # fmt: skip
    ReleaseRound.objects.create(
        release=release, index=0, output=BLOBS["round"], output_sha256=sha256_hex(BLOBS["round"])
    )
    SignalImport.objects.create(
        loop_version=version, file_sha256="0" * 64, rows=9, added=7, unchanged=1, rejected=1,
        counts={"rejected": {"missing_time": 1}},
    )  # fmt: skip
    return release


def _people(version: LoopVersion, release: Release) -> None:
    for i in range(2):
        key = TEXTS["person key"][:-1] + str(i)
        person = Person.objects.create(population=version.loop.population, key=key, fold=i)
        caps = {f"cap_{w}": 4 * NANO for w in ("day", "week", "month", "lifetime")}
        windows = {"day": DAY, "week": DAY, "month": DAY.replace(day=1)}
        PrivacyBudget.objects.create(
            person=person, consent_mask=7, **caps, **windows, rho_cap=NANO, rho_spent=NANO // 30
        )
        LedgerEntry.objects.create(release=release, person=person, policy_cost=NANO, rho=NANO // 30)
        Consent.objects.create(person=person, purpose="training", granted=True, source="a test")
        decision = Decision.objects.create(
            person=person, loop_version=version, row_key=BLOBS["row key"][:-1] + bytes([65 + i]), decided_at=NOW,
            local_day=DAY, available=True, state=STATE,
        )  # fmt: skip
        Choice.objects.create(decision=decision, head="policy", action=1, propensity=0.5, marginal_propensity=0.4)
        RewardSignal.objects.create(decision=decision, payload=REWARD, harmful=False, closed_at=NOW)


def _turn(version: LoopVersion, name: str) -> Job:
    turn = Turn.objects.create(
        loop=version.loop,
        loop_version=version,
        parameters={"head": "policy", "epsilon": 1.0, "source": "/somewhere/else/diary.csv"},
    )
    done = Job.objects.create(
        kind="turn.collect", arguments={"turn": turn.pk}, key=f"{name}-collect", state="done", progress=1.0, attempts=1,
        started_at=NOW, finished_at=NOW + timedelta(seconds=3), result={"rows": 9},
    )  # fmt: skip
    summary = {"file": "diary.csv", "rows": 9, "added": 7, "unchanged": 1, "rejected": 1}
    TurnStage.objects.create(turn=turn, name="collect", job=done, summary=summary, seconds=3.0)
    running = Job.objects.create(
        kind="turn.release", arguments={"turn": turn.pk}, key=f"{name}-release", state="running", progress=0.43, attempts=1,
        message="round 2 of 3", lease_token=TEXTS["token"], lease_until=datetime.now(UTC) + timedelta(hours=1), started_at=NOW,
    )  # fmt: skip
    TurnStage.objects.create(turn=turn, name="release", job=running)
    return running


def _learned(version: LoopVersion, release: Release, job: Job) -> ModelVersion:
    candidate = ModelVersion.objects.create(
        loop_version=version, head="policy", number=7, kind="linear_q", state="evaluating", weights=BLOBS["weights"],
        weights_sha256=sha256_hex(BLOBS["weights"]), config={"gamma": 0.99, "hinges": True},
    )  # fmt: skip
    candidate.releases.add(release)
    measured = {"value": 0.19, "low": 0.13, "high": 0.26, "threshold": 0.0, "users": 438.9}
    ModelMetric.objects.create(version=candidate, source="outcome_gate", name="improvement", verdict="pass", **measured)
    ModelMetric.objects.create(version=candidate, source="model_gate", name="model_gate_z", verdict="pass", value=3.0)
    GateVerdict.objects.create(
        version=candidate, attempt=1, release=release, verdict="insufficient", reason="Too few.", needed_users=478.0
    )
    TrainingEpisode.objects.create(
        version=candidate, index=0, steps=100, candidate_return=1.5, reference_return=1.25, intervention_rate=0.4
    )
    made = SyntheticJob.objects.create(
        job=job, release=release, generator="world_model", head="policy", sample_count=10, seed=1, summary={"rows": 10}
    )
    TrainingDataPool.objects.create(
        loop_version=version, kind="synthetic", release=release, synthetic_job=made, index=0, rows=10, columns=["state"],
        data=BLOBS["pool"], data_sha256=sha256_hex(BLOBS["pool"]), expires_at=NOW,
    )  # fmt: skip
    return candidate


def _served(slot: ServingSlot, candidate: ModelVersion) -> None:
    ServingSlot.objects.filter(pk=slot.pk).update(salt=TEXTS["salt"], candidate=candidate, weight_bp=500)
    deployment = Deployment.objects.create(
        slot=slot, version=candidate, previous=slot.stable, strategy="canary", state="in_progress", actor="a test",
        frozen_policy={"improvement": 0.0},
    )  # fmt: skip
    RolloutCheck.objects.create(
        deployment=deployment, generation=1, stage=0, closed_weeks=2, step="wait", reasons=["nothing is due"]
    )
    RolloutAct.objects.create(
        deployment=deployment, act="ask", stage=0, share_bp=500, actor="a test", reason="it may go on"
    )
    AbExperiment.objects.create(deployment=deployment, control=slot.stable, treatment=candidate, ends_at=NOW)


def _watched(slot: ServingSlot) -> None:
    """What health knows of the slot: a person's evidence, a minute's latency, a look, and a version that was taken back."""
    deployment = Deployment.objects.get(slot=slot)
    watched = {"slot": slot, "version": slot.stable}
    person = Person.objects.filter(population=slot.loop.population).earliest("pk")
    ciphers([person.pk])
    EvidenceUnit.objects.create(
        **watched, data_key_id=person.pk, epoch=1, first_exposed_at=NOW, closes_at=NOW, decisions=3
    )
    EvidenceWeek.objects.create(deployment=deployment, week=1)
    LatencyMinute.objects.create(loop=slot.loop, version=slot.stable, minute=NOW, requests=9, total_us=9_000)
    ShadowMinute.objects.create(version=slot.stable, minute=NOW, scored=9, total_us=900)
    metric = {"name": "false_interventions", "value": 0.1, "low": 0.0, "high": 0.2, "threshold": 0.3, "n": 60,
              "minimum": 50, "verdict": "pass"}  # fmt: skip
    check = HealthCheck.objects.create(**watched, generation=1, state="healthy", metrics=[metric])
    Incident.objects.create(
        **watched, deployment=deployment, check_made=check, reason="a test", automatic=True, harmful=True
    )


def _lived(version: LoopVersion, name: str) -> None:
    """What serving leaves behind of one person, and the vault's events about it."""
    decision = Decision.objects.filter(loop_version=version).earliest("pk")
    person = decision.person
    PersonAccount.objects.create(person=person, user=User.objects.create_user(f"{name}-person"))
    token, _ = AuthToken.objects.create(person.account.user)
    DeviceToken.objects.create(token=token, issuer_id=1)
    served = ServedDecision.objects.create(
        decision=decision, person=person, request_key=BLOBS["request key"], seed=BLOBS["seed"], exploration_bp=1_000,
        expires_at=NOW, closes_at=NOW, activated_at=NOW,
    )  # fmt: skip
    RewardEvent.objects.create(
        served=served, reward_key=BLOBS["reward key"], content_key=BLOBS["content key"], payload=REWARD, harmful=True
    )
    ServingState.objects.create(person=person, loop=version.loop, memory=STATE)
    Signal.objects.create(
        person=person, loop_version=version, kind="pulse", signal_key=BLOBS["signal key"],
        content_key=BLOBS["content key"], observed_at=NOW, payload=STATE,
    )  # fmt: skip
    vault_append(kind=VaultKind.CONSENT, body={"purpose": "training", "granted": True}, subject=subject_of(person))
    ciphers([person.pk])  # what they said is planted as it would be read if it were not sealed
    sealed = vault_append(kind=VaultKind.DECISIONS, body={"decisions": 1, "root": "00" * 32})
    VaultBatch.objects.create(event=sealed, decisions_count=1, leaves=bytes(32), root="00" * 32)
    VaultCheck.objects.create(sequence=sealed.sequence, head=sealed.hash, decisions_count=1, erased_count=0)


def _told(name: str) -> None:
    """What operators were told, and one way that failed."""
    endpoint = WebhookEndpoint.objects.create(name=f"{name} chat", url="https://example.org/hook")
    notice_record(kind="turn_failed", key=f"{name} turn failed", subject=name, facts={"turn": 1, "stage": "train"})
    notice = Notice.objects.get(key=f"{name} turn failed")
    Delivery.objects.create(notice=notice, endpoint=endpoint, next_attempt_at=NOW, last_error="status 500", attempts=2)


def _waiting(version: LoopVersion) -> None:
    """An override that waits for a second operator."""
    Approval.objects.create(
        loop=version.loop, act="override", door="deploy", words="Deploy it all the same.", parameters={"version": 7},
        seen={"objection": "It was judged against another one.", "generation": 3}, reason="it is better", asked_by="ann",
        asked_by_account=1, expires_at=NOW,
    )  # fmt: skip


def _system(name: str) -> None:
    every = IntervalSchedule.objects.create(every=15, period="seconds")
    PeriodicTask.objects.create(name=f"{name}: reconcile", task="jobs.reconcile", interval=every)
    CrontabSchedule.objects.create(hour="3")
    SolarSchedule.objects.get_or_create(event="sunrise", latitude=48.2, longitude=16.4)
    ClockedSchedule.objects.create(clocked_time=NOW)
    Group.objects.create(name=f"{name}'s operators")
