"""Anonymising people's records: charged, computed over exactly the charged people, logged for good. Four techniques."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from core.errors import Conflict, InputError
from jobs.models import Job
from jobs.services import job_enqueue
from loops.models import LoopVersion
from privacy.engine.anonymize.central import central_parameters
from privacy.engine.anonymize.columns import Column, columns_of
from privacy.engine.anonymize.request import (
    GENERALIZATION,
    K_ANONYMITY,
    POLICY_NANO,
    PSEUDONYMIZATION,
    AnonymizeRequest,
    informal_guarantee,
    local_guarantee,
)
from privacy.engine.dp.accounting import charge_pure, guarantee
from privacy.models import Purpose, Release, ReleaseState
from privacy.selectors.decisions import training_folds
from privacy.selectors.retention import EXPORTS_KEPT
from privacy.services.anonymize.cohort_sampling import cohort_sample, public_rate
from privacy.services.anonymize.pseudonyms import current_epoch, epoch_check
from privacy.services.anonymize.run import anonymize_compute
from privacy.services.budget.charge import cohort_refund
from privacy.services.releases.lifecycle import (
    calibration_asked,
    release_begin,
    release_commit,
    round_load,
    round_store,
)
from privacy.services.releases.reservations import ANONYMIZE_JOB, job_key

MECHANISMS = {
    K_ANONYMITY: "Mondrian over distinct users",
    PSEUDONYMIZATION: "HMAC-SHA-256 of the person, keyed by purpose and epoch",
    GENERALIZATION: "the loop's hierarchy",
}


def anonymize(*, key: str, loop_version: LoopVersion, wanted: AnonymizeRequest) -> Release:
    """Anonymise by ``wanted``; idempotent by ``key``: a retry finishes or returns the first and never samples again.

    Of people who consent to training, have budget, and do not judge candidates. Raises InputError, BudgetExceeded or
    InsufficientData with nothing charged; Conflict for a key that was used for something else.
    """
    return anonymize_finish(release=anonymize_begin(key=key, loop_version=loop_version, wanted=wanted))


def anonymize_begin(*, key: str, loop_version: LoopVersion, wanted: AnonymizeRequest) -> Release:
    """Charge the people of an anonymisation, or find the one of the key. Nothing is read or computed yet."""
    columns = asked_columns(loop_version, wanted)
    rate = public_rate(loop_version=loop_version, wanted=wanted) if wanted.is_central else 1.0
    return release_begin(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.TRAINING,
        folds=training_folds(loop_version.spec),
        fields=release_fields(wanted, columns),
        settled=_settled(wanted, rate),
        among=lambda: cohort_sample(key=key, loop_version=loop_version, wanted=wanted, rate=rate),
        least=max(settings.MIN_COHORT, wanted.k if wanted.technique == K_ANONYMITY else 1),
    )


@transaction.atomic
def anonymize_enqueue(*, key: str, loop_version: LoopVersion, wanted: AnonymizeRequest) -> tuple[Release, Job]:
    """Charge, and queue the job that computes, both or neither; the ones of the key where there are some."""
    release = anonymize_begin(key=key, loop_version=loop_version, wanted=wanted)
    return release, job_enqueue(kind=ANONYMIZE_JOB, arguments={"release": release.pk}, key=job_key(release))


def anonymize_finish(*, release: Release) -> Release:
    """Compute over the charged people, store once, commit. Whatever goes wrong before something is stored, they get their charge
    back. A release that is committed stays as it is; Conflict for one that was refunded.
    """
    if release.state == ReleaseState.COMMITTED:
        return release
    if release.state == ReleaseState.REFUNDED:
        raise Conflict(f"{release} was refunded, so nobody is charged for it; ask again with a new key")
    try:
        _finish(release)
    except BaseException:
        # A round that another worker stored meanwhile keeps its charge; what cannot be given back now, a sweep gives back.
        with contextlib.suppress(Conflict, DatabaseError):
            cohort_refund(release=release)
        raise
    release.refresh_from_db()
    return release


def _finish(release: Release) -> None:
    arrays, facts = anonymize_compute(release)
    statistics = release.parameters.get("mode") == "central"
    with transaction.atomic():
        expires = None if statistics else timezone.now() + EXPORTS_KEPT  # rows of people; statistics are kept for good
        stored = round_store(release=release, index=0, arrays=arrays, expires_at=expires)
        release_commit(release=release, noisy_users=float(stored["users"][0]) if statistics else None, facts=facts)


def asked_columns(loop_version: LoopVersion, wanted: AnonymizeRequest) -> tuple[Column, ...]:
    """The columns of a request. Raises InputError for what cannot be."""
    wanted.check()
    columns = columns_of(loop_version.spec, wanted.fields)
    if wanted.data_type == "categorical":
        columns = tuple(c for c in columns if c.categories)
        if not columns:
            raise InputError("none of the fields is a category; ask for another dataType")
    if wanted.sensitive is not None and wanted.sensitive not in {c.name for c in columns if c.categories}:
        raise InputError(f"sensitive is {wanted.sensitive!r}; it is one of the categories among the fields")
    if wanted.sensitive is not None and len(columns) == 1:
        raise InputError("beside the sensitive field there must be others")
    if wanted.technique == PSEUDONYMIZATION and wanted.epoch:
        epoch_check(wanted.epoch)
    return columns


def release_fields(wanted: AnonymizeRequest, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Technique, mechanism, parameters, charge and guarantee, as the log keeps them. Raises InputError."""
    parameters = wanted.parameters(columns)
    fields: dict[str, Any] = {"technique": wanted.technique, "data_type": wanted.data_type, "parameters": parameters}
    if wanted.is_central:
        central = calibration_asked(epsilon=wanted.epsilon, delta=wanted.delta)
        parameters |= central_parameters(columns)
        fields |= {
            "mechanism": "statistics: discrete Gaussian on user-level sums",
            "policy_cost": central.policy_nano, "rho": central.rho_nano, "formal_epsilon": central.epsilon,
            "formal_delta": central.delta, "guarantee": guarantee(central), "library_version": f"opendp {version('opendp')}",
        }  # fmt: skip
    elif wanted.is_local:
        pure = charge_pure(epsilon=wanted.epsilon, maximum=settings.MAX_PRIVACY_EPSILON)
        fields |= {
            "mechanism": "rows: discrete Laplace and randomised response",
            "neighbouring": "replace one user's values", "policy_cost": pure.policy_nano, "rho": pure.rho_nano,
            "formal_epsilon": pure.epsilon, "formal_delta": 0.0, "guarantee": local_guarantee(pure.epsilon, wanted.rows),
        }  # fmt: skip
    else:
        fields |= {
            "mechanism": MECHANISMS[wanted.technique],
            "neighbouring": "none",
            "policy_cost": POLICY_NANO[wanted.technique],
            "guarantee": informal_guarantee(wanted),
        }
    return fields


def _settled(wanted: AnonymizeRequest, rate: float) -> Mapping[str, Any]:
    """What the request left open, as it is on the day of the charge: a retry takes it as it was then."""
    if wanted.technique == PSEUDONYMIZATION and not wanted.epoch:
        return {"epoch": current_epoch()}
    return {"rate": rate} if wanted.is_central else {}


def anonymized(release: Release) -> Mapping[str, np.ndarray] | None:
    """The stored output of a release, or None while it is not committed. Raises Conflict for rows that have expired."""
    return round_load(release=release, index=0) if release.state == ReleaseState.COMMITTED else None
