"""Record a loop's rollouts in the Trust Vault: its slots, deployments and incidents, and the states of its versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet

from deployments.models import AbExperiment, Deployment, Incident, RolloutAct, ServingSlot
from loops.models import Loop
from privacy.services.vault.commitments import row_digest
from privacy.services.vault.record_checks import check_register
from privacy.services.vault.stored_rows import StoredRows
from training.models import ModelVersion, VersionState

_SLOTS_FIRST = (
    "pk", "head", "stable_id", "candidate_id", "weight_bp", "holdback_id", "holdback_bp", "rotates", "exploration_bp", "salt",
    "generation",
)  # fmt: skip
_SLOTS_SECOND = (*_SLOTS_FIRST, "shadow_id")
_SLOTS = (*_SLOTS_SECOND, "app_chooses")
_DEPLOYMENTS_FIRST = (
    "pk", "created_at", "slot_id", "version_id", "previous_id", "strategy", "state", "frozen_policy", "rollback_of_id",
    "harmful", "reason", "actor", "finished_at",
)  # fmt: skip
_DEPLOYMENTS = (*_DEPLOYMENTS_FIRST, "stage", "stage_began_at", "stage_starts", "extended", "waits_for", "deadline_at")
_EXPERIMENTS = (
    "pk", "created_at", "deployment_id", "control_id", "treatment_id", "split_bp", "alpha", "minimum_per_arm", "ends_at",
    "state", "result",
)  # fmt: skip
_ACTS = ("pk", "created_at", "deployment_id", "act", "stage", "share_bp", "actor", "reason")
_INCIDENTS_FIRST = ("pk", "created_at", "slot_id", "version_id", "deployment_id", "reason", "automatic", "harmful")
_INCIDENTS = (*_INCIDENTS_FIRST, "actor")
_VERSIONS = ("pk", "state")
_REFERENCES = ("pk", "loop_version_id", "head", "number", "state", "config")


@dataclass(frozen=True)
class RolloutRows(StoredRows):
    """The rollouts of each loop, as one row. An act changes several of their rows at once.

    ``incidents`` are the columns of an incident, ``deployments`` those of a deployment, ``slots`` those of a slot,
    ``experiments`` those of an A/B test and ``acts`` those of an act on a rollout (none in earlier editions).
    """

    incidents: tuple[str, ...] = _INCIDENTS
    deployments: tuple[str, ...] = _DEPLOYMENTS
    slots: tuple[str, ...] = _SLOTS
    experiments: tuple[str, ...] = _EXPERIMENTS
    acts: tuple[str, ...] = _ACTS

    def digests(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[int, str]]:
        """Return the primary key of each loop, and the digest of its rollouts as stored now."""
        chosen = self.rows() if rows is None else rows
        for (pk,) in chosen.order_by("pk").values_list(*self.fields):
            yield pk, row_digest(self.name, pk, *map(list, _facts(pk, self)))


def _facts(loop: int, covered: RolloutRows) -> Iterator[QuerySet[Any, Any]]:
    versions = ModelVersion.objects.filter(loop_version__loop=loop).order_by("pk")
    served = versions.learned().filter(state__in=[VersionState.DEPLOYED, VersionState.ARCHIVED])
    yield ServingSlot.objects.filter(loop=loop).order_by("pk").values_list(*covered.slots)
    yield Deployment.objects.filter(slot__loop=loop).order_by("pk").values_list(*covered.deployments)
    yield Incident.objects.filter(slot__loop=loop).order_by("pk").values_list(*covered.incidents)
    if covered.experiments:
        experiments = AbExperiment.objects.filter(deployment__slot__loop=loop).order_by("pk")
        yield experiments.values_list(*covered.experiments)
    if covered.acts:
        acts = RolloutAct.objects.filter(deployment__slot__loop=loop).order_by("pk")
        yield acts.values_list(*covered.acts)
    yield served.values_list(*_VERSIONS)
    yield versions.exclude(pk__in=versions.learned().values("pk")).values_list(*_REFERENCES)


_ROLLOUTS_FIRST = RolloutRows(
    "rollouts",
    ("pk",),
    lambda: Loop.objects.filter(slots__isnull=False).distinct(),
    is_named=True,
    incidents=_INCIDENTS_FIRST,
    deployments=_DEPLOYMENTS_FIRST,
    slots=_SLOTS_FIRST,
    experiments=(),
    acts=(),
)
_ROLLOUTS_SECOND = replace(_ROLLOUTS_FIRST, incidents=_INCIDENTS, edition=2, earlier=_ROLLOUTS_FIRST)
_ROLLOUTS_THIRD = replace(
    _ROLLOUTS_SECOND,
    deployments=_DEPLOYMENTS,
    slots=_SLOTS_SECOND,
    experiments=_EXPERIMENTS,
    acts=_ACTS,
    edition=3,
    earlier=_ROLLOUTS_SECOND,
)
ROLLOUTS = replace(_ROLLOUTS_THIRD, slots=_SLOTS, edition=4, earlier=_ROLLOUTS_THIRD)
check_register(ROLLOUTS)


def rollouts_entry(loop: int) -> dict[str, str]:
    """Return an event's entry for the rollouts of a loop, as the act leaves them. Call it after the last change."""
    return ROLLOUTS.entries(Loop.objects.filter(pk=loop))
