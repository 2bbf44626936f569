"""Compute the pseudonyms of an export. They are keyed by purpose and epoch, so they cannot link exports of different epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.arrays import Ints
from core.digests import PSEUDONYM, keyed
from privacy.engine.anonymize.pseudonyms import epoch_check
from privacy.models import Person


def pseudonyms(person_ids: Sequence[int], *, purpose: str, epoch: str) -> Ints:
    """Return 128 bits for each person, as int64 (n, 2): a keyed digest of purpose, epoch and the person's own key."""
    epoch_check(epoch)
    people = {pk: (population, key) for pk, population, key in _people(person_ids)}
    digests = b"".join(keyed(PSEUDONYM, purpose, epoch, *people[pk]) for pk in person_ids)
    return np.frombuffer(digests, dtype="<i8").reshape(-1, 2).astype(np.int64)


def _people(person_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    return list(Person.objects.filter(pk__in=set(person_ids)).values_list("pk", "population", "key"))
