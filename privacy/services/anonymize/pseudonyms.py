"""Pseudonyms of an export: keyed per purpose and epoch, so that two exports of different epochs cannot be linked by them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from django.conf import settings

from privacy.engine.anonymize.pseudonyms import epoch_check
from privacy.models import Person


def pseudonyms(person_ids: Sequence[int], *, purpose: str, epoch: str) -> npt.NDArray[np.int64]:
    """(n, 2) the first 128 bits of HMAC-SHA-256 of each person's key, under a key of purpose, epoch and the salt."""
    epoch_check(epoch)
    key = hmac.digest(settings.ANONYMIZATION_SALT.encode(), f"pseudonym\0{purpose}\0{epoch}".encode(), "sha256")
    people = {pk: f"{population}\0{name}" for pk, population, name in _named(person_ids)}
    digests = b"".join(hmac.digest(key, people[pk].encode(), hashlib.sha256)[:16] for pk in person_ids)
    return np.frombuffer(digests, dtype="<i8").reshape(-1, 2).astype(np.int64)


def _named(person_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    return list(Person.objects.filter(pk__in=set(person_ids)).values_list("pk", "population", "key"))
