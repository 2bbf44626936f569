"""Record learned versions in the Trust Vault: weights, configuration and the releases that they were learned from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from core.checksums import sha256_hex
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import row_digest
from privacy.services.vault.record_checks import check_register
from privacy.services.vault.recorded import Recorded
from privacy.services.vault.stored_rows import StoredRows
from training.models import LIVED, GateVerdict, ModelMetric, ModelVersion, TrainingEpisode, VersionState


@dataclass(frozen=True)
class VersionRows(StoredRows):
    """Learned versions. Their states belong to the rollouts that change them."""

    def digests(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[int, str]]:
        """Return the primary key and the digest of each version as stored now."""
        lineage = ModelVersion.releases.through.objects.order_by("release_id")
        chosen = self.rows() if rows is None else rows
        for facts in chosen.order_by("pk").values_list(*self.fields).iterator(chunk_size=500):
            releases = lineage.filter(modelversion_id=facts[0]).values_list("release_id", flat=True)
            yield facts[0], row_digest(self.name, *facts, list(releases))


VERSIONS = VersionRows(
    "version",
    (
        "pk", "created_at", "loop_version_id", "head", "number", "kind", "weights_sha256", "config", "parent_id",
    ),
    lambda: ModelVersion.objects.learned(),
    is_named=True,
)  # fmt: skip


_VERDICTS = ("pk", "created_at", "version_id", "attempt", "release_id", "verdict", "reason", "needed_users")
_METRICS = (
    "pk", "created_at", "version_id", "source", "name", "value", "low", "high", "threshold", "users", "needed_users", "verdict",
    "reason",
)  # fmt: skip
_EPISODES = ("pk", "version_id", "index", "steps", "candidate_return", "reference_return", "intervention_rate")


@dataclass(frozen=True)
class JudgementRows(StoredRows):
    """What the gates found of each version, as one row: verdicts, metrics and episodes."""

    def digests(self, rows: QuerySet[Any] | None = None) -> Iterator[tuple[int, str]]:
        """Return the primary key of each version, and the digest of what was found of it."""
        chosen = self.rows() if rows is None else rows
        for (pk,) in chosen.order_by("pk").values_list(*self.fields).iterator(chunk_size=500):
            yield pk, row_digest(self.name, pk, *map(list, _judgements(pk)))


def _judgements(version: int) -> Iterator[QuerySet[Any, Any]]:
    yield GateVerdict.objects.filter(version=version).order_by("pk").values_list(*_VERDICTS)
    yield ModelMetric.objects.filter(version=version).exclude(source=LIVED).order_by("pk").values_list(*_METRICS)
    yield TrainingEpisode.objects.filter(version=version).order_by("pk").values_list(*_EPISODES)


def _judged() -> QuerySet[ModelVersion]:
    metrics = ModelMetric.objects.exclude(source=LIVED)
    found = (
        Exists(rows.filter(version=OuterRef("pk"))) for rows in (GateVerdict.objects, metrics, TrainingEpisode.objects)
    )
    return ModelVersion.objects.filter(Q(*found, _connector=Q.OR))


JUDGEMENTS = JudgementRows("judgements", ("pk",), _judged, is_named=True)


def judgement_record(version: ModelVersion) -> None:
    """Record in the Trust Vault what a gate just found of a version."""
    rows = JUDGEMENTS.entries(ModelVersion.objects.filter(pk=version.pk))
    vault_append(kind=VaultKind.VERSION, body={"judged": version.pk, "head": version.head}, rows=rows)


_GIVEN = (VersionState.EVALUATING, VersionState.DEPLOYED, VersionState.ARCHIVED)  # states of a version that was trained


def weights_check(recorded: Recorded) -> Iterator[str]:
    """Compare the weights of each learned version with their SHA-256, and its state with those that a rollout gives."""
    rows = ModelVersion.objects.learned().order_by("pk").values_list("pk", "weights", "weights_sha256", "state")
    for pk, weights, digest, state in rows.iterator(chunk_size=20):
        if sha256_hex(bytes(weights)) != digest:
            yield f"the weights of version {pk} are not what was trained"
        if state not in _GIVEN:
            yield f"version {pk} is in state {state}, which nothing gives a trained version"


check_register(VERSIONS, JUDGEMENTS, check=weights_check)
