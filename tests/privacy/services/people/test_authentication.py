"""Who may act for whom: every caller against every person, named and not named."""

from __future__ import annotations

from itertools import product

import pytest

from core.errors import Forbidden, NotFound
from privacy.models import Person
from privacy.services.people.authentication import Caller, PersonRow, may_act_for, own_person_id, person_of
from privacy.services.people.identity import people_get_or_create

pytestmark = pytest.mark.django_db
NAMES, OTHERS = ("ann", "ben"), ("cat",)
UNKNOWN = "nobody"


@pytest.fixture
def people() -> dict[str, PersonRow]:
    ids = people_get_or_create(population="app", identifiers=NAMES) | people_get_or_create(
        population="other", identifiers=OTHERS
    )
    rows = {p.pk: PersonRow(p.pk, p.population, p.key) for p in Person.objects.all()}
    return {name: rows[pk] for name, pk in ids.items()}


def callers(people: dict[str, PersonRow]) -> dict[str, Caller]:
    devices = {name: Caller(1, row.person_id, False) for name, row in people.items()}
    return devices | {"a service": Caller(2, None, True), "an operator": Caller(3, None, False)}


def expected(who: str, whom: str, named: str | None) -> bool:
    """Devices: themselves, by their own name or none. Services: whom they name. Others: nobody."""
    if who == "a service":
        return named == whom
    return who == whom and named in (None, whom)


def test_a_device_acts_for_its_person_a_service_for_whom_it_names_and_nobody_else(people: dict[str, PersonRow]) -> None:
    for (who, caller), (whom, row), named in product(callers(people).items(), people.items(), (None, UNKNOWN, *people)):
        allowed = may_act_for(caller, row, user_id=named, population=row.population)
        assert allowed == expected(who, whom, named), (who, whom, named)


def test_an_identifier_means_nobody_in_another_population(people: dict[str, PersonRow]) -> None:
    for caller in callers(people).values():
        assert not may_act_for(caller, people["ann"], user_id="ann", population="other")


@pytest.mark.parametrize(
    ("who", "named", "told"),
    [
        ("ann", None, "ann"),
        ("ann", "ann", "ann"),
        ("ann", "ben", Forbidden),
        ("ann", UNKNOWN, Forbidden),
        ("cat", None, NotFound),  # their own loop is another
        ("a service", "ben", "ben"),
        ("a service", "cat", NotFound),
        ("a service", UNKNOWN, NotFound),
        ("a service", None, Forbidden),
        ("an operator", "ann", Forbidden),
        ("an operator", None, Forbidden),
    ],
)
def test_what_a_request_in_a_population_is_told(
    people: dict[str, PersonRow], who: str, named: str | None, told: str | type[Exception]
) -> None:
    caller = callers(people)[who]
    if isinstance(told, str):
        assert person_of(caller, user_id_given=named, population="app") == people[told].person_id
        return
    with pytest.raises(told):
        person_of(caller, user_id_given=named, population="app")


def test_who_can_be_meant_is_known_before_anybody_is_looked_up(people: dict[str, PersonRow]) -> None:
    who = callers(people)
    assert (
        own_person_id(who["ann"], "ben") == people["ann"].person_id and own_person_id(who["a service"], "ben") is None
    )
    with pytest.raises(Forbidden, match="name the person in userId"):
        own_person_id(who["a service"], None)
    with pytest.raises(Forbidden, match="use the token of a person or of a service account"):
        own_person_id(who["an operator"], "ann")
