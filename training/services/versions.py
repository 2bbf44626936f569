"""Write the model registry: number new versions and store their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt
from django.db import transaction
from django.db.models import Max

from core.arrays import pack_arrays
from core.checksums import sha256_hex
from loops.models import LoopVersion
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from training.models import ModelVersion, VersionKind, VersionState
from training.services.recorded_versions import VERSIONS


@transaction.atomic
def reference_version(*, loop_version: LoopVersion, head: str) -> ModelVersion:
    """Return the version that always takes the declared reference action.

    It is created once for each loop version and head, then reused.
    """
    version, _ = ModelVersion.objects.get_or_create(
        loop_version=loop_version,
        head=head,
        kind=VersionKind.REFERENCE,
        defaults={
            "number": _next_number(loop_version, head),
            "state": VersionState.DEPLOYED,
            "config": {"action": loop_version.spec.head(head).reference},
        },
    )
    return version


@transaction.atomic
def version_register(
    *,
    loop_version: LoopVersion,
    head: str,
    kind: str,
    arrays: Mapping[str, npt.ArrayLike],
    config: dict[str, Any],
    parent: ModelVersion | None = None,
    releases: Iterable[int] = (),
) -> ModelVersion:
    """Store a trained policy as the next version of its head, in state ``evaluating``, and record it in the Trust Vault.

    Args:
        arrays: policy arrays by name. They are stored as one blob with its SHA-256.
        parent: the incumbent that the policy was trained to beat. None means the reference.
        releases: ids of the releases that the policy was learned from.
    """
    blob = pack_arrays(arrays)
    version = ModelVersion.objects.create(
        loop_version=loop_version,
        head=head,
        number=_next_number(loop_version, head),
        kind=kind,
        state=VersionState.EVALUATING,
        weights=blob,
        weights_sha256=sha256_hex(blob),
        config=config,
        parent=parent,
    )
    version.releases.set(releases)
    vault_append(
        kind=VaultKind.VERSION,
        body={"loop": str(loop_version), "head": head, "version": version.pk, "weights": version.weights_sha256},
        rows=VERSIONS.entries(ModelVersion.objects.filter(pk=version.pk)),
    )
    return version


def _next_number(loop_version: LoopVersion, head: str) -> int:
    """Return the next number within the loop and head, over all loop versions. The unique constraint settles a race."""
    of_loop = ModelVersion.objects.filter(loop_version__loop=loop_version.loop, head=head)
    return (of_loop.aggregate(last=Max("number"))["last"] or 0) + 1
