"""Identify people by keyed digests, and create them with a data key and a budget."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from core import clock
from core.digests import FOLD, keyed
from core.identifiers import identifier_normalised
from loops.models import Loop
from privacy.engine.budget_windows import first_days
from privacy.models import Person, PrivacyBudget
from privacy.models.person import FOLDS
from privacy.selectors.default_caps import RHO_CAP, default_caps
from privacy.services.people.data_keys import ciphers
from privacy.services.people.erasure import erasure_times, restore_erased_person
from privacy.services.people.spellings import person_spelled, spelling_key, spellings_adopt
from privacy.services.vault.stored_rows import people_seal


def person_key(*, population: str, identifier: str) -> str:
    """Return a person's pseudonym (64 hexadecimal digits): a keyed digest of population and normalised identifier.

    Raises InputError for an unusable identifier.
    """
    return spelling_key(population, identifier_normalised(identifier))


def person_fold(*, population: str, identifier: str) -> int:
    """Return a person's fold in [0, 10000), which decides between evaluation and training. Independent of the pseudonym."""
    return int.from_bytes(keyed(FOLD, population, identifier_normalised(identifier))[:8], "big") % FOLDS


@transaction.atomic
def people_get_or_create(*, population: str, identifiers: Collection[str]) -> dict[str, int]:
    """Return person ids by identifier, creating people who are new. Spellings of one identifier give one person.

    A new person gets a data key, an unspent budget from today (UTC), and no consent. Raises InputError for an unusable
    identifier.
    """
    keys = {i: person_key(population=population, identifier=i) for i in identifiers}
    spellings_adopt(population=population, keys=keys)
    known = found = _ids(population, keys.values())
    if missing := {key for key in keys.values() if key not in found}:
        restore_erased_person(population, missing)
        found = _ids(population, keys.values())
    new = sorted({key: i for i, key in keys.items() if key not in found}.items())
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
        budget = {**default_caps(), "rho_cap": RHO_CAP, **first_days(clock.now().date())}
        PrivacyBudget.objects.bulk_create(
            [PrivacyBudget(person_id=pk, **budget) for pk in sorted(created.values())], ignore_conflicts=True
        )
        found = found | created
    # Keys are created now, so that a person's first decision need not wait for it.
    ciphers(sorted(set(found.values()) - set(known.values())))
    return {i: found[key] for i, key in keys.items()}


def person_find(*, population: str, identifier: str) -> Person | None:
    """Return the person whom an app or a file knows by an identifier, or None. Raises InputError for an unusable one."""
    key = person_key(population=population, identifier=identifier)
    person = Person.objects.filter(population=population, key=key).first()
    return person or person_spelled(population=population, identifier=identifier)


def people_find(*, identifier: str) -> list[Person]:
    """Return the people of all populations whom an app or a file knows by an identifier.

    Raises InputError for an unusable identifier.
    """
    populations = Loop.objects.order_by("population").values_list("population", flat=True).distinct()
    found = (person_find(population=p, identifier=identifier) for p in populations)
    return [person for person in found if person is not None]


def people_erased(*, population: str, identifiers: Collection[str]) -> dict[str, datetime]:
    """Return the last erasure, by identifier, of people who were ever erased, also of those who registered again since."""
    keys = {i: person_key(population=population, identifier=i) for i in identifiers}
    spellings_adopt(population=population, keys=keys)
    times = erasure_times(population=population, keys=keys.values())
    return {i: times[key] for i, key in keys.items() if key in times}


def _ids(population: str, keys: Collection[str]) -> dict[str, int]:
    return dict(Person.objects.filter(population=population, key__in=keys).values_list("key", "pk"))
