from __future__ import annotations

import hashlib

import pytest
from django.db import IntegrityError, transaction

from core.errors import Conflict, InputError
from loops.models import Loop, LoopVersion
from loops.services import loop_add
from tests.factories.loop_files import SMALL, small

pytestmark = pytest.mark.django_db
SECOND = ('name = "small"', 'name = "small"\nversion = 2')


def add(text: str = SMALL) -> tuple[LoopVersion, bool]:
    return loop_add(text=text, source="small.toml")


def test_a_text_becomes_a_version() -> None:
    version, new = add()
    assert new and str(version) == "small v1"
    assert version.source == SMALL and version.sha256 == hashlib.sha256(SMALL.encode()).hexdigest()
    assert version.spec.name == "small"


def test_the_same_text_again_changes_nothing() -> None:
    first, _ = add()
    again, new = add()
    assert (again.pk, new) == (first.pk, False)
    assert LoopVersion.objects.count() == 1


def test_a_changed_text_needs_a_greater_version() -> None:
    add()
    with pytest.raises(
        Conflict, match=r"'small' already has version 1 with another text; set version = 2 in small\.toml"
    ):
        add(small(("scale = 0.5", "scale = 0.6")))
    assert LoopVersion.objects.count() == 1


def test_a_greater_version_follows() -> None:
    add()
    version, new = add(small(SECOND))
    assert new and version.version == 2 and LoopVersion.objects.count() == 2


def test_versions_may_be_left_out() -> None:
    add()
    assert add(small(('name = "small"', 'name = "small"\nversion = 7')))[0].version == 7


def test_an_earlier_text_does_not_come_back() -> None:
    add()
    add(small(SECOND))
    with pytest.raises(Conflict, match="set version = 3"):
        add()


def test_a_new_version_keeps_the_people() -> None:
    add()
    with pytest.raises(Conflict, match=r"has population 'people', but small\.toml declares 'others'"):
        add(small(('name = "small"', 'name = "small"\nversion = 2\npopulation = "others"')))
    assert LoopVersion.objects.count() == 1


def test_loops_share_one_population_unless_they_say_otherwise() -> None:
    others = ('name = "small"', 'name = "staff"\npopulation = "staff"')
    names = [("one", add()), ("two", add(small(('name = "small"', 'name = "two"')))), ("others", add(small(others)))]
    assert {name: version.spec.population for name, (version, _) in names} == {
        "one": "people", "two": "people", "others": "staff",
    }  # fmt: skip


def test_the_first_loop_names_the_installations_population() -> None:
    """So a loop that is added to an older installation shares the budgets of the people who are there."""
    add(small(('name = "small"', 'name = "small"\npopulation = "clients"')))
    assert add(small(('name = "small"', 'name = "two"')))[0].spec.population == "clients"


def test_a_new_version_need_not_repeat_the_population() -> None:
    add(small(('name = "small"', 'name = "small"\npopulation = "clients"')))
    assert add(small(SECOND))[0].spec.population == "clients"


def test_loops_go_their_own_ways() -> None:
    add()
    add(small(('name = "small"', 'name = "smaller"')))
    assert list(Loop.objects.order_by("name").values_list("name", flat=True)) == ["small", "smaller"]


def test_a_refused_file_leaves_nothing() -> None:
    with pytest.raises(InputError):
        add(small(("scale = 0.5", "scale = 0")))
    assert not Loop.objects.exists()


@pytest.mark.parametrize("version", [0, 1])
def test_the_database_holds_versions_from_one_and_once(version: int) -> None:
    first, _ = add()
    with pytest.raises(IntegrityError), transaction.atomic():
        LoopVersion.objects.create(loop=first.loop, version=version, source="", sha256="")


def test_a_stored_text_is_parsed_once_an_instance() -> None:
    version, _ = add()
    stored = LoopVersion.objects.get(pk=version.pk)
    assert stored.spec is stored.spec and stored.spec == version.spec
