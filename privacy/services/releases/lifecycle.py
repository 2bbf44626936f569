"""The lifecycle of a release: reserve and charge, store each round once, commit. No retry releases a second sample."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from importlib.metadata import version
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from core import clock
from core.arrays import Array, Ints, pack_arrays, unpack_arrays
from core.errors import Conflict, InputError, InsufficientData, KeyReused
from loops.models import LoopVersion
from privacy.engine.anonymize.central_dp import DIFFERENTIAL_PRIVACY
from privacy.engine.dp.accounting import NANO, Calibration, calibrate, calibration_part, guarantee, sigma_of_rho
from privacy.models import (
    LedgerEntry,
    Person,
    PrivacyBudget,
    Purpose,
    Release,
    ReleaseRound,
    ReleaseState,
    VaultKind,
)
from privacy.models.person import FOLDS
from privacy.selectors.exports import round_output
from privacy.selectors.payable import cohort_people, payable
from privacy.selectors.releases import consenting_person_ids
from privacy.services.budget.charge import cohort_charge, cohort_refund
from privacy.services.releases.sealed_exports import output_store
from privacy.services.vault.append import vault_append
from privacy.services.vault.stored_rows import RELEASES, ROUNDS, cohort_entry

LEAST_CHARGED = 10  # people; an interval needs eight degrees of freedom, so at least nine people


def release_reserve(
    *,
    key: str,
    loop_version: LoopVersion,
    purpose: Purpose,
    folds: tuple[int, int],
    epsilon: float,
    delta: float,
    mechanism: str,
    parameters: dict[str, Any],
    among: Callable[[], QuerySet[Person]] | None = None,
    least: int = 1,
    share: Fraction = Fraction(1),
) -> Release:
    """Create a Gaussian release and charge its cohort, in one transaction. Idempotent by ``key``.

    ``share``: the part of (epsilon, delta) that this release spends, if others on the same people spend the rest.
    The cohort is the people of the loop's population with fold in [lo, hi) who have a decision, or those of ``among``. Raises
    InputError for parameters out of range, KeyReused when the key belongs to a release with other parameters, and Conflict when
    it belongs to a refunded one. Raises BudgetExceeded when nobody could be charged, and InsufficientData when fewer than
    ``least`` people could be.
    """
    calibration = calibration_part(calibration_asked(epsilon=epsilon, delta=delta), share)
    fields = {
        "technique": DIFFERENTIAL_PRIVACY,
        "mechanism": mechanism,
        "parameters": parameters,
        "policy_cost": calibration.policy_nano,
        "rho": calibration.rho_nano,
        "formal_epsilon": float(calibration.epsilon),
        "formal_delta": float(calibration.delta),
        "guarantee": guarantee(calibration),
        "library_version": f"opendp {version('opendp')}",
    }
    return release_begin(
        key=key, loop_version=loop_version, purpose=purpose, folds=folds, fields=fields, among=among, least=least
    )


def calibration_asked(*, epsilon: float, delta: float) -> Calibration:
    """Return noise and charge for a requested epsilon and delta. Raises InputError for values above the platform's limits."""
    most_epsilon, most_delta = settings.MAX_PRIVACY_EPSILON, settings.MAX_PRIVACY_DELTA
    return calibrate(epsilon=epsilon, delta=delta, maximum=most_epsilon, maximum_delta=most_delta)


def enough_payable(
    *, among: QuerySet[Person], loop_version: LoopVersion, purpose: Purpose, folds: tuple[int, int], charge: Calibration,
    least: int,
) -> bool:  # fmt: skip
    """Return whether a release could be charged now: ``least`` of these people consent and have budget for it.

    It is the condition of the charge itself, so nothing is begun that the charge would refuse.
    """
    people = cohort_people(loop_version, loop_version.spec.population, folds, among).values("pk")
    able = payable(policy_nano=charge.policy_nano, rho_nano=charge.rho_nano, purpose=purpose)
    return able.filter(person_id__in=people)[:least].count() >= least


def release_sigma(release: Release) -> float:
    """Return the noise multiplier that a release was charged for. Raises Conflict for a release without a formal guarantee."""
    if release.rho is None:
        raise Conflict(f"{release} has no formal guarantee, so it has no noise scale")
    return sigma_of_rho(release.rho)


def release_begin(
    *,
    key: str,
    loop_version: LoopVersion,
    purpose: Purpose,
    folds: tuple[int, int],
    fields: Mapping[str, Any],
    settled: Mapping[str, Any] | None = None,
    among: Callable[[], QuerySet[Person]] | None = None,
    least: int = 1,
) -> Release:
    """Create a release with ``fields`` and charge its cohort, in one transaction; or return the existing one with this key.

    ``settled`` are parameters that the request left open, so a retry need not repeat them. ``among`` is called for a new release
    and returns the people who may be in it, instead of everybody with a decision.
    Raises InputError for an invalid key or folds, KeyReused when the key belongs to a release with other parameters, and Conflict
    when it belongs to a refunded one. Raises BudgetExceeded when nobody could be charged, and InsufficientData when fewer than
    ``least`` people could be.
    """
    if not 0 < len(key) <= 120:
        raise InputError(f"a release's key has {len(key)} characters; use 1 to 120")
    low, high = folds
    if not 0 <= low < high <= FOLDS:
        raise InputError(f"folds [{low}, {high}) are invalid; they must lie within [0, {FOLDS}) and not be empty")
    requested = {**fields, "loop_version": loop_version, "purpose": Purpose(purpose).value}
    requested["parameters"] = _plain({**fields["parameters"], "folds": [low, high]})
    new = {**requested, "parameters": requested["parameters"] | _plain(settled or {})}
    with transaction.atomic():
        release, created = Release.objects.get_or_create(key=key, defaults=new)
        if created:
            population, people = loop_version.spec.population, None if among is None else among()
            charged = cohort_charge(release=release, population=population, folds=folds, purpose=purpose, among=people)
            if charged < least:
                raise InsufficientData(
                    f"at least {least} people with usable records must consent and have budget left, but fewer do, so nothing "
                    "was charged; wait for more people or for budgets to renew"
                )
            _record_charge(release)
    if not created:
        _check_same(release, requested)
    return release


def unended_check(key: str) -> None:
    """Raise InsufficientData if this key's release ended without a result, as ``usable_check`` does before a retry."""
    state = Release.objects.filter(key=key).values_list("state", flat=True).first()
    if state == ReleaseState.REFUNDED:
        raise InsufficientData("everybody was refunded before anything was read; start another turn")
    if state == ReleaseState.ABANDONED:
        raise InsufficientData(
            "the release was abandoned after noise was drawn, so it has no result; start another turn"
        )


def usable_check(release: Release, users: int) -> None:
    """Refund a release without a stored round, and raise InsufficientData, if fewer than ``LEAST_CHARGED`` people have a row.

    ``users`` is the number of charged people with a row after their outcomes were opened: an outcome may hold no reward.
    """
    if users >= LEAST_CHARGED or ReleaseRound.objects.filter(release=release).exists():
        return
    cohort_refund(release=release)
    raise InsufficientData(
        f"fewer than {LEAST_CHARGED} of the people in this release have a decision with an observed reward, so everybody was "
        "refunded; import or wait for rewards, and start again"
    )


@transaction.atomic
def round_store(
    *,
    release: Release,
    index: int,
    arrays: Mapping[str, np.ndarray],
    expires_at: datetime | None = None,
    read: Ints | None = None,
) -> dict[str, Array]:
    """Store one round's output once, and return the stored output. An earlier output of the round is never replaced.

    Every ``*_rho`` array states what its block spent. The rounds of a release together cannot spend more than was charged.
    Output with ``expires_at`` holds rows of the people ``read`` (ids (n,); None: everybody charged). Raises Conflict when the
    release is not reserved, and for rows of a person who was erased or withdrew meanwhile. Raises InputError for arrays that
    state no rho, or more than was charged.
    """
    state = Release.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=release.pk)
    stored = round_load(release=release, index=index)
    if stored is not None:
        return stored
    if state != ReleaseState.RESERVED:
        raise Conflict(f"{release} is {state}; a round is stored only while its release is reserved")
    _check_spent(release, arrays)
    if expires_at is not None:
        _check_nobody_left(release, read)
    blob = pack_arrays(arrays)
    stored_round = output_store(release=release, index=index, output=blob, expires_at=expires_at)
    vault_append(
        kind=VaultKind.RELEASE,
        body={"release": release.pk, "round": index, "output": stored_round.output_sha256},
        rows=ROUNDS.entries(ReleaseRound.objects.filter(pk=stored_round.pk)),
    )
    return unpack_arrays(blob)


def round_load(*, release: Release, index: int) -> dict[str, Array] | None:
    """Return the stored output of one round, checked against its SHA-256, or None. Raises Conflict for rows that have expired."""
    stored = ReleaseRound.objects.filter(release=release, index=index).select_related("export_key").first()
    if stored is not None and not stored.output and stored.expires_at is not None:
        raise Conflict(
            f"the rows of {release} have expired and only its log entry is left; make a new release with a new key"
        )
    return None if stored is None else unpack_arrays(round_output(stored), stored.output_sha256)


@transaction.atomic
def release_commit(*, release: Release, noisy_users: float | None, facts: Mapping[str, Any] | None = None) -> None:
    """Commit a reserved release. Committing again changes nothing.

    ``noisy_users`` is the noised number of people, None for a technique without noise. ``facts`` are further columns of the log.
    Raises Conflict when the release was refunded or has no stored round.
    """
    if noisy_users is not None and not math.isfinite(noisy_users):
        raise InputError(f"the noised number of people of {release} is {noisy_users}; it must be finite")
    if not ReleaseRound.objects.filter(release=release).exists():
        raise Conflict(f"{release} has no stored round, so it cannot be committed; run it again to finish it")
    committed = Release.objects.filter(pk=release.pk, state=ReleaseState.RESERVED).update(
        state=ReleaseState.COMMITTED, noisy_users=noisy_users, committed_at=clock.now(), **(facts or {})
    )
    release.refresh_from_db()
    if committed:
        release_record(release)
    if release.state != ReleaseState.COMMITTED:
        raise Conflict(f"{release} is {release.state}; only a reserved release can be committed")


def _record_charge(release: Release) -> None:
    """Record in the Trust Vault what was charged, with a commitment to who was charged. Nothing was computed yet."""
    vault_append(
        kind=VaultKind.RELEASE,
        body={
            "release": release.pk, "state": ReleaseState.RESERVED.value, "loop": str(release.loop_version),
            "purpose": release.purpose, "policy_nano": release.policy_cost, "rho_nano": release.rho,
        },
        rows=RELEASES.entries(Release.objects.filter(pk=release.pk)) | cohort_entry(release.pk),
    )  # fmt: skip


def release_record(release: Release, sums: Mapping[str, int] | None = None) -> None:
    """Record a release's state in the Trust Vault. The number of people is the noised one.

    Args: sums: of rows that the same act changed.
    """
    rounds = ReleaseRound.objects.filter(release=release).order_by("index").values_list("output_sha256", flat=True)
    vault_append(
        kind=VaultKind.RELEASE,
        body={
            "release": release.pk, "state": release.state, "loop": str(release.loop_version), "purpose": release.purpose,
            "mechanism": release.mechanism, "policy_nano": release.policy_cost, "rho_nano": release.rho,
            "guarantee": release.guarantee, "about_people": round(release.noisy_users or 0), "outputs": list(rounds),
        },
        rows=RELEASES.entries(Release.objects.filter(pk=release.pk)),
        sums=sums,
    )  # fmt: skip


def _check_same(release: Release, fields: dict[str, Any]) -> None:
    """Check that a retry has the same parameters as the stored release in everything that the caller chose.

    Raises KeyReused for other parameters, and Conflict for a release that ended without a result.
    """
    chosen = ("loop_version", "purpose", "technique", "mechanism", "formal_epsilon", "formal_delta")
    different = [name for name in chosen if getattr(release, name) != fields.get(name)]
    parameters = fields["parameters"]
    if {name: release.parameters.get(name) for name in parameters} != parameters:
        different.append("parameters")
    if different:
        raise KeyReused(f"release {release.key!r} exists with another {' and '.join(different)}; use a new key")
    if release.state in (ReleaseState.REFUNDED, ReleaseState.ABANDONED):
        raise Conflict(f"release {release.key!r} was {release.state}; use a new key")


def _check_nobody_left(release: Release, read: Ints | None) -> None:
    """Raise Conflict if a charged person was erased since the charge, or a person ``read`` withdrew. Locks the budgets of all.

    Under these locks an erasure has either ended before and is visible here, or waits and then empties the stored rows. A person
    who registered again after an erasure has a newer ``created_at``, so that erasure is detected too.
    """
    people = LedgerEntry.objects.filter(release=release).values("person_id")
    budgets = PrivacyBudget.objects.filter(person_id__in=people).order_by("person_id")
    for _ in budgets.select_for_update().values_list("pk").iterator(chunk_size=10_000):
        pass
    erased = Q(erased_at__isnull=False) | Q(created_at__gt=release.created_at)
    if Person.objects.filter(erased, pk__in=people).exists():
        raise Conflict(
            f"a person in {release} was erased while its rows were computed, so nothing was stored; try again with a new key"
        )
    if read is not None and not np.isin(read, consenting_person_ids(release=release)).all():
        raise Conflict(
            f"a person in {release} withdrew consent while its rows were computed, so nothing was stored; try again with a new "
            "key"
        )


def _check_spent(release: Release, arrays: Mapping[str, np.ndarray]) -> None:
    if release.rho is None:
        return  # a technique without a formal guarantee spends none
    if not any(name.endswith("_rho") for name in arrays):
        raise InputError(f"a round of {release} does not state its rho, so it cannot be stored")
    rounds = ReleaseRound.objects.filter(release=release).select_related("export_key")
    earlier = [unpack_arrays(round_output(r), r.output_sha256) for r in rounds]
    spent = [float(v) for a in (*earlier, arrays) for name in a if name.endswith("_rho") for v in np.ravel(a[name])]
    if not all(math.isfinite(rho) and rho > 0 for rho in spent):
        raise InputError(
            f"a round of {release} states a rho that is not finite and above 0, so it has no noise; not stored"
        )
    if sum(map(Fraction, spent)) > Fraction(release.rho or 0, NANO):
        raise InputError(f"the rounds of {release} would spend more rho than was charged; nothing was stored")


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as the database returns them (a tuple becomes a list), so that a retry compares equal."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(parameters), allow_nan=False))
    return plain
