"""Reads of the training floor."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from core.arrays import unpack_arrays
from core.errors import NotFound
from loops.engine.policies.linear import LinearPolicy, policy_from_arrays, reference_policy
from privacy.models import LedgerEntry, ReleaseState
from training.models import MODEL_GATE, GateVerdict, ModelMetric, ModelVersion, version_name

_LONGEST_ID = 15  # digits


def version_get(pk: int) -> ModelVersion:
    """One version by id; NotFound with what to do."""
    version = ModelVersion.objects.select_related("loop_version__loop").filter(pk=pk).first()
    if version is None:
        raise NotFound(f"there is no version {version_name(pk)}; the admin lists the versions")
    return version


def versions_with(pks: Collection[int], *, at_hand: ModelVersion) -> dict[int, ModelVersion]:
    """Versions by id, read from the database but for the one at hand."""
    return ModelVersion.objects.in_bulk(set(pks) - {at_hand.pk}) | {at_hand.pk: at_hand}


def version_named(name: str) -> ModelVersion:
    """One version by its name, ``model_12``, or by the number in it. Raises NotFound."""
    number = name.removeprefix("model_")
    if not (number.isascii() and number.isdecimal()) or len(number) > _LONGEST_ID:
        raise NotFound(f"{name!r} is no version; versions are named like model_12")
    return version_get(int(number))


def heads_known() -> list[str]:
    """Names of all heads that any loop has a version for: a loop that is added gets one for each of its heads."""
    return list(ModelVersion.objects.order_by("head").values_list("head", flat=True).distinct())


def version_arrays(version: ModelVersion) -> dict[str, np.ndarray]:
    """Stored arrays of a learned version, checked against their SHA-256."""
    return unpack_arrays(bytes(version.weights), version.weights_sha256)


def version_policy(version: ModelVersion) -> LinearPolicy:
    """The policy a version stands for."""
    spec = version.loop_version.spec
    if not version.is_learned:
        return reference_policy(spec, version.head)
    return policy_from_arrays(spec, version.head, version_arrays(version), hinges=bool(version.config["hinges"]))


def last_verdict(version: ModelVersion) -> GateVerdict | None:
    """The latest word of the outcome gate about a version, if there is one."""
    return version.verdicts.order_by("-attempt").first()


def model_gate_metrics(version: ModelVersion) -> list[ModelMetric]:
    """What the model gate said about a version when it was trained: against the reference, and against what served."""
    return list(version.metrics.filter(source=MODEL_GATE).order_by("id"))


def attempts_before(version: ModelVersion) -> int:
    """How often this loop and head ever asked its evaluation people, whichever version asked.

    A pass does not begin the count anew: the same people go on judging, so all attempts on them share one level.
    """
    asked = GateVerdict.objects.filter(
        version__loop_version__loop=version.loop_version.loop, version__head=version.head, release__isnull=False
    )
    return asked.count()


def versions_trained_on(*, person_id: int) -> list[ModelVersion]:
    """The versions that a person's data went into, by the releases that charged them; oldest first."""
    charged = LedgerEntry.objects.filter(person_id=person_id).exclude(release__state=ReleaseState.REFUNDED)
    found = ModelVersion.objects.filter(releases__in=charged.values("release_id")).distinct()
    return list(found.select_related("loop_version__loop").order_by("pk"))
