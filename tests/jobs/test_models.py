"""What the table itself refuses, whoever writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from jobs.models import Job

pytestmark = pytest.mark.django_db
T0, T1 = datetime(2026, 1, 1, 8, tzinfo=UTC), datetime(2026, 1, 1, 9, tzinfo=UTC)

QUEUED: dict[str, Any] = {}
RUNNING: dict[str, Any] = {"state": "running", "lease_token": "t", "lease_until": T1, "attempts": 1, "started_at": T0}
OVER: dict[str, Any] = {"attempts": 1, "started_at": T0, "finished_at": T1}
DONE = OVER | {"state": "done", "progress": 1.0, "result": {}}
FAILED = OVER | {"state": "failed", "error": "no rows"}
CANCELLED = OVER | {"state": "cancelled", "cancel_requested": True}

REFUSED = {
    "job_state_known": FAILED | {"state": "paused"},
    "job_kind_named": QUEUED | {"kind": ""},
    "job_key_null_or_named": QUEUED | {"key": ""},
    "job_progress_in_range": RUNNING | {"progress": 1.01},
    "job_attempts_bounded": RUNNING | {"attempts": 6},
    "job_lease_while_running": RUNNING | {"lease_token": ""},
    "job_started_has_time": RUNNING | {"started_at": None},
    "job_finished_has_time": FAILED | {"finished_at": None},
    "job_result_when_done": DONE | {"result": None},
    "job_failed_has_reason": FAILED | {"error": ""},
    "job_cancelled_when_asked": CANCELLED | {"cancel_requested": False},
}
ALSO_REFUSED = [
    ("job_lease_while_running", QUEUED | {"lease_until": T1}),
    ("job_lease_while_running", DONE | {"lease_token": "t"}),
    ("job_started_has_time", QUEUED | {"started_at": T0}),
    ("job_finished_has_time", QUEUED | {"finished_at": T0}),
    ("job_result_when_done", FAILED | {"result": {}}),
    ("job_result_when_done", DONE | {"progress": 0.9}),
    ("job_cancelled_when_asked", QUEUED | {"cancel_requested": True}),
]


@pytest.mark.parametrize("row", [QUEUED, RUNNING, DONE, FAILED, CANCELLED], ids=lambda row: row.get("state", "queued"))
def test_a_sound_row_is_kept(row: dict[str, Any]) -> None:
    Job.objects.create(**{"kind": "k"} | row)


@pytest.mark.parametrize(("constraint", "row"), [*REFUSED.items(), *ALSO_REFUSED])
def test_a_crooked_row_is_refused(constraint: str, row: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Job.objects.create(**{"kind": "k"} | row)


def test_every_constraint_is_tried() -> None:
    assert set(REFUSED) == {c.name for c in Job._meta.constraints}


def test_what_people_see() -> None:
    assert [Job(**row).percent for row in (RUNNING | {"progress": 0.999}, DONE, QUEUED)] == [99, 100, 0]
    assert [Job(**row).is_over for row in (QUEUED, RUNNING, DONE, FAILED, CANCELLED)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert [Job(**row).seconds for row in (DONE, RUNNING)] == [3600.0, None]
