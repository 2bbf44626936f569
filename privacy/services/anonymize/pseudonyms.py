"""Pseudonyms of an export: keyed per purpose and epoch, so that two exports of different epochs cannot be linked by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.arrays import Ints
from core.digests import PSEUDONYM, keyed
from privacy.engine.anonymize.pseudonyms import epoch_check
from privacy.models import Person


def pseudonyms(person_ids: Sequence[int], *, purpose: str, epoch: str) -> Ints:
    """(n, 2) 128 bits a person: a keyed digest of purpose, epoch and the person's own key."""
    epoch_check(epoch)
    people = {pk: (population, key) for pk, population, key in _named(person_ids)}
    digests = b"".join(keyed(PSEUDONYM, purpose, epoch, *people[pk]) for pk in person_ids)
    return np.frombuffer(digests, dtype="<i8").reshape(-1, 2).astype(np.int64)


def _named(person_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    return list(Person.objects.filter(pk__in=set(person_ids)).values_list("pk", "population", "key"))
