"""Operators are told of a turn that failed and of one that waits for them, once; an error's text is not told."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from jobs.models import Job
from notices.models import Notice
from r3al_project.turns.services import turn_parameters, turn_settle, turn_start, turns_settle
from r3al_project.turns.turn_notices import turn_tell
from tests.factories.loops import loop_version
from tests.factories.people import add_people

pytestmark = pytest.mark.django_db


def test_a_failed_turn_is_told_once_without_its_error(operator: Client) -> None:
    version = loop_version("r3al")
    add_people(version, 3)
    turn = turn_start(actor="ann", loop_version=version, parameters=turn_parameters())
    assert not Notice.objects.exists()
    Job.objects.filter(turn_stage__turn=turn).update(
        state="failed", finished_at=timezone.now(), error="/home/ann/people.csv, line 3: bob@example.org"
    )
    turn_settle(turn=turn)
    turns_settle()
    notice = Notice.objects.get()
    assert (notice.kind, notice.sentence) == ("turn_failed", f"Turn {turn.pk} of r3al failed at its stage collect.")
    assert "bob" not in str(list(Notice.objects.values()))
    assert operator.get(notice.link).status_code == 200


def test_a_cancelled_turn_is_no_news() -> None:
    version = loop_version("r3al")
    turn = turn_start(actor="ann", loop_version=version, parameters=turn_parameters())
    Job.objects.filter(turn_stage__turn=turn).update(
        state="cancelled", finished_at=timezone.now(), cancel_requested=True, error="x"
    )
    turn_settle(turn=turn)
    assert not Notice.objects.exists()


def test_a_turn_that_waits_for_an_operator_says_so() -> None:
    turn = turn_start(actor="ann", loop_version=loop_version("r3al"), parameters=turn_parameters())
    turn_tell(turn, "waiting")
    assert Notice.objects.get().sentence == f"Turn {turn.pk} of r3al ended with a version that waits for an operator."
