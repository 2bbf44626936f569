"""Read releases: the people charged for one, and the epsilon of several together."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from core.arrays import Array, Ints, unpack_arrays
from privacy.models import LedgerEntry, Release, ReleaseRound, ReleaseState


def charged_person_ids(*, release: Release) -> Ints:
    """Return the ids (n,), ascending, of the people charged for a release; nobody if it was refunded.

    A release may use the data of these people alone.
    """
    entries = LedgerEntry.objects.filter(release=release).exclude(release__state=ReleaseState.REFUNDED)
    ids = entries.order_by("person_id").values_list("person_id", flat=True)
    return np.fromiter(ids.iterator(chunk_size=10_000), dtype=np.int64)


def epsilon_of_releases(pks: Collection[int], *, delta: float) -> float:
    """Return the epsilon at ``delta`` of several releases of the same people together (Gaussian privacy: mu^2 = 2 rho adds)."""
    from privacy.engine.dp.accounting import epsilon_of_account

    rho = sum(nano or 0 for nano in Release.objects.filter(pk__in=pks).values_list("rho", flat=True))
    return epsilon_of_account(rho, delta)


def evaluation_sums(release: Release) -> dict[str, Array] | None:
    """Return the noised sums of an evaluation, checked against their SHA-256, or None if they are not stored."""
    stored = ReleaseRound.objects.filter(release=release, index=0).exclude(output=b"").first()
    return None if stored is None else unpack_arrays(bytes(stored.output), stored.output_sha256)
