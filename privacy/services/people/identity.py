"""Identify people by keyed digests, and create them with a data key and a budget."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from django.db import transaction

from core.digests import FOLD, PERSON, keyed
from privacy.engine.budget_windows import first_days
from privacy.models import Person, PrivacyBudget
from privacy.models.person import FOLDS
from privacy.selectors.default_caps import RHO_CAP, default_caps
from privacy.services.people.data_keys import ciphers
from privacy.services.people.erasure import restore_erased_person
from privacy.services.vault.stored_rows import people_seal


def person_key(*, population: str, identifier: str) -> str:
    """Return a person's pseudonym (64 hexadecimal digits): a keyed digest of population and identifier."""
    return keyed(PERSON, population, identifier).hex()


def person_fold(*, population: str, identifier: str) -> int:
    """Return a person's fold in [0, 10000), which decides between evaluation and training. Independent of the pseudonym."""
    return int.from_bytes(keyed(FOLD, population, identifier)[:8], "big") % FOLDS


@transaction.atomic
def people_get_or_create(*, population: str, identifiers: Collection[str]) -> dict[str, int]:
    """Return person ids by identifier, creating people who are new.

    A new person gets a data key, an unspent budget from today (UTC), and no consent.
    """
    keys = {i: person_key(population=population, identifier=i) for i in identifiers}
    known = found = _ids(population, keys.values())
    if len(found) < len(keys):
        restore_erased_person(population, [key for key in keys.values() if key not in found])
        found = _ids(population, keys.values())
    new = sorted((key, i) for i, key in keys.items() if key not in found)
    if new:
        # In the order of keys, so that two imports never deadlock.
        Person.objects.bulk_create(
            [
                Person(population=population, key=key, fold=person_fold(population=population, identifier=i))
                for key, i in new
            ],
            ignore_conflicts=True,
        )
        created = _ids(population, [key for key, _ in new])
        people_seal(Person.objects.filter(pk__in=created.values(), seal=""))
        budget = {**default_caps(), "rho_cap": RHO_CAP, **first_days(datetime.now(UTC).date())}
        PrivacyBudget.objects.bulk_create(
            [PrivacyBudget(person_id=pk, **budget) for pk in sorted(created.values())], ignore_conflicts=True
        )
        found = found | created
    # Keys are created now, so that a person's first decision need not wait for it.
    ciphers(sorted(set(found.values()) - set(known.values())))
    return {i: found[key] for i, key in keys.items()}


def _ids(population: str, keys: Collection[str]) -> dict[str, int]:
    return dict(Person.objects.filter(population=population, key__in=keys).values_list("key", "pk"))
