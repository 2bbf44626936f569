"""Turns one after another: nothing is read twice, rounds are pooled, what serves must be beaten, schedules begin turns."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from django.db import models
from django.utils import timezone

from deployments.selectors.slots import slot_for
from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import LedgerEntry, PrivacyBudget, Purpose, Release, RewardSignal, VaultEvent
from privacy.services.releases.moments import moments_load, moments_ready, release_plan
from r3al_project.turns.add_loop import loop_add_file
from r3al_project.turns.models import Turn
from r3al_project.turns.run_in_process import turn_run
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.services import turn_parameters, turn_start, turns_due
from tests.factories.walks import TOML, walks_csv, walks_loop
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
CONSENTS = [Purpose.TRAINING, Purpose.EVALUATION]


def run(loop: LoopVersion, **parameters: object) -> Turn:
    turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters(**parameters))  # type: ignore[arg-type]
    return turn_run(turn, say=lambda text: None)


def budgets_roll() -> None:
    """As if a day had gone by."""
    PrivacyBudget.objects.update(spent_day=0)


@pytest.mark.alone("embedded")
def test_a_second_round_reads_what_is_new_and_pools(tmp_path: Path) -> None:
    """The walks are so clear that the first round deploys (20 of 20 tries); the second finds nothing better than what serves."""
    loop = walks_loop(tmp_path)
    source = walks_csv(tmp_path / "1.csv", people=800, days=5, seed=1)
    first = run(loop, source=source, consents=CONSENTS, requested={"hyperparams": {"epsilon": 0.25}})
    assert first.outcome == "deployed", first.reason
    assert slot_for(loop.loop, "policy").exploration_bp == 2_500, "as the turn asked"
    one = Release.objects.get(purpose="training")
    trained = RewardSignal.objects.filter(release=one).count()
    assert trained and not moments_ready(loop_version=loop, epsilon=1.0, delta=1e-5)
    serving = slot_for(loop.loop, "policy").stable

    budgets_roll()
    later = walks_csv(tmp_path / "2.csv", people=800, days=5, seed=2, first=date(2025, 4, 7))
    second = run(loop, source=later, consents=CONSENTS)
    two = Release.objects.filter(purpose="training").latest("pk")
    assert two.parameters["earlier"] == [one.pk]
    assert RewardSignal.objects.filter(release=one).count() == trained, "an outcome teaches in one round"
    told = second.stages.get(name="release").summary
    assert told["rounds"] == 2
    assert told["loop"]["releases"] == 3 and 1.4 < told["loop"]["epsilon"] < 2.0, "two trained, and one judged"
    pooled, alone = moments_load(release=two), moments_load(release=one)
    assert pooled.releases == 2 and pooled.sd["targets"] < alone.sd["targets"]
    candidate = ModelVersion.objects.latest("pk")
    assert candidate.parent == serving
    assert {m.name for m in candidate.metrics.filter(source="model_gate")} == {"model_gate_z", "model_gate_z_incumbent"}
    assert set(candidate.releases.values_list("pk", flat=True)) == {one.pk, two.pk}


def released(loop: LoopVersion, source: Path) -> Release:
    """The moments of a file's people, released as a turn does it; the turn goes no further, and budgets begin anew."""
    turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters(source=source, consents=CONSENTS))
    for stage in ("collect", "release"):
        job_run(turn.stages.get(name=stage).job_id)
    Turn.objects.filter(pk=turn.pk).update(outcome="kept", finished_at=timezone.now())
    PrivacyBudget.objects.update(spent_day=0, spent_week=0, spent_month=0)
    return Release.objects.get(key=release_keys(turn)[0], state="committed")


@pytest.mark.alone("embedded")
def test_of_three_rounds_each_is_pooled_with_those_before_it(tmp_path: Path) -> None:
    loop = walks_loop(tmp_path)
    days = [date(2025, 4, 1), date(2025, 4, 7), date(2025, 4, 14)]
    files = [
        walks_csv(tmp_path / f"{i}.csv", people=300, days=3, seed=i, first=day) for i, day in enumerate(days, start=1)
    ]
    made = [released(loop, file) for file in files]
    pooled = [moments_load(release=release) for release in made]
    assert [moments.releases for moments in pooled] == [1, 2, 3]
    targets = [moments.sd["targets"] for moments in pooled]
    assert targets == sorted(targets, reverse=True) and len(set(targets)) == 3
    _, earlier = release_plan(made[2])
    assert earlier is not None and earlier.releases == 2


def test_where_nothing_is_new_nobody_is_charged(tmp_path: Path) -> None:
    loop = walks_loop(tmp_path)
    run(loop, source=walks_csv(tmp_path / "1.csv", people=300, days=3, helps=False), consents=CONSENTS)
    charged, versions = LedgerEntry.objects.count(), ModelVersion.objects.count()
    again = run(loop)
    assert again.outcome == "nothing_new" and again.reason.startswith("Nothing new, so no version was trained: nobody")
    assert [s.name for s in again.stages.order_by("pk")] == ["collect", "release"]
    assert (LedgerEntry.objects.count(), ModelVersion.objects.count()) == (charged, versions)
    recorded = VaultEvent.objects.filter(kind="turn", body__turn=again.pk).order_by("pk").values_list("body", flat=True)
    assert [(b["state"], b["actor"]) for b in recorded] == [("started", "ann"), ("nothing_new", "ann")]
    assert again.actor == "ann"


@pytest.mark.alone("embedded")
def test_outcomes_of_people_who_consent_to_evaluation_alone_do_not_wait_for_training(tmp_path: Path) -> None:
    loop = walks_loop(tmp_path)
    released(loop, walks_csv(tmp_path / "1.csv", people=300, days=3))
    PrivacyBudget.objects.update(consent_mask=Purpose.EVALUATION.bit)
    later = walks_csv(tmp_path / "2.csv", people=300, days=3, first=date(2025, 4, 7))
    again = run(loop, source=later, consents=[])
    assert not moments_ready(loop_version=loop, epsilon=1.0, delta=1e-5)
    assert again.outcome in ("kept", "deployed"), again.reason
    assert again.stages.get(name="release").summary["note"].startswith("Nothing new was released")


@pytest.mark.alone("embedded")
def test_where_nobody_has_budget_to_judge_what_serves_is_kept(tmp_path: Path) -> None:
    """The clear walks' candidate passes its model gate (20 of 20 tries), and only then are people asked."""
    loop = walks_loop(tmp_path)
    source = walks_csv(tmp_path / "1.csv", people=600, days=5)
    turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters(source=source, consents=CONSENTS))

    def spend(text: str) -> None:
        if "evaluate" in text:
            PrivacyBudget.objects.update(spent_day=models.F("cap_day"))

    ended = turn_run(turn, say=spend)
    assert ended.outcome == "kept" and "The version could not be evaluated now: nobody of loop" in ended.reason, (
        ended.reason
    )
    assert not Release.objects.filter(purpose="evaluation").exclude(state="refunded").exists()
    budgets_roll()
    versions = ModelVersion.objects.count()
    again = run(loop)
    assert ModelVersion.objects.count() == versions, "the version that waits is judged, and none is trained again"
    trained = again.stages.get(name="train").summary
    assert trained["of_turn"] == turn.pk and trained["version"] == ModelVersion.objects.learned().get().pk
    assert Release.objects.get(purpose="evaluation", state="committed").key == release_keys(again)[1]


@pytest.mark.alone("embedded")
def test_exploring_that_costs_people_is_ended_and_the_turn_says_so(tmp_path: Path) -> None:
    loop = walks_loop(tmp_path)
    turn = run(loop, source=walks_csv(tmp_path / "1.csv", people=300, days=5, helps=False), consents=CONSENTS)
    assert turn.outcome == "kept" and "drawing every action from the logging distribution costs" in turn.reason
    assert "Exploration falls from 100% to 10% of decisions, because exploring costs people about 0." in turn.reason
    assert slot_for(loop.loop, "policy").exploration_bp == 1_000
    assert turn.stages.get(name="deploy").summary["exploration_fell"] == "costs"
    assert set(VaultEvent.objects.values_list("kind", flat=True)) >= {"release", "consent"}


@pytest.mark.alone("embedded")
def test_after_the_declared_rounds_it_stops_exploring_everything(tmp_path: Path) -> None:
    file = tmp_path / "walks.toml"
    file.write_text(TOML.replace("version = 1", "version = 1\nlogging_rounds = 1", 1), encoding="utf-8")
    loop, _ = loop_add_file(file)
    run(loop, source=walks_csv(tmp_path / "1.csv", people=300, days=3, helps=False), consents=CONSENTS)
    assert slot_for(loop.loop, "policy").exploration_bp == 1_000


def test_a_schedule_begins_a_turn_when_there_is_something_new(tmp_path: Path) -> None:
    file = tmp_path / "walks.toml"
    file.write_text(TOML.replace("version = 1", 'version = 1\nretrain_every = "30d"', 1), encoding="utf-8")
    loop, _ = loop_add_file(file)
    long_ago = timezone.now() - timedelta(days=31)
    LoopVersion.objects.update(created_at=long_ago)
    assert turns_due() == [], "there is nothing to learn from"
    first = run(loop, source=walks_csv(tmp_path / "1.csv", people=100, days=2, helps=False), consents=CONSENTS)
    RewardSignal.objects.update(release=None)
    assert turns_due() == [], "the last turn was a moment ago"
    Turn.objects.filter(pk=first.pk).update(created_at=long_ago)
    assert turns_due() == [], "nobody has budget for what is new"
    budgets_roll()
    begun = turns_due()
    assert [t.loop_version for t in begun] == [loop] and turns_due() == [], "one at a time"
