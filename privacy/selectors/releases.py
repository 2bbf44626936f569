"""Read releases: the people charged for one, and the epsilon of all releases of a loop together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Ints, unpack_arrays
from privacy.models import LedgerEntry, Purpose, Release, ReleaseRound, ReleaseState
from privacy.models.person import FOLDS
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


@dataclass(frozen=True)
class LoopAccount:
    """The most that one person can have paid for the releases of one loop.

    ``releases`` is their number. ``epsilon`` is at ``delta`` (Gaussian privacy: mu^2 = 2 rho adds up). It is None if one of them
    has no formal guarantee, and 0 if that number is 0.
    """

    releases: int
    epsilon: float | None
    delta: float


def loop_account(release: Release) -> LoopAccount:
    """Return the most that one person can have paid for the releases of a loop, of all its versions, up to this one.

    It reads the log alone, and nobody's account: every release whose charge stands counts, as if one person were in all of them
    whose folds hold that person.
    """
    from privacy.engine.dp.accounting import epsilon_of_account

    charged = Release.objects.filter(loop_version__loop=release.loop_version.loop_id, pk__lte=release.pk)
    charged = charged.exclude(state=ReleaseState.REFUNDED)
    paid = [(*p.get("folds", (0, FOLDS)), rho) for rho, p in charged.values_list("rho", "parameters")]
    folds = {low for low, _, _ in paid}  # the most is reached where the folds of some release begin
    shares = [[rho for low, high, rho in paid if low <= fold < high] for fold in folds]
    delta = release.formal_delta or 0.0
    if any(rho is None for share in shares for rho in share):
        return LoopAccount(len(paid), None, delta)
    return LoopAccount(len(paid), epsilon_of_account(max(map(sum, shares), default=0), delta), delta)


def evaluation_sums(release: Release) -> dict[str, Array] | None:
    """Return the noised sums of an evaluation, checked against their SHA-256, or None if they are not stored."""
    stored = ReleaseRound.objects.filter(release=release, index=0).exclude(output=b"").first()
    return None if stored is None else unpack_arrays(bytes(stored.output), stored.output_sha256)
