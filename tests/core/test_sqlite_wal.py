"""What an erasure deletes is nowhere in SQLite's files afterwards: neither in the database nor in its write-ahead log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fresh_database import run_on

pytestmark = pytest.mark.embedded  # it has a database of its own


def test_erased_content_is_in_neither_file_and_a_reader_only_delays_that(tmp_path: Path) -> None:
    facts = run_on(
        f"sqlite:///{tmp_path}/r3al.sqlite3",
        "tests.core.erased_content",
        DJANGO_SETTINGS_MODULE="r3al_project.settings",
    )
    assert facts["before"] == [True, True], "it was in both files, so the search finds it"
    assert facts["erased"] and facts["while read"] == [True, True], (
        "a reader keeps both, and the erasure ends all the same"
    )
    assert facts["emptied"], "the next run of expiry finds no reader"
    assert facts["after"] == [False, False] and facts["log bytes"] == 0
