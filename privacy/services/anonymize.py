"""Anonymising people's records: charged, computed over exactly the charged people, logged for good. Four techniques."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from loops.models import LoopVersion
from privacy.engine.accounting import calibrate, charge_pure, guarantee, rho_of_pure
from privacy.engine.central import central_parameters, central_release, central_totals
from privacy.engine.columns import Column, columns_of
from privacy.engine.generalize import generalize
from privacy.engine.k_anonymity import mondrian
from privacy.engine.local_dp import local_rows
from privacy.engine.rounding import about
from privacy.engine.techniques import (
    GENERALIZATION,
    K_ANONYMITY,
    POLICY_NANO,
    PSEUDONYMIZATION,
    Wanted,
    informal_guarantee,
    local_guarantee,
)
from privacy.models import Person, Purpose, Release, ReleaseState
from privacy.selectors import charged_person_ids, training_folds
from privacy.services.ledger import cohort_refund, consented
from privacy.services.pseudonyms import current_epoch, pseudonyms
from privacy.services.records import Records, people_with_records, records_of
from privacy.services.release import release_begin, release_commit, round_load, round_store
from r3al_project.common.errors import InputError, InsufficientData

KEPT = timedelta(days=90)  # rows of people; statistics are kept for good
Arrays = dict[str, np.ndarray]


def anonymize(*, key: str, loop_version: LoopVersion, wanted: Wanted) -> Release:
    """Anonymise by ``wanted``; idempotent by ``key``: a retry finishes or returns the first and never samples again.

    Of people who consent to training, have budget, and do not judge candidates. Raises InputError, BudgetExceeded or
    InsufficientData with nothing charged; Conflict for a key that was used for something else.
    """
    wanted, columns = settled(loop_version, wanted)
    release = release_begin(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.TRAINING,
        folds=training_folds(loop_version.spec),
        fields=release_fields(wanted, columns),
        among=lambda: _drawn(loop_version, wanted),
        least=max(settings.MIN_COHORT, wanted.k if wanted.technique == K_ANONYMITY else 1),
    )
    if release.state == ReleaseState.RESERVED:
        _finish(release, wanted, columns)
    return release


def _finish(release: Release, wanted: Wanted, columns: tuple[Column, ...]) -> None:
    """Compute over the charged people, store once, commit. What cannot be computed, which shows before any noise, is refunded."""
    try:
        records = _records(release, wanted, columns)
        arrays, facts = _COMPUTED[_kind(wanted)](release, records, wanted, columns)
    except (InputError, InsufficientData):
        cohort_refund(release=release)
        raise
    expires = None if wanted.is_central else timezone.now() + KEPT
    with transaction.atomic():
        stored = round_store(release=release, index=0, arrays=arrays, expires_at=expires)
        noisy = float(stored["users"][0]) if wanted.is_central else None
        release_commit(release=release, noisy_users=noisy, facts=facts)
    release.refresh_from_db()


def _records(release: Release, wanted: Wanted, columns: tuple[Column, ...]) -> Records:
    found = records_of(
        loop_version=release.loop_version,
        data_type=wanted.data_type,
        person_ids=charged_person_ids(release=release).tolist(),
        columns=columns,
        rows=_ALL_ROWS if wanted.is_central else wanted.rows,
    )
    if not len(found.values):
        raise InsufficientData(
            "no record has all these fields, so nothing was released or charged; name fewer fields, or ask for another dataType"
        )
    return found


def settled(loop_version: LoopVersion, wanted: Wanted) -> tuple[Wanted, tuple[Column, ...]]:
    """The request with what it leaves open filled in, and its columns. Raises InputError."""
    wanted.check()
    columns = columns_of(loop_version.spec, wanted.fields)
    if wanted.data_type == "categorical":
        columns = tuple(c for c in columns if c.categories)
        if not columns:
            raise InputError("none of the fields is a category; ask for another dataType")
    if wanted.sensitive is not None and wanted.sensitive not in {c.name for c in columns if c.categories}:
        raise InputError(f"sensitive is {wanted.sensitive!r}; it is one of the categories among the fields")
    if wanted.technique == PSEUDONYMIZATION and not wanted.epoch:
        wanted = replace(wanted, epoch=current_epoch())
    return wanted, columns


def release_fields(wanted: Wanted, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Technique, mechanism, parameters, charge and guarantee, as the log keeps them. Raises InputError."""
    parameters = wanted.parameters(columns)
    fields: dict[str, Any] = {"technique": wanted.technique, "data_type": wanted.data_type, "parameters": parameters}
    maximum = settings.MAX_PRIVACY_EPSILON
    if wanted.is_central:
        central = calibrate(epsilon=wanted.epsilon, delta=wanted.delta, maximum=maximum)
        parameters |= central_parameters(columns)
        fields |= {
            "mechanism": "statistics: discrete Gaussian on user-level sums",
            "policy_cost": central.policy_nano, "rho": central.rho_nano, "formal_epsilon": central.epsilon,
            "formal_delta": central.delta, "guarantee": guarantee(central), "library_version": f"opendp {version('opendp')}",
        }  # fmt: skip
    elif wanted.is_local:
        pure = charge_pure(epsilon=wanted.epsilon, maximum=maximum)
        fields |= {
            "mechanism": "rows: discrete Laplace and randomised response",
            "neighbouring": "replace one user's values", "policy_cost": pure.policy_nano, "rho": pure.rho_nano,
            "formal_epsilon": pure.epsilon, "formal_delta": 0.0, "guarantee": local_guarantee(pure.epsilon, wanted.rows),
        }  # fmt: skip
    else:
        fields |= {
            "mechanism": _MECHANISMS[wanted.technique],
            "neighbouring": "none",
            "policy_cost": POLICY_NANO[wanted.technique],
            "guarantee": informal_guarantee(wanted),
        }
    return fields


_MECHANISMS = {
    K_ANONYMITY: "Mondrian over distinct users",
    PSEUDONYMIZATION: "HMAC-SHA-256 of the person, keyed by purpose and epoch",
    GENERALIZATION: "the loop's hierarchy",
}


def _drawn(loop_version: LoopVersion, wanted: Wanted) -> QuerySet[Person]:
    """Who may be charged: everybody with records, or so many of those who consent, drawn by the operating system's randomness."""
    people = people_with_records(loop_version=loop_version, data_type=wanted.data_type)
    if wanted.samples is None:
        return people
    low, high = training_folds(loop_version.spec)
    population = loop_version.spec.population
    willing = people.filter(
        population=population, fold__gte=low, fold__lt=high,
        pk__in=consented(Purpose.TRAINING).values("person_id"),
    )  # fmt: skip
    ids = list(willing.values_list("pk", flat=True))
    if len(ids) > wanted.samples:
        ids = secrets.SystemRandom().sample(ids, wanted.samples)
    return people.filter(pk__in=ids)


_ALL_ROWS = 1_000_000


def _kind(wanted: Wanted) -> str:
    return "central" if wanted.is_central else "local" if wanted.is_local else wanted.technique


def _central(release: Release, records: Records, wanted: Wanted, columns: tuple[Column, ...]) -> tuple[Arrays, Any]:
    epsilon, delta = release.formal_epsilon or 0.0, release.formal_delta or 0.0
    sigma = calibrate(epsilon=epsilon, delta=delta, maximum=epsilon).sigma
    return central_release(central_totals(records.values, records.people, columns), columns, sigma), {}


def _local(release: Release, records: Records, wanted: Wanted, columns: tuple[Column, ...]) -> tuple[Arrays, Any]:
    made = local_rows(records.values, columns=columns, epsilon=(release.formal_epsilon or 0.0) / wanted.rows)
    width = np.array([c.high - c.low for c in columns])
    lost = np.where(np.isnan(made.sd), made.flip, np.minimum(1.0, made.sd / width))
    rho = np.array([rho_of_pure(made.epsilon * wanted.rows)])
    return {"values": made.values, "rows_rho": rho}, _facts(records, len(made.values), float(lost.mean()))


def _k_anonymous(release: Release, records: Records, wanted: Wanted, columns: tuple[Column, ...]) -> tuple[Arrays, Any]:
    place = next((j for j, c in enumerate(columns) if c.name == wanted.sensitive), None)
    quasi = [j for j in range(len(columns)) if j != place]
    if not quasi:
        raise InputError("beside the sensitive field there must be others")
    sensitive = None if place is None else records.values[:, place].astype(np.int64)
    made = mondrian(
        records.values[:, quasi], columns=[columns[j] for j in quasi], users=records.people, k=wanted.k,
        sensitive=sensitive, diversity=wanted.diversity,
    )  # fmt: skip
    low, high = records.values.copy(), records.values.copy()
    low[:, quasi], high[:, quasi] = made.low, made.high
    order = np.lexsort(np.flip(low, axis=1).T)  # the order in which records were read says nothing any more
    return {"low": low[order], "high": high[order]}, _facts(records, len(low), made.loss)


def _pseudonymous(
    release: Release, records: Records, wanted: Wanted, columns: tuple[Column, ...]
) -> tuple[Arrays, Any]:
    names = pseudonyms(records.people.tolist(), purpose=release.purpose, epoch=wanted.epoch)
    order = np.lexsort((names[:, 1], names[:, 0]))
    made = {"pseudonym": names[order], "values": records.values[order], "day": records.days[order]}
    return made, _facts(records, len(names), 0.0)


def _generalized(release: Release, records: Records, wanted: Wanted, columns: tuple[Column, ...]) -> tuple[Arrays, Any]:
    made = generalize(records.values, columns)
    order = np.lexsort(np.flip(made.low, axis=1).T)
    return {"low": made.low[order], "high": made.high[order]}, _facts(records, len(made.low), made.loss)


_COMPUTED: dict[str, Callable[[Release, Records, Wanted, tuple[Column, ...]], tuple[Arrays, Any]]] = {
    "central": _central,
    "local": _local,
    K_ANONYMITY: _k_anonymous,
    PSEUDONYMIZATION: _pseudonymous,
    GENERALIZATION: _generalized,
}


def _facts(records: Records, rows_out: int, loss: float) -> dict[str, Any]:
    rows_in = about(len(records.values) + records.left_out)
    return {"rows_in": rows_in, "rows_out": about(rows_out), "information_loss": loss}


def anonymized(release: Release) -> Arrays | None:
    """The stored output of a release, or None while it is not committed. Raises Conflict for rows that have expired."""
    return round_load(release=release, index=0) if release.state == ReleaseState.COMMITTED else None
