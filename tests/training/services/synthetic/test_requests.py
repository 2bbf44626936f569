"""Tables on request: from releases alone, scored, kept once where every score reaches its bar, and refused with a reason."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.errors import Conflict, InputError, NotFound
from jobs.models import Job
from jobs.services import job_cancel, job_run
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import Release, ReleaseRound
from tests.factories.anonymize import CENTRAL, COARSE, GROUPS, LOCAL, NAMES, TOML, make_world, run
from tests.factories.synthetic import ASKED, marginals_released, synthesized
from training.models import SyntheticJob, TrainingDataPool
from training.selectors.synthetic import (
    synthetic_get,
    synthetic_report,
    synthetic_rows_write,
    synthetic_summary,
    synthetic_tables,
)
from training.services.pool import pool_expire
from training.services.synthetic.requests import SynthesizeRequest, synthesize_enqueue
from training.services.synthetic.sources import release_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small_cohorts(settings: Any) -> None:
    settings.MIN_COHORT = 10


@pytest.fixture
def world() -> LoopVersion:
    return make_world()


def rows_of(made: SyntheticJob) -> list[dict[str, str]]:
    out = io.StringIO()
    synthetic_rows_write(made, out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def refused(version: LoopVersion, request: SynthesizeRequest, error: type[Exception] = InputError) -> str:
    """The sentence of a refused request, of which nothing was written."""
    before = SyntheticJob.objects.count(), Job.objects.count(), TrainingDataPool.objects.count()
    with pytest.raises(error) as raised:
        synthesize_enqueue(loop_version=version, request=request)
    assert before == (SyntheticJob.objects.count(), Job.objects.count(), TrainingDataPool.objects.count())
    return str(raised.value)


class TestKept:
    def test_rows_of_noised_marginals_stay_within_what_the_loop_declares(self, world: LoopVersion) -> None:
        release = marginals_released(world)
        made = synthesized(world)
        assert made.state == "done", made.error
        assert made.accepted is True, made.failures
        assert made.source == "marginals"
        assert made.release == release and made.checkpoint == b"" and made.summary["source_rows"] == 1_200
        rows = rows_of(made)
        assert len(rows) == 600 == made.summary["rows"] and set(rows[0]) == {"mood", "place"}
        assert {row["place"] for row in rows} <= {"home", "office", "street"}
        assert all(-1 <= float(row["mood"]) <= 1 for row in rows)

    def test_rows_lie_in_the_pool_with_lineage_and_leave_it_with_the_report(self, world: LoopVersion) -> None:
        release = marginals_released(world)
        made = synthesized(world, replace(ASKED, samples=5_001))
        chunks = list(TrainingDataPool.objects.order_by("index"))
        assert [chunk.rows for chunk in chunks] == [5_000, 1]
        assert {(c.release, c.synthetic_job, c.kind) for c in chunks} == {(release, made, "synthetic")}
        assert {c.expires_at for c in chunks} == {made.expires_at}
        assert sum(table.rows for table in synthetic_tables(made)) == 5_001
        assert "<script" not in synthetic_report(made) and "http" not in synthetic_report(made)
        assert made.expires_at is not None
        assert pool_expire(now=made.expires_at + timedelta(seconds=1)) == 2
        assert not TrainingDataPool.objects.exists() and SyntheticJob.objects.get().report == ""

    def test_rows_under_local_privacy_are_a_source(self, world: LoopVersion) -> None:
        run(world, replace(LOCAL, rows=3), "local")
        made = synthesized(world, replace(ASKED, source_rows=50, threshold=0.0))
        assert made.state == "done", made.error
        assert made.source == "released_rows" and made.summary["source_rows"] == 50
        assert made.scores["low_data"] is True

    def test_fewer_rows_than_asked_for_are_said(self, world: LoopVersion) -> None:
        run(world, replace(LOCAL, rows=3), "local")
        made = synthesized(world, replace(ASKED, threshold=0.0))
        assert "holds 240 rows. All of them were used." in made.summary["notes"][0]
        assert synthetic_summary(made)["source_rows"] == 240


class TestBelowTheBar:
    def test_no_rows_are_kept_and_the_reasons_say_what_to_do(self, world: LoopVersion) -> None:
        marginals_released(world)
        made = synthesized(world, replace(ASKED, samples=10, threshold=1.0))
        assert made.state == "done" and made.accepted is False and not TrainingDataPool.objects.exists()
        assert made.failures and all(f["value"] < 1.0 and f["bar"] == 1.0 and f["reason"] for f in made.failures)
        assert "Refused" in synthetic_report(made)
        with pytest.raises(Conflict, match="kept no rows"):
            rows_of(made)


class TestOnce:
    def test_equal_requests_are_one_job_and_another_seed_is_another(self, world: LoopVersion) -> None:
        marginals_released(world)
        first = synthesize_enqueue(loop_version=world, request=ASKED)
        assert synthesize_enqueue(loop_version=world, request=ASKED) == first
        assert Job.objects.count() == SyntheticJob.objects.count() == 1
        assert synthesize_enqueue(loop_version=world, request=replace(ASKED, seed=2)) != first
        assert Job.objects.count() == 2

    def test_the_same_seed_makes_the_same_rows_again_once_they_have_expired(self, world: LoopVersion) -> None:
        marginals_released(world)
        made = synthesized(world)
        rows = rows_of(made)
        SyntheticJob.objects.update(expires_at=clock.now())
        again = synthesized(world)
        assert again == made and again.job_id != made.job_id and rows_of(again) == rows
        assert TrainingDataPool.objects.count() == 1

    def test_a_cancelled_job_writes_nothing_and_the_next_equal_request_begins_anew(self, world: LoopVersion) -> None:
        marginals_released(world)
        made = synthesize_enqueue(loop_version=world, request=ASKED)
        assert job_cancel(job_id=made.job_id or 0, actor="ann")
        job_run(made.job_id or 0)
        assert synthetic_get(made.pk).state == "cancelled" and not TrainingDataPool.objects.exists()
        assert synthesized(world).accepted is True

    def test_a_job_that_was_replaced_writes_nothing(self, world: LoopVersion) -> None:
        marginals_released(world)
        made = synthesize_enqueue(loop_version=world, request=ASKED)
        other = Job.objects.create(kind="training.synthesize", arguments={"synthetic": made.pk})
        job_run(other.pk)
        other.refresh_from_db()
        assert other.state == "failed" and "another job" in other.error
        assert not TrainingDataPool.objects.exists()


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"method": "magic"}, "there is no generator 'magic'"),
            ({"samples": 0}, "sampleCount is 0"),
            ({"samples": 10**9}, "sampleCount is 1,000,000,000"),
            ({"source_rows": 0}, "sourceDataCount is 0"),
            ({"threshold": 1.5}, "qualityThreshold is 1.5"),
            ({"threshold": float("nan")}, "qualityThreshold is nan"),
            ({"seed": -1}, "seed is -1"),
        ],
    )
    def test_a_request_out_of_range(self, world: LoopVersion, change: dict[str, Any], said: str) -> None:
        assert said in refused(world, replace(ASKED, **change))

    def test_a_loop_without_a_release(self, world: LoopVersion) -> None:
        assert "run a turn, or an anonymisation in mode local or marginals, first" in refused(world, ASKED, Conflict)

    @pytest.mark.parametrize("technique", [GROUPS, NAMES, COARSE])
    def test_rows_without_a_formal_guarantee(self, world: LoopVersion, technique: Any) -> None:
        release = run(world, technique)
        said = refused(world, replace(ASKED, release=release.pk))
        assert "has no formal guarantee: a generator could repeat what single people said" in said
        assert "no release" in refused(world, ASKED, Conflict), "it is never taken by default either"

    def test_statistics_of_single_fields(self, world: LoopVersion) -> None:
        release = run(world, CENTRAL)
        assert "do not tell how fields go together" in refused(world, replace(ASKED, release=release.pk))

    def test_a_release_of_another_loop(self, world: LoopVersion) -> None:
        release = marginals_released(world)
        other, _ = loop_add(text=TOML.replace('name = "rows"', 'name = "other"'), source="other.toml")
        assert "is of loop 'rows', not of 'other'" in refused(other, replace(ASKED, release=release.pk))

    def test_a_release_that_does_not_exist(self, world: LoopVersion) -> None:
        assert "no release 77" in refused(world, replace(ASKED, release=77), NotFound)
        assert "no release" in refused(world, replace(ASKED, release=10**30), NotFound)

    @pytest.mark.parametrize(
        ("state", "said"), [("refunded", "holds nothing"), ("abandoned", "holds nothing"), ("reserved", "still being")]
    )
    def test_a_release_that_is_void(self, world: LoopVersion, state: str, said: str) -> None:
        release = marginals_released(world)
        Release.objects.update(state=state, committed_at=None)
        assert said in refused(world, replace(ASKED, release=release.pk), Conflict)
        assert "no release" in refused(world, ASKED, Conflict)

    def test_rows_that_have_expired(self, world: LoopVersion) -> None:
        release = run(world, LOCAL)
        ReleaseRound.objects.update(expires_at=clock.now())
        assert "have expired" in refused(world, replace(ASKED, release=release.pk), Conflict)
        assert "no release" in refused(world, ASKED, Conflict)
        older = marginals_released(world, "other")
        assert release_for(world.loop, None) == older

    def test_rows_that_expire_while_the_job_waits(self, world: LoopVersion) -> None:
        run(world, LOCAL)
        made = synthesize_enqueue(loop_version=world, request=replace(ASKED, source_rows=50))
        ReleaseRound.objects.update(expires_at=clock.now(), output=b"")
        job_run(made.job_id or 0)
        made = synthetic_get(made.pk)
        assert made.state == "failed" and "have expired" in made.error and made.accepted is None
