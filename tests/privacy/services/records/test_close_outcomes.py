"""At its deadline each decision gets its one outcome, or none where there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from core import clock
from core.clock import clock_at
from loops.models import LoopVersion
from privacy.models import RewardEvent, RewardSignal, ServedDecision
from privacy.services.people.authentication import Caller
from privacy.services.records import close_outcomes as closing
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.records.rewards import RewardInput, reward_add
from privacy.tasks import close_outcomes
from tests.factories.decisions import NOW, serve_many
from tests.factories.loops import SOURCE, loop_version
from tests.factories.people import add_people
from tests.factories.sealed import outcome_of

pytestmark = pytest.mark.django_db


def serve(version: LoopVersion, count: int, *, first: int = 0) -> list[ServedDecision]:
    """Decisions of one person each, open for an hour; every sixth unavailable."""
    pks = serve_many(version, add_people(version, count, first=first, decided=False))
    ServedDecision.objects.filter(pk__in=pks).update(closes_at=timezone.now() + timedelta(hours=1))
    return list(ServedDecision.objects.filter(pk__in=pks).order_by("pk"))


def tell(served: ServedDecision, **word: object) -> None:
    caller = Caller(user_id=1, person_id=served.person_id, may_serve=False)
    reward_add(caller=caller, public_id=served.public_id, user_id=None, reward=RewardInput("w1", **word))  # type: ignore[arg-type]


def deadline_passes(*served: ServedDecision) -> None:
    past = timezone.now() - timedelta(seconds=1)
    ServedDecision.objects.filter(pk__in=[s.pk for s in served]).update(closes_at=past)


def total(served: ServedDecision) -> float | None:
    """Its outcome's total; None: it has no outcome."""
    outcome = RewardSignal.objects.filter(decision_id=served.pk).first()
    return None if outcome is None else outcome_of(outcome)[0]


def loop_with(name: str, default: str) -> LoopVersion:
    source = SOURCE.replace("default = 0.0\n", default)
    return loop_version(name, source=source)


@pytest.fixture
def with_default() -> LoopVersion:
    return loop_with("told", "default = -0.05\n")


def test_only_those_past_their_deadline_are_closed(with_default: LoopVersion) -> None:
    first, second = serve(with_default, 2)
    deadline_passes(first)
    assert outcomes_close() == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.closed_at is not None and first.closed_at >= first.closes_at and second.closed_at is None


def test_a_worker_whose_own_clock_is_fast_closes_nothing_early(
    with_default: LoopVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deadlines are the database's, or the last words before them would count as late."""
    (served,) = serve(with_default, 1)
    monkeypatch.setattr(clock, "now", lambda: timezone.now() + timedelta(hours=2))
    assert outcomes_close() == 0
    served.refresh_from_db()
    assert served.closed_at is None


def test_a_clock_that_is_set_back_moves_deadlines_with_it(with_default: LoopVersion) -> None:
    (served,) = serve(with_default, 1)
    ServedDecision.objects.update(closes_at=timezone.now() - timedelta(days=30))
    with clock_at(timezone.now() - timedelta(days=31)):
        assert outcomes_close() == 0
    with clock_at(timezone.now() - timedelta(days=29)):
        assert outcomes_close() == 1
    served.refresh_from_db()
    assert served.closed_at is not None and served.closed_at < timezone.now() - timedelta(days=28)


def test_silence_is_the_default_where_somebody_could_be_spoken_to(with_default: LoopVersion) -> None:
    served = serve(with_default, 6)
    deadline_passes(*served)
    assert outcomes_close() == 6
    assert [total(one) for one in served] == [-0.05] * 5 + [None], "the sixth was not available"


def test_a_word_about_an_unavailable_decision_is_kept_without_a_default(with_default: LoopVersion) -> None:
    *_, unavailable = serve(with_default, 6)
    tell(unavailable, label="dismissed")
    deadline_passes(unavailable)
    outcomes_close()
    outcome = RewardSignal.objects.get()
    assert np.isnan(outcome_of(outcome)).all() and outcome.harmful is True


def test_a_loop_without_a_default_has_no_outcome_of_silence() -> None:
    version = loop_with("silent", "")
    assert version.spec.reward.default is None
    heard, silent = serve(version, 2)
    tell(heard, total=0.2)
    deadline_passes(heard, silent)
    assert outcomes_close() == 2 and (total(heard), total(silent)) == (0.2, None)


def test_a_late_word_changes_nothing(with_default: LoopVersion) -> None:
    (one,) = serve(with_default, 1)
    deadline_passes(one)
    tell(one, total=0.9)
    outcomes_close()
    assert RewardEvent.objects.get().late and total(one) == -0.05


@pytest.mark.parametrize("close", [outcomes_close, close_outcomes])
def test_it_goes_on_until_nothing_is_due(
    with_default: LoopVersion, monkeypatch: pytest.MonkeyPatch, close: Callable[[], object]
) -> None:
    monkeypatch.setattr(closing, "CLOSE_CHUNK", 3)
    deadline_passes(*serve(with_default, 10))
    close()
    assert not ServedDecision.objects.filter(closed_at__isnull=True).exists()


def test_no_more_than_asked_the_longest_waiting_first(with_default: LoopVersion) -> None:
    served = serve(with_default, 5)
    deadline_passes(*served)
    ServedDecision.objects.filter(pk=served[4].pk).update(closes_at=NOW)
    assert outcomes_close(limit=1) == 1
    served[4].refresh_from_db()
    assert served[4].closed_at is not None
    assert outcomes_close(limit=3) == 3 and outcomes_close(limit=3) == 1


def test_a_damaged_word_is_left_out_and_everything_closes(with_default: LoopVersion) -> None:
    damaged, whole = serve(with_default, 2)
    for one in (damaged, whole):
        tell(one, total=0.5)
    deadline_passes(damaged, whole)
    RewardEvent.objects.filter(served=damaged).update(payload=b"x" * 84)
    assert outcomes_close() == 2
    assert (total(damaged), total(whole)) == (-0.05, 0.5)
