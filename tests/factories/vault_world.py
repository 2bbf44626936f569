"""An installation in which every act that the Trust Vault records happened once, by the services that perform it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from django.utils import timezone

from deployments.selectors.slots import slot_for
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.operate import rollout_pause
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.start import rollout_start
from deployments.services.ticks.rollout_tick import rollout_step
from loops.models import LoopVersion
from notices.models import WebhookEndpoint
from privacy.engine.dp.accounting import NANO
from privacy.models import Person, Purpose, Release, RewardSignal
from privacy.services.approvals.decide import approval_approve, approval_decline
from privacy.services.budget.caps import CapReason, cap_change
from privacy.services.budget.charge import cohort_refund
from privacy.services.budget.guarded_caps import cap_change_or_ask
from privacy.services.people.accounts import person_register
from privacy.services.people.consent import consent_grant, consent_withdraw
from privacy.services.people.devices import NOBODY
from privacy.services.people.erasure import person_erase
from privacy.services.people.identity import people_get_or_create
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.records.import_file import signals_import
from privacy.services.releases.lifecycle import release_begin, release_commit, release_reserve, round_store
from privacy.services.releases.moments import outcomes_assign
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.sealed_decisions import decisions_seal
from r3al_project.ops.recorded_webhooks import webhook_delete, webhook_save, webhook_secret_renew
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.decisions import serve_many
from tests.factories.operators import guarded_loop, operator
from tests.factories.people import ALL_FOLDS
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned
from training.models import MODEL_GATE, ModelMetric, TrainingEpisode

HEADER = "who,at,mood,place,gap,did,p,tone,tone_p,felt,label"
ACTIONS = (("wait", "0.5", "", ""), ("talk", "0.25", "warm", "0.5"), ("walk", "0.25", "calm", "0.5"))


@dataclass(frozen=True)
class VaultWorld:
    """``people`` are ids by name; ``ann`` has caps of her own, ``bob`` withdrew, ``gus`` and ``hal`` were erased.

    ``spent`` is a committed release, ``export`` one of rows, ``refunded`` one without an output. ``served`` are sealed decisions.
    ``first`` is an archived version and ``second`` the deployed one. ``erased_before`` is the row of gus before the erasure.
    """

    loop: LoopVersion
    people: dict[str, int]
    spent: Release
    export: Release
    refunded: Release
    served: list[int]
    first: int
    second: int
    erased_before: Person


def vault_world(folder: Path) -> VaultWorld:
    """Import, consent, serve, seal, close, charge, commit, refund, export, cap, erase, train, deploy and roll back."""
    vault_prepare()
    loop = guarded_loop(["cap"])
    names = ["ann", "bob", "cam", "dee", "eve", "fay", "gus", "hal"]
    signals_import(path=log_file(folder / "log.csv", names), loop_version=loop, consents=list(Purpose))
    people = people_get_or_create(population=loop.spec.population, identifiers=[*names, "ida", "jon"])
    for name in ("ann", "bob", "hal"):
        person_register(
            population=loop.spec.population, identifier=name, consents={}, text_version="1", source="app", device=True,
            reporter=NOBODY,
        )  # fmt: skip
    consent_grant(person_ids=[people["ida"]], purposes=[Purpose.PERSONALIZATION], source="app")
    consent_withdraw(person_ids=[people["bob"]], purposes=[Purpose.TRAINING], source="app")
    served = serve_many(loop, [people[name] for name in names])
    decisions_seal()
    outcomes_close()
    cap_change(person_id=people["ann"], window="month", cap=3.0, reason=CapReason.REQUEST, actor="officer")
    spent = _reserved("spent", loop, Purpose.TRAINING)
    for index in (0, 1):
        rho = (spent.rho or 0) / NANO / 4
        round_store(release=spent, index=index, arrays={"x": np.array([index + 0.5]), "x_rho": np.array([rho])})
    release_commit(release=spent, noisy_users=6.5)
    outcomes_assign(spent, RewardSignal.objects.filter(decision__person=people["cam"]))
    refunded = _reserved("refunded", loop, Purpose.EVALUATION)
    cohort_refund(release=refunded)
    _export(loop)
    before = Person.objects.get(pk=people["gus"])
    for name in ("gus", "hal"):
        person_erase(person_id=people[name], source="app")
    second_export = _export(loop, key="export-2")
    assert second_export.rounds.exclude(output=b"").exists()
    first = learned(loop, "policy", TALK_IN_A_GOOD_MOOD, releases=[spent.pk])
    ModelMetric.objects.create(version=first, source=MODEL_GATE, name="z", value=2.0, low=1.0, high=3.0, verdict="pass")
    TrainingEpisode.objects.create(
        version=first, index=0, steps=4, candidate_return=0.5, reference_return=0.25, intervention_rate=0.1
    )
    judged(first)
    full_rollout(version=first, actor="ann", reason="passed")
    slot = slot_for(loop.loop, "policy")
    slot_rollback(slot=slot, actor="ann", reason="complaints", automatic=False, harmful=False)
    second = judged(learned(loop, "policy", ALWAYS_WALK))
    full_rollout(version=second, actor="ann", reason="passed")
    third = judged(learned(loop, "policy", ALWAYS_WALK, second))
    tested = rollout_start(strategy="ab_test", version=third, actor="ann", reason="passed")
    rollout_step(rollout=tested)
    rollout_pause(rollout=tested, actor="ann", reason="holidays")
    turn_start(loop_version=loop, parameters=turn_parameters(), actor="ann")
    _webhooks()
    _second_operators(people["ann"])
    return VaultWorld(loop, people, spent, second_export, refunded, served, first.pk, second.pk, before)


def _second_operators(person: int) -> None:
    """A request that was approved, one that was declined, and one that waits."""
    officers = [operator(name, "Privacy officer") for name in ("olga", "otto")]
    asked = [
        cap_change_or_ask(person_id=person, window="month", cap=cap, reason=CapReason.STUDY, by=officers[0])
        for cap in (3.5, 3.75, 4.0)
    ]
    numbers = [found.pk for found in asked]
    approval_approve(number=numbers[0], by=officers[1])
    approval_decline(number=numbers[1], by=officers[1], reason="too much")


def _webhooks() -> None:
    """Two webhooks that were added, changed or given another secret, and one that was removed."""
    chat, pager, gone = [WebhookEndpoint(name=n, url=f"https://example.org/{n}") for n in ("chat", "pager", "gone")]
    for endpoint in (chat, pager, gone):
        webhook_save(endpoint, actor="ann")
    pager.kinds = ["incident"]
    webhook_save(pager, actor="ann")
    webhook_secret_renew(chat, actor="bob")
    webhook_delete(gone, actor="bob")


def log_file(path: Path, names: list[str]) -> Path:
    """A file for the care loop, with two decisions of each person."""
    lines = [HEADER]
    for n, name in enumerate(names * 2):
        did, p, tone, tone_p = ACTIONS[n % 3]
        label = "dismissed" if n % 5 == 0 else "fine"
        lines.append(
            f"{name},2026-01-{n + 1:02d}T09:00:00Z,0.{n % 9},home,0.5,{did},{p},{tone},{tone_p},0.{n % 8},{label}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def _reserved(key: str, loop: LoopVersion, purpose: Purpose) -> Release:
    return release_reserve(
        key=key, loop_version=loop, purpose=purpose, folds=ALL_FOLDS, epsilon=0.2, delta=1e-6, mechanism="m",
        parameters={"clip": 1.0},
    )  # fmt: skip


def _export(loop: LoopVersion, key: str = "export") -> Release:
    fields = {
        "technique": "k_anonymity", "mechanism": "m", "parameters": {"k": 2}, "policy_cost": NANO // 10, "guarantee": "none",
    }  # fmt: skip
    release = release_begin(key=key, loop_version=loop, purpose=Purpose.TRAINING, folds=ALL_FOLDS, fields=fields)
    expires = timezone.now() + timedelta(days=90)
    round_store(release=release, index=0, arrays={"rows": np.arange(3)}, expires_at=expires)
    release_commit(release=release, noisy_users=None, facts={"rows_in": 3, "rows_out": 3, "information_loss": 0.25})
    return release
