"""Which decisions a trial reads: those of its arms, told from a file of older ones, and each within the bounds of a total."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.utils import timezone

from loops.engine.reward import COMPONENTS, largest_total
from loops.models import LoopVersion
from privacy.engine.evaluation.on_policy import TrialRows
from privacy.models import Choice, Decision, Person, PrivacyBudget, RewardSignal
from privacy.selectors.trial_decisions import (
    TrialSpan,
    logged_until,
    people_in_trial,
    people_judging_trial,
    trial_has_news,
    trial_rows,
)
from privacy.services.people.identity import people_get_or_create
from tests.factories.care import care_loop
from tests.factories.decisions import decision, served
from tests.factories.sealed import sealed_outcome

pytestmark = pytest.mark.django_db
BEGAN = timezone.now() - timedelta(days=1)
BEFORE, AFTER = BEGAN - timedelta(hours=1), BEGAN + timedelta(hours=1)  # when a file is imported
MAY, JUNE = datetime(2025, 5, 1, 9, tzinfo=UTC), datetime(2025, 6, 1, 9, tzinfo=UTC)  # by the file's own calendar
TOO_LATE = datetime(9999, 12, 31, tzinfo=UTC)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def imported(
    loop: LoopVersion, who: str, at: datetime, when: datetime, *, total: float = 0.0, harmful: bool | None = None
) -> None:
    """A row of a file: somebody's decision ``at`` a time, imported ``when``, with its outcome."""
    made = decision(loop, people_get_or_create(population="care", identifiers=[who])[who], [0.2, 0.0, 1.0], at)
    made.save()
    Choice.objects.create(decision=made, head="policy", action=1, propensity=0.5, marginal_propensity=0.5)
    sealed = sealed_outcome(made, [total] + [np.nan] * len(COMPONENTS))
    RewardSignal.objects.create(
        decision=made, payload=sealed, closed_at=at, harmful=harmful, has_reward=bool(np.isfinite(total))
    )
    RewardSignal.objects.filter(decision=made).update(created_at=when)
    Decision.objects.filter(pk=made.pk).update(created_at=when)


def people(loop: LoopVersion, number: int, at: datetime, when: datetime) -> None:
    for i in range(number):
        imported(loop, f"p{i}", at, when)


def day_end(at: datetime) -> datetime:
    return at.replace(hour=23, minute=59, second=59, microsecond=999_999)


def span(loop: LoopVersion) -> TrialSpan:
    """The trial that begins with what is stored now."""
    return TrialSpan(BEGAN, generation=2, log_end=logged_until(loop.loop))


def read(loop: LoopVersion, trial: TrialSpan) -> TrialRows:
    ids = list(Person.objects.values_list("pk", flat=True))
    return trial_rows(loop_version=loop, person_ids=ids, span=trial, in_candidate=lambda key: True)


def names(loop: LoopVersion, trial: TrialSpan) -> set[str]:
    """Who is charged for a look."""
    ids = people_get_or_create(population="care", identifiers=[f"p{i}" for i in range(200)] + ["new", "odd"])
    found = set(people_in_trial(loop_version=loop, span=trial).values_list("pk", flat=True))
    return {name for name, pk in ids.items() if pk in found}


class TestTheEndOfTheStoredLog:
    def test_is_the_last_decision_of_people_who_do_not_stand_out(self, loop: LoopVersion) -> None:
        people(loop, 5, MAY, BEFORE)
        assert logged_until(loop.loop) == day_end(MAY)
        imported(loop, "p0", MAY + timedelta(days=3), BEFORE)
        imported(loop, "p1", MAY + timedelta(days=2), BEFORE)
        assert logged_until(loop.loop) == day_end(MAY + timedelta(days=2)), "one person may stand out"

    def test_one_row_dated_too_late_does_not_move_it(self, loop: LoopVersion) -> None:
        people(loop, 3, MAY, BEFORE)
        imported(loop, "odd", TOO_LATE, BEFORE)
        assert logged_until(loop.loop) == day_end(MAY)

    def test_one_in_fifty_people_may_have_such_a_row(self, loop: LoopVersion) -> None:
        people(loop, 100, MAY, BEFORE)
        for i in range(2):
            imported(loop, f"p{i}", TOO_LATE, BEFORE)
        assert logged_until(loop.loop) == day_end(MAY)
        imported(loop, "p2", TOO_LATE, BEFORE)
        assert logged_until(loop.loop) == day_end(TOO_LATE)

    def test_a_log_of_one_person_ends_with_them_and_an_empty_one_nowhere(self, loop: LoopVersion) -> None:
        assert logged_until(loop.loop) is None
        imported(loop, "p0", MAY, BEFORE)
        assert logged_until(loop.loop) == day_end(MAY)


class TestMissedDays:
    """Whoever has no decision on a day of the last quarter of a trial has missed it, whatever became of the decisions."""

    def left(self, loop: LoopVersion, trial: TrialSpan) -> dict[str, bool]:
        """Who missed all of these days."""
        return {name: share == 1 for name, share in self.missed(loop, trial).items()}

    def missed(self, loop: LoopVersion, trial: TrialSpan) -> dict[str, float]:
        ids = people_get_or_create(population="care", identifiers=[f"p{i}" for i in range(30)])
        rows = read(loop, trial)
        present = sorted(people_in_trial(loop_version=loop, span=trial).values_list("pk", flat=True))
        by_id = dict(zip(present, rows.missed.tolist(), strict=True))
        return {name: by_id[pk] for name, pk in ids.items() if pk in by_id}

    def month(self, loop: LoopVersion, who: str, days: range) -> None:
        for day in days:
            imported(loop, who, JUNE + timedelta(days=day), AFTER)

    def test_is_told_from_the_last_quarter_of_the_trial(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        for i in range(18):
            self.month(loop, f"p{i}", range(0, 28, 3))
        self.month(loop, "p18", range(0, 20, 3))
        self.month(loop, "p19", range(0, 24, 3))
        assert {name for name, gone in self.left(loop, trial).items() if gone} == {"p18"}

    def test_are_a_share_of_the_days_however_often_somebody_came_on_one(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        for i in range(18):
            self.month(loop, f"p{i}", range(28))
        self.month(loop, "p18", range(24))
        self.month(loop, "p19", range(20))
        for hour in (1, 2, 3):
            imported(loop, "p19", JUNE + timedelta(days=24, hours=hour), AFTER)
        assert self.missed(loop, trial) == pytest.approx(
            {f"p{i}": 0.0 for i in range(18)} | {"p18": 4 / 8, "p19": 7 / 8}
        )

    def test_a_gap_between_the_log_and_the_trial_does_not_stretch_the_trial(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY - timedelta(days=300), BEFORE)
        trial = span(loop)
        for i in range(19):
            self.month(loop, f"p{i}", range(0, 28, 3))
        self.month(loop, "p19", range(4))
        assert {name for name, gone in self.left(loop, trial).items() if gone} == {"p19"}

    def test_a_decision_without_an_outcome_says_that_somebody_came(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        for i in range(20):
            self.month(loop, f"p{i}", range(0, 28, 3) if i < 19 else range(4))
        late = JUNE + timedelta(days=27, hours=1)
        made = decision(
            loop, people_get_or_create(population="care", identifiers=["p19"])["p19"], [0.2, 0.0, 1.0], late
        )
        made.available = False
        made.save()
        assert not any(self.left(loop, trial).values())

    def test_one_row_dated_too_late_makes_nobody_leave(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        for i in range(20):
            self.month(loop, f"p{i}", range(0, 28, 3))
        imported(loop, "p0", TOO_LATE, AFTER)
        assert not any(self.left(loop, trial).values())

    def test_a_trial_of_one_day_has_lost_nobody(self, loop: LoopVersion) -> None:
        people(loop, 5, MAY, BEFORE)
        trial = span(loop)
        for i in range(5):
            imported(loop, f"p{i}", JUNE.replace(hour=4 * i), AFTER)
        assert not any(self.left(loop, trial).values())


class TestRowsOfAFile:
    def test_one_row_dated_too_late_keeps_nobody_else_out(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        imported(loop, "odd", TOO_LATE, BEFORE)
        trial = span(loop)
        people(loop, 20, JUNE, AFTER)
        assert names(loop, trial) == {f"p{i}" for i in range(20)}
        assert np.bincount(read(loop, trial).person).tolist() == [1] * 20

    def test_count_for_a_new_person_too(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        imported(loop, "new", JUNE, AFTER)
        assert names(loop, trial) == {"new"}

    def test_of_older_decisions_are_no_evidence_for_anybody(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        for who in ("p0", "new"):
            imported(loop, who, MAY - timedelta(days=1), AFTER)
            imported(loop, who, MAY, AFTER)
            imported(loop, who, MAY + timedelta(hours=10), AFTER)  # the same day
        assert names(loop, trial) == set() and not len(read(loop, trial).reward)

    def test_of_whoever_stands_out_count_after_their_own_last_one(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        imported(loop, "p0", JUNE, BEFORE)
        trial = span(loop)
        imported(loop, "p0", JUNE - timedelta(days=1), AFTER)
        assert names(loop, trial) == set()
        imported(loop, "p0", JUNE + timedelta(days=1), AFTER)
        assert len(read(loop, trial).reward) == 1

    def test_that_arrived_before_the_trial_are_no_evidence(self, loop: LoopVersion) -> None:
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        imported(loop, "p0", JUNE, BEFORE)
        assert names(loop, trial) == set()

    def test_of_a_loop_that_serves_follow_the_clock(self, loop: LoopVersion) -> None:
        """A file of the months between the stored log and the trial was lived before the trial, whenever it arrives."""
        people(loop, 20, MAY, BEFORE)
        trial = span(loop)
        imported(loop, "p0", JUNE, AFTER)
        assert names(loop, trial) == {"p0"}, "nothing is served, so the file's calendar may be its own"
        self.serve(loop, "odd")
        assert names(loop, trial) == {"p0"}, "one served person changes nobody's trial"
        self.serve(loop, "p2")
        imported(loop, "p1", AFTER, AFTER)
        assert names(loop, trial) == {"p1"}

    def serve(self, loop: LoopVersion, who: str) -> None:
        somebody = people_get_or_create(population="care", identifiers=[who])[who]
        made = decision(loop, somebody, [0.2, 0.0, 1.0], AFTER)
        made.save()
        served(made)


class TestThePast:
    def test_is_what_was_stored_before_the_trial_whatever_the_files_calendar(self, loop: LoopVersion) -> None:
        ahead = BEGAN + timedelta(days=10_000)
        imported(loop, "p0", ahead, BEFORE, total=0.4)
        trial = span(loop)
        imported(loop, "p0", ahead + timedelta(days=40), AFTER, total=0.1)
        rows = read(loop, trial)
        assert (rows.reward.tolist(), rows.before.tolist(), rows.before_count.tolist()) == ([0.1], [0.4], [1])


class TestTotals:
    def test_beyond_the_loops_bound_count_as_the_bound(self, loop: LoopVersion) -> None:
        """An older version stored any total."""
        imported(loop, "p0", MAY, BEFORE, total=-1e300)
        trial = span(loop)
        imported(loop, "p0", JUNE, AFTER, total=1e300)
        rows, largest = read(loop, trial), largest_total(loop.spec)
        assert (rows.reward.tolist(), rows.before.tolist()) == ([largest], [-largest])


class TestLabels:
    def test_count_without_a_reward(self, loop: LoopVersion) -> None:
        """Harm may be reported alone. A decision with neither reward nor label says that somebody came, and gave no reward."""
        imported(loop, "p0", MAY, BEFORE, total=0.4)
        trial = span(loop)
        imported(loop, "p0", JUNE, AFTER, total=np.nan, harmful=True)
        imported(loop, "p1", JUNE, AFTER, total=np.nan)
        rows = read(loop, trial)
        assert (rows.harmful.tolist(), rows.rewarded.tolist(), rows.before.tolist()) == (
            [1], [False, False], [0.4, 0.0],
        )  # fmt: skip
        assert (rows.person.tolist(), rows.unreported.tolist()) == ([0], [1.0, 1.0])
        assert people_in_trial(loop_version=loop, span=trial).count() == 2
        assert people_judging_trial(loop_version=loop, span=trial).count() == 1

    def test_the_share_of_rewards_that_are_missing_is_each_persons_own(self, loop: LoopVersion) -> None:
        people(loop, 2, MAY, BEFORE)
        trial = span(loop)
        for day, (first, second) in enumerate([(0.1, np.nan), (0.1, np.nan), (np.nan, 0.2), (0.1, np.nan)]):
            imported(loop, "p0", JUNE + timedelta(days=day), AFTER, total=first)
            imported(loop, "p1", JUNE + timedelta(days=day), AFTER, total=second)
        assert read(loop, trial).unreported.tolist() == [0.25, 0.75]


class TestNews:
    def test_is_an_outcome_of_somebody_who_consents(self, loop: LoopVersion) -> None:
        """Nobody pays again because somebody else, who gave no consent, was heard."""
        people(loop, 3, MAY, BEFORE)
        trial = span(loop)
        imported(loop, "p0", JUNE, AFTER)
        ids = people_get_or_create(population="care", identifiers=["p0", "p1"])

        def news(*consenting: str) -> bool:
            among = PrivacyBudget.objects.filter(person_id__in=[ids[who] for who in consenting])
            return trial_has_news(loop_version=loop, span=trial, since=AFTER - timedelta(minutes=1), among=among)

        assert news("p0", "p1") and not news("p1") and not news()
