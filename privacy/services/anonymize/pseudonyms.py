"""Pseudonyms of an export: keyed per purpose and epoch, so that two exports of different epochs cannot be linked by them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from django.conf import settings

from core.errors import InputError
from privacy.models import Person

_EPOCH = re.compile(r"[A-Za-z0-9._-]{1,20}")


def current_epoch() -> str:
    """The epoch that an export belongs to unless it names another: the month (UTC), like ``2026-11``."""
    return f"{datetime.now(UTC):%Y-%m}"


def epoch_check(epoch: str) -> None:
    """Raises InputError for what cannot name an epoch."""
    if not _EPOCH.fullmatch(epoch):
        raise InputError(f"epoch {epoch!r} is not 1 to 20 letters, digits, dots, dashes or underscores, like 2026-11")


def pseudonyms(person_ids: Sequence[int], *, purpose: str, epoch: str) -> npt.NDArray[np.int64]:
    """(n, 2) the first 128 bits of HMAC-SHA-256 of each person's key, under a key of purpose, epoch and the salt."""
    epoch_check(epoch)
    key = hmac.digest(settings.ANONYMIZATION_SALT.encode(), f"pseudonym\0{purpose}\0{epoch}".encode(), "sha256")
    people = {pk: f"{population}\0{name}" for pk, population, name in _named(person_ids)}
    digests = b"".join(hmac.digest(key, people[pk].encode(), hashlib.sha256)[:16] for pk in person_ids)
    return np.frombuffer(digests, dtype="<i8").reshape(-1, 2).astype(np.int64)


def pseudonym_text(epoch: str, halves: Sequence[int]) -> str:
    """How a pseudonym is written: the version of its key, which is its epoch, then 32 hexadecimal digits."""
    return f"{epoch}:{np.array(halves, dtype='<i8').tobytes().hex()}"


def _named(person_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    return list(Person.objects.filter(pk__in=set(person_ids)).values_list("pk", "population", "key"))
