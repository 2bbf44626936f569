"""A turn that ends early gives back what it reserved; a ceiling on delta holds before anything is begun."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from core.errors import InputError
from jobs.models import Job
from loops.models import LoopVersion
from privacy.models import PrivacyBudget, Purpose, Release
from privacy.services.releases.lifecycle import release_reserve
from r3al_project.turns.models import Turn
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.services import reservations_sweep, turn_parameters, turn_settle, turn_start
from tests.factories.loops import loop_version
from tests.factories.people import ALL_FOLDS, add_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> LoopVersion:
    made = loop_version("r3al")
    add_people(made, 3)
    return made


def reserved(version: LoopVersion, turn: Turn) -> Release:
    return release_reserve(
        key=release_keys(turn)[0], loop_version=version, purpose=Purpose.TRAINING, folds=ALL_FOLDS, epsilon=0.5, delta=1e-5,
        mechanism="test", parameters={"kind": "moments"},
    )  # fmt: skip


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_turn_that_ends_early_gives_back_what_it_reserved(version: LoopVersion, how: str) -> None:
    turn = turn_start(actor="ann", loop_version=version, parameters=turn_parameters())
    release = reserved(version, turn)
    over = {"state": how, "finished_at": timezone.now(), "error": "broke", "cancel_requested": how == "cancelled"}
    Job.objects.filter(turn_stage__turn=turn).update(**over)
    assert turn_settle(turn=turn).outcome == how
    release.refresh_from_db()
    assert release.state == "refunded"
    assert not PrivacyBudget.objects.filter(spent_lifetime__gt=0).exists()


def test_a_running_turn_keeps_what_it_reserved_however_old(version: LoopVersion) -> None:
    turn = turn_start(actor="ann", loop_version=version, parameters=turn_parameters())
    release = reserved(version, turn)
    Release.objects.filter(pk=release.pk).update(created_at=timezone.now() - timedelta(days=3))
    assert reservations_sweep().refunded == 0
    Turn.objects.update(outcome="failed", finished_at=timezone.now())
    told = StringIO()
    call_command("expire", stdout=told)
    assert "1 refunded" in told.getvalue() and not PrivacyBudget.objects.filter(rho_spent__gt=0).exists()


def test_delta_has_a_ceiling_before_anything_is_begun(version: LoopVersion) -> None:
    with pytest.raises(InputError, match="MAX_PRIVACY_DELTA"):
        turn_parameters(epsilon=0.01, delta=0.3)
    assert not Turn.objects.exists()
