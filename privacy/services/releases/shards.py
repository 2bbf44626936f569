"""The people of a release in shards of bounded size: each is read and summed for itself, so memory has a bound.

Shards hold whole people, because a person's records are averaged and clipped together. Any process may sum any shard: integer
sums add up to the same in every order, and noise is drawn once, by who adds them.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.arrays import Ints
from privacy.engine.decision_arrays import randomised_rows
from privacy.engine.moments.rows import ReleaseRows
from privacy.models import Release
from privacy.selectors.decisions import charged_person_ids, decision_arrays

PEOPLE_A_SHARD = 5_000
ROWS_KEPT = 1_000_000  # of shards that were read, for the rounds that follow


def shards_of(people: Ints, *, size: int | None = None) -> list[Ints]:
    """Ids (n,) cut into shards; nobody at all is one empty shard."""
    size = size or PEOPLE_A_SHARD
    return [people[first : first + size] for first in range(0, max(len(people), 1), size)]


def shard_rows(release: Release, people: Ints) -> ReleaseRows:
    """What a moments release reads of one shard."""
    arrays = decision_arrays(loop_version=release.loop_version, person_ids=people, release=release)
    return randomised_rows(arrays)


class ChargedRows:
    """The rows of everybody charged for a moments release, a shard at a time, as often as its rounds ask for them. As many as fit
    are kept, so that they are read once.
    """

    def __init__(self, release: Release) -> None:
        self._release, self._shards = release, shards_of(charged_person_ids(release=release))
        self._kept: dict[int, ReleaseRows] = {}
        self._held = 0

    def __iter__(self) -> Iterator[ReleaseRows]:
        for number, people in enumerate(self._shards):
            yield self._kept[number] if number in self._kept else self._read(number, people)

    def _read(self, number: int, people: Ints) -> ReleaseRows:
        rows = shard_rows(self._release, people)
        if self._held + len(rows.person) <= ROWS_KEPT:
            self._kept[number] = rows
            self._held += len(rows.person)
        return rows
