from __future__ import annotations

import pytest

from core.errors import NotFound
from loops.selectors import loop_specs_builtin, loop_version_current, loop_versions_current
from loops.services import loop_add
from tests.factories.loop_files import SMALL, small

pytestmark = pytest.mark.django_db


def test_the_latest_version_is_the_current_one() -> None:
    for number in (1, 9, 10):
        loop_add(text=small(('name = "small"', f'name = "small"\nversion = {number}')), source="x")
    assert loop_version_current("small").version == 10


def test_of_every_loop_the_latest_version_is_current() -> None:
    for name, number in (("small", 9), ("small", 10), ("another", 2)):
        loop_add(text=small(('name = "small"', f'name = "{name}"\nversion = {number}')), source="x")
    assert [str(version) for version in loop_versions_current()] == ["another v2", "small v10"]


def test_an_unknown_name_is_told_the_known_ones_and_what_to_do() -> None:
    with pytest.raises(NotFound, match=r"no loop 'r3al' \(known: none yet\); add one with 'manage.py loop add FILE'"):
        loop_version_current("r3al")
    loop_add(text=SMALL, source="x")
    loop_add(text=small(('name = "small"', 'name = "another"')), source="x")
    with pytest.raises(NotFound, match=r"known: another, small\)"):
        loop_version_current("r3al")


def test_the_loops_that_come_with_the_project() -> None:
    assert list(loop_specs_builtin()) == ["heartsteps", "r3al"]
    assert all(path.is_file() for path in loop_specs_builtin().values())
