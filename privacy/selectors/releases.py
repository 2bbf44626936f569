"""Read releases: the people charged for one, and the epsilon of several together."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from core.arrays import Array, Ints, unpack_arrays
from privacy.models import LedgerEntry, Purpose, Release, ReleaseRound, ReleaseState
from privacy.selectors.consents import consented


def charged_person_ids(*, release: Release) -> Ints:
    """Return the ids (n,), ascending, of the people charged for a release; nobody if it was refunded.

    A release may use the data of these people alone.
    """
    entries = LedgerEntry.objects.filter(release=release).exclude(release__state=ReleaseState.REFUNDED)
    ids = entries.order_by("person_id").values_list("person_id", flat=True)
    return np.fromiter(ids.iterator(chunk_size=10_000), dtype=np.int64)


def consenting_person_ids(*, release: Release, among: Ints | None = None) -> Ints:
    """Return the ids (n,), ascending, of the people charged for a release who still consent to its purpose.

    Every read of a release's records asks this anew, so a withdrawal after the charge takes effect at the next read.

    Args:
        among: ids (n,), ascending, of charged people; only they are asked for.
    """
    entries = LedgerEntry.objects.filter(release=release).exclude(release__state=ReleaseState.REFUNDED)
    entries = entries.filter(person__budget__in=consented(Purpose(release.purpose)))
    if among is not None:
        entries = (
            entries.filter(person_id__gte=int(among[0]), person_id__lte=int(among[-1]))
            if len(among)
            else entries.none()
        )
    ids = entries.order_by("person_id").values_list("person_id", flat=True)
    return np.fromiter(ids.iterator(chunk_size=10_000), dtype=np.int64)


def releases_on_same_people(release: Release) -> list[int]:
    """Return the ids of the loop's releases up to this one that may have read the same people, itself included.

    Where everybody trains and judges, these are all its training and judging releases. Where people are held out, they are those
    that the release names as earlier.
    """
    if release.loop_version.spec.evaluation_share:
        return [release.pk, *release.parameters.get("earlier", [])]
    same = Release.objects.filter(
        loop_version=release.loop_version,
        purpose__in=(Purpose.TRAINING, Purpose.EVALUATION),
        state=ReleaseState.COMMITTED,
        pk__lte=release.pk,
    )
    return list(same.order_by("pk").values_list("pk", flat=True))


def epsilon_of_releases(pks: Collection[int], *, delta: float) -> float:
    """Return the epsilon at ``delta`` of several releases of the same people together (Gaussian privacy: mu^2 = 2 rho adds)."""
    from privacy.engine.dp.accounting import epsilon_of_account

    rho = sum(nano or 0 for nano in Release.objects.filter(pk__in=pks).values_list("rho", flat=True))
    return epsilon_of_account(rho, delta)


def evaluation_sums(release: Release) -> dict[str, Array] | None:
    """Return the noised sums of an evaluation, checked against their SHA-256, or None if they are not stored."""
    stored = ReleaseRound.objects.filter(release=release, index=0).exclude(output=b"").first()
    return None if stored is None else unpack_arrays(bytes(stored.output), stored.output_sha256)
