"""Read releases: the people charged for one, and the epsilon of all releases of a loop together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from core.arrays import Array, Ints, unpack_arrays
from privacy.models import LedgerEntry, Purpose, Release, ReleaseRound, ReleaseState, VaultEvent, VaultKind
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
    whose folds hold that person. A person who was found to be stored n times counts n times in the releases before that: mu adds
    up, so their rho is n^2 times as large.
    """
    from privacy.engine.dp.accounting import epsilon_of_account

    charged = Release.objects.filter(loop_version__loop=release.loop_version.loop_id, pk__lte=release.pk)
    charged = charged.exclude(state=ReleaseState.REFUNDED)
    paid = [
        _Paid(at, *_folds(parameters), rho)
        for at, rho, parameters in charged.values_list("created_at", "rho", "parameters")
    ]
    delta = release.formal_delta or 0.0
    if any(p.rho is None for p in paid):
        return LoopAccount(len(paid), None, delta)
    times, joined = _most_spellings()
    before = [p for p in paid if joined is not None and p.at <= joined]
    after = [p for p in paid if joined is None or p.at > joined]
    rho = times**2 * _most_rho(before) + _most_rho(after)
    return LoopAccount(len(paid), epsilon_of_account(rho, delta), delta)


class _Paid(NamedTuple):
    """A release that was charged: when it began, its folds [low, high), and its rho (nano; None without a formal guarantee)."""

    at: datetime
    low: int
    high: int
    rho: int | None


def _folds(parameters: Mapping[str, Any]) -> tuple[int, int]:
    low, high = parameters.get("folds", (0, FOLDS))
    return low, high


def _most_rho(paid: Collection[_Paid]) -> int:
    """Return the most rho (nano) that people of one fold paid. It is reached where the folds of some release begin."""
    return max((sum(p.rho or 0 for p in paid if p.low <= start < p.high) for start in {p.low for p in paid}), default=0)


def _most_spellings() -> tuple[int, datetime | None]:
    """Return as how many people one person was charged at most, and when the last of them were joined (None: never).

    The Trust Vault says when the budget of another spelling was added to somebody's, and how much rho.
    """
    times: Counter[str] = Counter()
    joined = None
    events = VaultEvent.objects.filter(kind=VaultKind.BUDGET, body__has_key="folded").order_by("sequence")
    for at, body in events.values_list("at", "body"):
        for name, (_, rho, void) in body["folded"].items():
            if rho or void:
                times[name], joined = times[name] + 1, at
    return 1 + max(times.values(), default=0), joined


def evaluation_sums(release: Release) -> dict[str, Array] | None:
    """Return the noised sums of an evaluation, checked against their SHA-256, or None if they are not stored."""
    stored = ReleaseRound.objects.filter(release=release, index=0).exclude(output=b"").first()
    return None if stored is None else unpack_arrays(bytes(stored.output), stored.output_sha256)
