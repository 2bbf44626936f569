"""A database from before sealing: every state, outcome, memory and exported row is sealed by migrations, and reads as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fresh_database import run_on

pytestmark = pytest.mark.embedded  # it has a database of its own


def test_what_was_kept_before_is_sealed_and_reads_as_before(tmp_path: Path) -> None:
    told = run_on(
        f"sqlite:///{tmp_path}/old.sqlite3",
        "tests.privacy.migrations.old_schema",
        DJANGO_SETTINGS_MODULE="r3al_project.settings",
    )
    state = [i / 10 for i in range(told["width"])]
    assert told["left open"] == 0 and told["states"] == [state] and told["outcomes"] == [[i / 4 for i in range(7)]]
    assert told["rewarded"] == [True], "and each outcome says in clear that it holds a reward"
    assert told["export"] == {"open": False, "rows": "rows of an export", "sha256": "plain"}
    assert told["remembered"] == [[state, state], [state, None], [None, None]]
