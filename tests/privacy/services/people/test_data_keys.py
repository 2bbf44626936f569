"""Data keys: one a person, opened by the master key of their version, rotated without touching what they seal, gone for good."""

from __future__ import annotations

import signal
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.errors import Conflict
from loops.models import LoopVersion
from privacy.engine.sealing import OVERHEAD, CannotOpen, Cipher, new_key
from privacy.models import DataKey, Person
from privacy.selectors.exports import round_output
from privacy.selectors.keys import ciphers_known, key_unwrapped
from privacy.services.people.data_keys import ciphers, keys_rotate, keys_waiting
from privacy.services.releases.sealed_exports import output_store
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.releases import new_release
from tests.stack import Stack

pytestmark = pytest.mark.django_db
OLD, NEW = "1:" + "o" * 40, "2:" + "n" * 40


def masters(*items: str) -> dict[int, str]:
    return {int(version): secret for version, _, secret in (item.partition(":") for item in items)}


def data_keys(person_ids: list[int]) -> dict[int, bytes]:
    """People's keys themselves, made where there are none."""
    ciphers(person_ids)
    found = DataKey.objects.filter(person_id__in=person_ids)
    return {row.person_id: key_unwrapped(row.person_id, bytes(row.wrapped), row.master_version) for row in found}


@pytest.fixture
def people(settings: Any) -> list[int]:
    settings.DATA_MASTER_KEYS = masters(OLD)
    return add_people(loop_version(), 3)


class TestSeals:
    def test_it_opens_with_its_key_and_in_its_place_alone(self) -> None:
        cipher = Cipher(new_key())
        sealed = cipher.seal(b"raw", b"signal 1")
        assert cipher.open(sealed, b"signal 1") == b"raw" and len(sealed) == 3 + OVERHEAD
        flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
        for other, given, about in (
            (Cipher(new_key()), sealed, b"signal 1"),
            (cipher, sealed, b"signal 2"),
            (cipher, flipped, b"signal 1"),
            (cipher, b"", b"signal 1"),
        ):
            with pytest.raises(CannotOpen):
                other.open(given, about)

    def test_the_same_words_never_look_the_same(self) -> None:
        cipher = Cipher(new_key())
        assert cipher.seal(b"raw", b"a") != cipher.seal(b"raw", b"a")


class TestKeys:
    def test_a_person_has_one_for_good(self, people: list[int]) -> None:
        first = data_keys(people)
        assert (
            len(set(first.values())) == 3 and data_keys(people) == first and set(ciphers_known(people)) == set(people)
        )
        assert not any(key in bytes(row.wrapped) for row in DataKey.objects.all() for key in first.values())

    def test_nobody_has_one_before_something_is_sealed(self, people: list[int]) -> None:
        assert ciphers_known(people) == {}

    def test_somebody_erased_gets_none(self, people: list[int]) -> None:
        Person.objects.filter(pk=people[0]).update(erased_at=timezone.now())
        with pytest.raises(Conflict, match="erased"):
            data_keys(people)

    def test_a_wrapped_key_moved_to_somebody_else_does_not_open(self, people: list[int]) -> None:
        data_keys(people)
        DataKey.objects.filter(pk=people[0]).update(wrapped=DataKey.objects.get(pk=people[1]).wrapped)
        with pytest.raises(Conflict, match="cannot be opened"):
            data_keys(people[:1])

    def test_another_secret_under_the_same_version_is_noticed(self, people: list[int], settings: Any) -> None:
        data_keys(people)
        settings.DATA_MASTER_KEYS = masters("1:" + "x" * 40)
        with pytest.raises(Conflict, match="another secret"):
            data_keys(people)


ROTATE = """
import os, signal, django
django.setup()
from django.core.management import call_command
from django.db.models import QuerySet
from privacy.services.people import data_keys as keys

keys.ROTATE_CHUNK = 20
chunk, calls = keys._rotate_chunk, []

def dies(size):
    moved = chunk(size)
    calls.append(moved)
    if len(calls) == {chunks}:
        os.kill(os.getpid(), signal.SIGKILL)  # what was committed is there, and nothing tells anybody
    return moved

update = QuerySet.bulk_update

def dies_inside(*rows):
    written = update(*rows)
    if len(calls) + 1 == {inside}:
        os.kill(os.getpid(), signal.SIGKILL)  # written, and not committed
    return written

keys._rotate_chunk, QuerySet.bulk_update = dies, dies_inside
call_command("rotate_keys")
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("chunks", "inside", "left"), [(2, 0, 60), (0, 2, 80)])
def test_a_rotation_that_is_killed_goes_on_where_it_was(
    stack: Stack, settings: Any, chunks: int, inside: int, left: int
) -> None:
    """SIGKILL of a real process between two chunks of 20, and within the second one before its commit."""
    settings.DATA_MASTER_KEYS = masters(OLD)
    people = add_people(loop_version(), 100)
    before = data_keys(people)
    settings.DATA_MASTER_KEYS = masters(OLD, NEW)
    run = subprocess.run(
        [sys.executable, "-c", ROTATE.format(chunks=chunks, inside=inside)], timeout=60, check=False,
        env={**stack.environment(), "DJANGO_SETTINGS_MODULE": "tests.settings", "DATA_MASTER_KEYS": f"{OLD},{NEW}"},
        capture_output=True,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert keys_waiting() == left, "whole chunks or nothing"
    told = StringIO()
    call_command("rotate_keys", stdout=told)
    assert f"{left} keys are now wrapped" in told.getvalue() and "no key is left" in told.getvalue()
    settings.DATA_MASTER_KEYS = masters(NEW)
    assert data_keys(people) == before and len(before) == 100


class TestRotation:
    def test_keys_stay_the_same_under_a_new_master(self, people: list[int], settings: Any) -> None:
        before = data_keys(people)
        settings.DATA_MASTER_KEYS = masters(OLD, NEW)
        assert keys_rotate(limit=2) == 2 and keys_waiting() == 1
        assert data_keys(people) == before, "half way through all can be opened"
        assert keys_rotate() == 1 and keys_rotate() == 0
        settings.DATA_MASTER_KEYS = masters(NEW)
        assert data_keys(people) == before

    def test_without_the_old_master_nothing_is_lost(self, people: list[int], settings: Any) -> None:
        before = data_keys(people)
        settings.DATA_MASTER_KEYS = masters(NEW)
        with pytest.raises(Conflict, match="lacks version 1"):
            keys_rotate()
        settings.DATA_MASTER_KEYS = masters(OLD, NEW)
        assert data_keys(people) == before

    def test_the_command_says_what_is_left(self, people: list[int], settings: Any) -> None:
        data_keys(people)
        settings.DATA_MASTER_KEYS = masters(OLD, NEW)
        told = StringIO()
        call_command("rotate_keys", limit=1, stdout=told)
        call_command("rotate_keys", stdout=told)
        assert "2 keys are left; run the command again" in told.getvalue() and "no key is left" in told.getvalue()
        with pytest.raises(CommandError, match="--limit is 0; it must lie between 1 and"):
            call_command("rotate_keys", limit=0)

    def test_the_keys_of_exports_rotate_too(self, people: list[int], settings: Any) -> None:
        release = new_release(LoopVersion.objects.get())
        output_store(release=release, index=0, output=b"rows of people", expires_at=timezone.now())
        settings.DATA_MASTER_KEYS = masters(OLD, NEW)
        assert keys_waiting() == 1 and keys_rotate() == 1 and keys_waiting() == 0
        settings.DATA_MASTER_KEYS = masters(NEW)
        assert round_output(release.rounds.get()) == b"rows of people"
