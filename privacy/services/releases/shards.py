"""Split the people of a release into shards of bounded size. Each shard is read and summed alone, which bounds memory.

Shards hold whole people, because a person's records are averaged and clipped together. Any process may sum any shard: integer
sums are equal in every order. The process that adds the sums draws the noise, once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.arrays import Ints
from privacy.engine.decision_arrays import randomised_rows
from privacy.engine.moments.rows import ReleaseRows
from privacy.models import Release
from privacy.selectors.decisions import charged_person_ids, decision_arrays
from privacy.selectors.releases import consenting_person_ids

PEOPLE_A_SHARD = 5_000
ROWS_KEPT = 1_000_000  # rows of shards that stay in memory for the following rounds


def shards_of(people: Ints, *, size: int | None = None) -> list[Ints]:
    """Cut ids (n,) into shards of at most ``size``. No ids give one empty shard."""
    size = size or PEOPLE_A_SHARD
    return [people[first : first + size] for first in range(0, max(len(people), 1), size)]


def shard_rows(release: Release, people: Ints) -> ReleaseRows:
    """Read the rows of one shard for a moments release."""
    arrays = decision_arrays(loop_version=release.loop_version, person_ids=people, release=release)
    return randomised_rows(arrays)


class ChargedRows:
    """Iterate over the rows of everybody charged for a moments release, one shard at a time, for each of its rounds.

    Each round leaves out the people who withdrew their consent since. Up to ``ROWS_KEPT`` rows stay in memory, so that their
    shards are read again only if somebody withdrew.
    """

    def __init__(self, release: Release) -> None:
        self._release, self._shards = release, shards_of(charged_person_ids(release=release))
        self._cached: dict[int, tuple[Ints, ReleaseRows]] = {}
        self._cached_rows = 0

    def __iter__(self) -> Iterator[ReleaseRows]:
        for number, people in enumerate(self._shards):
            consenting = consenting_person_ids(release=self._release, among=people)
            cached = self._cached.get(number)
            same = cached is not None and np.array_equal(cached[0], consenting)
            yield cached[1] if cached is not None and same else self._read(number, consenting)

    def _read(self, number: int, people: Ints) -> ReleaseRows:
        if number in self._cached:
            self._cached_rows -= len(self._cached.pop(number)[1].person)
        rows = shard_rows(self._release, people)
        if self._cached_rows + len(rows.person) <= ROWS_KEPT:
            self._cached[number] = people, rows
            self._cached_rows += len(rows.person)
        return rows
