"""A person whose consent was stored with a word in clear is erased, while another connection reads, and once more after it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from django.db import connection

from core.sqlite_wal import wal_truncate
from privacy.models import Consent, Person
from privacy.services.people.erasure import person_erase
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.fresh_database import create_tables

WORD = b"a-word-that-is-nowhere-else"


def main() -> dict[str, Any]:
    create_tables()
    people = add_people(loop_version(), 2)
    files = [Path(connection.settings_dict["NAME"]), Path(f"{connection.settings_dict['NAME']}-wal")]
    for pk in people:
        Consent.objects.create(person_id=pk, purpose="training", granted=True, source=WORD.decode())
    assert wal_truncate()
    Consent.objects.update(text_version="2")  # the same pages again, now in the log
    facts: dict[str, Any] = {"before": found(files)}
    reader = sqlite3.connect(files[0])
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM consents").fetchone()
    for person in Person.objects.all():
        person_erase(person_id=person.pk, source="test")
    facts["erased"] = Consent.objects.count() == 0
    reader.rollback()
    reader.close()
    facts["while read"] = found(files)
    return facts | {"emptied": wal_truncate(), "after": found(files), "log bytes": files[1].stat().st_size}


def found(files: list[Path]) -> list[bool]:
    return [WORD in file.read_bytes() for file in files]
