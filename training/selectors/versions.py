"""Read model versions, their policies, verdicts and metrics."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from core.arrays import unpack_arrays
from core.errors import NotFound
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, policy_from_arrays, reference_policy
from privacy.models import LedgerEntry, ReleaseState
from training.models import MODEL_GATE, OUTCOME_GATE, TRIAL_GATE, GateVerdict, ModelMetric, ModelVersion, version_name

_LONGEST_ID = 15  # digits


def version_get(pk: int) -> ModelVersion:
    """Return one version by id. Raises NotFound."""
    version = ModelVersion.objects.select_related("loop_version__loop").filter(pk=pk).first()
    if version is None:
        raise NotFound(f"there is no version {version_name(pk)}; the admin lists all versions")
    return version


def versions_with(pks: Collection[int], *, at_hand: ModelVersion) -> dict[int, ModelVersion]:
    """Return versions by id. The already loaded ``at_hand`` is not read again."""
    return ModelVersion.objects.in_bulk(set(pks) - {at_hand.pk}) | {at_hand.pk: at_hand}


def version_named(name: str) -> ModelVersion:
    """Return one version by its name, such as ``model_12``, or by the number in it. Raises NotFound."""
    number = name.removeprefix("model_")
    if not (number.isascii() and number.isdecimal()) or len(number) > _LONGEST_ID:
        raise NotFound(f"{name!r} is not the name of a version; versions have names like model_12")
    return version_get(int(number))


def heads_known() -> list[str]:
    """Return the names of all heads that have a version. Each added loop gets one for every head."""
    return list(ModelVersion.objects.order_by("head").values_list("head", flat=True).distinct())


def version_arrays(version: ModelVersion) -> dict[str, np.ndarray]:
    """Load the stored arrays of a learned version and check their SHA-256."""
    return unpack_arrays(bytes(version.weights), version.weights_sha256)


def version_policy(version: ModelVersion) -> LinearPolicy:
    """Return the policy of a version, learned or reference."""
    spec = version.loop_version.spec
    if not version.is_learned:
        return reference_policy(spec, version.head)
    return policy_from_arrays(spec, version.head, version_arrays(version), hinges=bool(version.config["hinges"]))


def last_verdict(version: ModelVersion) -> GateVerdict | None:
    """Return the outcome gate's latest verdict on a version, or None."""
    return version.verdicts.order_by("-attempt").first()


def model_gate_metrics(version: ModelVersion) -> list[ModelMetric]:
    """Return a version's model gate metrics: against the reference and, if there was one, against the incumbent."""
    return list(version.metrics.filter(source=MODEL_GATE).order_by("id"))


def attempts_before(version: ModelVersion) -> int:
    """Count the charged evaluations of this loop and head so far, of all versions.

    A pass does not reset the count: the same people judge the next version, so all attempts share one level.
    """
    evaluations = GateVerdict.objects.filter(
        version__loop_version__loop=version.loop_version.loop, version__head=version.head, release__isnull=False
    )
    return evaluations.count()


def conceded_before(incumbent: ModelVersion | None, head: str) -> float:
    """Return how far the incumbent may lie below the last version that was proven better, in reward scales.

    A deployment over an incumbent needs to be not worse by a margin. Each such step may lose what its lower bound allows, and the
    steps since the last proven improvement add up. The first deployment was proven better than the reference.
    """
    name, conceded = "improvement" if head == MAIN_HEAD else f"improvement_{head}", 0.0
    while incumbent is not None and incumbent.parent is not None:
        metrics = {m.source: m for m in incumbent.metrics.filter(source__in=(TRIAL_GATE, OUTCOME_GATE), name=name)}
        metric = metrics.get(TRIAL_GATE) or metrics.get(OUTCOME_GATE)
        low = metric.low / incumbent.loop_version.spec.reward.scale if metric and metric.low is not None else 0.0
        if low > 0:
            break
        conceded += -low
        incumbent = incumbent.parent
    return conceded


def versions_trained_on(*, person_id: int) -> list[ModelVersion]:
    """Return the versions trained on a person's data, versions through the releases that charged them, oldest first."""
    charged = LedgerEntry.objects.filter(person_id=person_id).exclude(release__state=ReleaseState.REFUNDED)
    versions = ModelVersion.objects.filter(releases__in=charged.values("release_id")).distinct()
    return list(versions.select_related("loop_version__loop").order_by("pk"))
