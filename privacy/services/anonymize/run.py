"""Anonymise people's records: charge the people, compute over exactly those people, and log the release permanently."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
from django.conf import settings
from django.db import DatabaseError, transaction

from core import clock
from core.digests import RELEASE_KEY, keyed
from core.durations import RECORDS_KEPT
from core.errors import Conflict, InputError, InsufficientData
from jobs.models import Job
from jobs.services import job_enqueue
from loops.models import LoopVersion
from privacy.engine.anonymize.columns import Column, columns_of
from privacy.engine.anonymize.protocol import Limits, Technique
from privacy.engine.anonymize.registry import check_options, technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Person, Purpose, Release, ReleaseState
from privacy.selectors.decisions import training_folds
from privacy.services.anonymize.cohort_sampling import cohort_sample, public_rate
from privacy.services.anonymize.compute import anonymize_compute, release_technique
from privacy.services.anonymize.contributors import contributors, paying_people
from privacy.services.anonymize.refusals import refusal_permit, refusal_record
from privacy.services.approvals.second_operator import second_operator
from privacy.services.budget.charge import cohort_refund
from privacy.services.releases.lifecycle import release_begin, release_commit, round_load, round_store
from privacy.services.releases.reservations import ANONYMIZE_JOB, job_key

LONGEST_RELEASE_KEY = 200  # characters


def anonymize(*, key: str, loop_version: LoopVersion, request: AnonymizeRequest) -> Release:
    """Anonymise records of people who consent to training, have budget, and are not in the evaluation folds.

    Idempotent by ``key``: a retry finishes or returns the first release and never samples again. Raises InputError,
    BudgetExceeded or InsufficientData with nothing charged, and KeyReused for a key that was used with another request.
    """
    return anonymize_finish(release=anonymize_begin(key=key, loop_version=loop_version, request=request))


def anonymize_begin(*, key: str, loop_version: LoopVersion, request: AnonymizeRequest) -> Release:
    """Charge the people of an anonymisation, or return the existing release with this key. Nothing is computed yet.

    Only people who contribute are charged. The log stores a keyed digest of ``key``, because a caller may write a name into it.
    """
    key = release_key(key)
    approval_of_release(key, loop_version, request)
    with refusal_permit(loop_version, key):
        return release_begin(**_asked(key, loop_version, request))


def _asked(key: str, loop_version: LoopVersion, request: AnonymizeRequest) -> dict[str, Any]:
    """Return the arguments of ``release_begin``. For a new release, people's records are read here, outside the charge."""
    columns, technique = asked_columns(loop_version, request), technique_of(request.technique, request.mode)
    fields = release_fields(request, columns)
    rate = public_rate(loop_version=loop_version, request=request) if technique.statistics else 1.0
    share = {"rate": rate} if technique.statistics else {}
    people = Person.objects.none()
    if not Release.objects.filter(key=key).exists():
        paying = paying_people(
            loop_version=loop_version, data_type=request.data_type, policy_nano=fields["policy_cost"],
            rho_nano=fields["rho"] or 0,
        )  # fmt: skip
        able = contributors(
            loop_version=loop_version, data_type=request.data_type, technique=technique, columns=columns, paying=paying
        )
        people = cohort_sample(key=key, people=able, request=request, rate=rate)
    return {
        "key": key,
        "loop_version": loop_version,
        "purpose": Purpose.TRAINING,
        "folds": training_folds(loop_version.spec),
        "fields": fields,
        "settled": share | dict(technique.settled(request, _today())),
        "among": lambda: people,
        "least": least_people(technique, request),
    }


def least_people(technique: Technique, request: AnonymizeRequest) -> int:
    """Return the public number of people below which an anonymisation is refused."""
    return max(settings.MIN_COHORT, technique.least_cohort(request))


def release_key(key: str) -> str:
    """Return what the permanent log stores of a caller's key. Raises InputError for an empty key or one above 200 characters."""
    if not 0 < len(key) <= LONGEST_RELEASE_KEY:
        raise InputError(f"a release's key has {len(key)} characters; use 1 to {LONGEST_RELEASE_KEY}")
    return f"anonymize-{keyed(RELEASE_KEY, key).hex()}"


def anonymize_enqueue(*, key: str, loop_version: LoopVersion, request: AnonymizeRequest) -> tuple[Release, Job]:
    """Charge the people and enqueue the job that computes, in one transaction. Idempotent by ``key``."""
    key = release_key(key)
    approval_of_release(key, loop_version, request)
    with refusal_permit(loop_version, key):
        return charge_and_enqueue(key, loop_version, request)


def charge_and_enqueue(key: str, loop_version: LoopVersion, request: AnonymizeRequest) -> tuple[Release, Job]:
    """Charge the people and enqueue the job that computes. Call it with a permit for a refusal. ``key``: of ``release_key``."""
    asked = _asked(key, loop_version, request)
    with transaction.atomic():
        release = release_begin(**asked)
        return release, job_enqueue(kind=ANONYMIZE_JOB, arguments={"release": release.pk}, key=job_key(release))


def approval_of_release(key: str, loop_version: LoopVersion, request: AnonymizeRequest) -> None:
    """Check a request, and that somebody approved it if it asks for more than the default privacy parameters.

    Rows without a formal guarantee are more than any parameters. A release that exists is charged already, and needs no approval.
    ``key``: of ``release_key``.
    Raises: InputError for an invalid request. SecondOperatorNeeded.
    """
    fields, default = asked_fields(loop_version, request), AnonymizeRequest(request.data_type, request.technique)
    epsilon, delta = fields["formal_epsilon"], fields["formal_delta"] or 0.0
    if epsilon is not None and epsilon <= default.epsilon and delta <= default.delta:
        return
    if not Release.objects.filter(key=key).exists():
        second_operator(loop=loop_version.loop, act="epsilon", seen={"loop": str(loop_version)})


def anonymize_finish(*, release: Release) -> Release:
    """Compute over the charged people, store the output once, and commit.

    If an error occurs before the output is stored, the charge is refunded. A committed release is returned unchanged. Raises
    Conflict for a refunded release.
    """
    if release.state == ReleaseState.COMMITTED:
        return release
    if release.state == ReleaseState.REFUNDED:
        raise Conflict(f"{release} was refunded, so nobody is charged for it; make the request again with a new key")
    try:
        _finish(release)
    except BaseException as error:
        # If another worker has stored the round meanwhile, its charge stays. If the refund fails now, a later sweep refunds it.
        with contextlib.suppress(Conflict, DatabaseError):
            if isinstance(
                error, InputError | InsufficientData
            ):  # it follows from people's records, like a refused charge
                refusal_record(release.loop_version, release.key, undo=lambda: cohort_refund(release=release))
            else:
                cohort_refund(release=release)
        raise
    release.refresh_from_db()
    return release


def _finish(release: Release) -> None:
    output, read = anonymize_compute(release)
    statistics = release_technique(release).statistics
    with transaction.atomic():
        expires = None if statistics else clock.now() + RECORDS_KEPT  # rows of people expire; statistics are permanent
        stored = round_store(
            release=release, index=0, arrays=output.arrays, expires_at=expires, read=None if statistics else read
        )
        people = float(stored["users"][0]) if statistics else None
        release_commit(release=release, noisy_users=people, facts=output.log)


def asked_columns(loop_version: LoopVersion, request: AnonymizeRequest) -> tuple[Column, ...]:
    """Check a request and return its columns. Raises InputError for an invalid request."""
    request.check()
    technique = technique_of(request.technique, request.mode)
    check_options(request)
    columns = columns_of(loop_version.spec, request.fields)
    if request.data_type == "categorical":
        columns = tuple(c for c in columns if c.categories)
        if not columns:
            raise InputError("dataType is categorical, but no field is a category; name a category or change dataType")
    technique.check(request, columns)
    return columns


def asked_fields(loop_version: LoopVersion, request: AnonymizeRequest) -> dict[str, Any]:
    """Check a request against all that is public, and return its fields of the log. Raises InputError for an invalid request."""
    return release_fields(request, asked_columns(loop_version, request))


def release_fields(request: AnonymizeRequest, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return technique, mechanism, parameters, charge and guarantee, for the log.

    Raises InputError for a request above the platform's limits.
    """
    technique = technique_of(request.technique, request.mode)
    cost = technique.cost(request, Limits(settings.MAX_PRIVACY_EPSILON, settings.MAX_PRIVACY_DELTA))
    mode = {} if technique.mode is None else {"mode": technique.mode}
    return {
        "technique": technique.name,
        "data_type": request.data_type,
        "parameters": request.as_logged(columns) | mode | dict(technique.logged(request, columns)),
        "mechanism": technique.mechanism,
        "neighbouring": technique.neighbouring,
        "policy_cost": cost.policy_nano,
        "rho": cost.rho_nano,
        "formal_epsilon": cost.epsilon,
        "formal_delta": cost.delta,
        "guarantee": technique.guarantee(request),
        "library_version": f"{technique.library} {version(technique.library)}" if technique.library else "",
    }


def _today() -> date:
    return clock.now().date()


def anonymized(release: Release) -> Mapping[str, np.ndarray] | None:
    """Return the stored output of a release, or None if it is not committed. Raises Conflict for rows that have expired."""
    return round_load(release=release, index=0) if release.state == ReleaseState.COMMITTED else None
