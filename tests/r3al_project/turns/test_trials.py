"""Trials in turns: an undecided policy is tried, its people decide, and every end of a trial is said in words."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from core.arrays import pack_arrays
from deployments.models import Deployment, Incident
from deployments.selectors.slots import trial_of, trial_span
from deployments.services.rollouts.rollback import version_rollback
from deployments.services.rollouts.trial import trial_start
from jobs.models import Job
from loops.models import LoopVersion
from privacy.engine.dp.accounting import NANO
from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips, release_centred
from privacy.models import LedgerEntry, Person, PrivacyBudget, Release, ReleaseRound, RewardSignal
from privacy.selectors.decisions import evaluation_folds
from privacy.selectors.trial_decisions import people_in_trial, trial_rows
from privacy.services.records.import_file import signals_import
from r3al_project.turns.add_loop import loop_add_file
from r3al_project.turns.deploy_stage import deploy
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.report import turn_report_write
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.services import turn_parameters
from r3al_project.turns.stages import stage_sentence
from tests.factories.care import care_loop
from tests.factories.releases import new_release
from tests.factories.trial_walks import (
    CONSENTS,
    WITH_ENERGY,
    WITHOUT,
    everybody_judges,
    lived,
    policy_slot,
    run,
    walker,
)
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from tests.factories.walks import TOML, walks_csv
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.alone("embedded")
class TestByTheWholePath:
    def test_a_better_version_passes_its_trial_and_the_report_says_so(self, tmp_path: Path) -> None:
        loop = everybody_judges(tmp_path)
        version = walker(loop, WITH_ENERGY)
        trial_start(version=version, actor="turn 1", reason="undecided")
        turn = run(loop, source=lived(loop, tmp_path / "2.csv"), consents=CONSENTS)
        assert turn.outcome == "deployed", turn.reason
        assert turn.reason.startswith(f"The trial of {version.name} passed, so it is deployed to everybody")
        now = policy_slot(loop)
        assert (now.stable, now.candidate, now.holdback_bp) == (version, None, 500)
        release = Release.objects.get(parameters__kind="trial")
        assert (release.purpose, release.parameters["version"], release.parameters["look"]) == (
            "evaluation", version.pk, 1,
        )  # fmt: skip
        assert version.metrics.get(source="trial", name="improvement").verdict == "pass"
        newer = ModelVersion.objects.latest("pk")
        assert (
            newer != version and "is on trial, so this newer version was not evaluated" in newer.verdicts.get().reason
        )
        out = StringIO()
        turn_report_write(turn, seconds=1.0, as_json=True, out=out)
        assert json.loads(out.getvalue())["trial"] == {"event": "passed", "version": version.pk, "look": 1}

    def test_a_worse_one_is_stopped_for_harm_and_remembered(self, tmp_path: Path) -> None:
        loop = everybody_judges(tmp_path)
        version = walker(loop, WITHOUT)
        trial_start(version=version, actor="turn 1", reason="undecided")
        turn = run(loop, source=lived(loop, tmp_path / "2.csv"), consents=CONSENTS)
        assert turn.outcome == "kept", turn.reason
        assert f"The trial of {version.name} failed, so everybody has the present policy again." in turn.reason
        incident = Incident.objects.get()
        assert (incident.version, incident.harmful, incident.automatic) == (version, True, True)
        assert policy_slot(loop).candidate is None and not policy_slot(loop).stable.is_learned

    def test_only_decisions_since_the_trial_began_are_read(self, tmp_path: Path) -> None:
        """The month before holds the opposite of what the trial shows."""
        loop = everybody_judges(tmp_path)
        first = walker(loop, WITHOUT)
        trial_start(version=first, actor="turn 1", reason="undecided")
        run(loop, source=lived(loop, tmp_path / "1.csv"), consents=CONSENTS)
        PrivacyBudget.objects.update(spent_day=0)
        version = walker(loop, WITH_ENERGY)
        if trial_of(policy_slot(loop)) is not None:
            version_rollback(version=first, actor="ann", reason="enough", harmful=False)
        began = trial_start(version=version, actor="turn 2", reason="undecided")
        turn = run(loop)
        assert trial_of(policy_slot(loop)) == began, turn.reason
        assert "the trial has no outcomes yet" in turn.reason and "nobody was charged" in turn.reason
        assert not Release.objects.filter(parameters__kind="trial", parameters__version=version.pk).exists()
        assert not version.verdicts.filter(release__parameters__kind="trial").exists(), "no look was spent"

    def test_rows_from_before_the_trial_that_are_imported_later_are_no_evidence(self, tmp_path: Path) -> None:
        """A file's calendar may be its own: what counts is that its rows follow the rows that were stored."""
        loop = everybody_judges(tmp_path)
        first = walker(loop, WITHOUT)
        trial_start(version=first, actor="turn 1", reason="undecided")
        signals_import(path=lived(loop, tmp_path / "1.csv", people=40), loop_version=loop, consents=CONSENTS)
        version_rollback(version=first, actor="ann", reason="enough", harmful=False)
        began = trial_start(version=walker(loop, WITH_ENERGY), actor="turn 2", reason="undecided")
        for name, day in (("early", date(2025, 4, 1)), ("across", date(2025, 5, 6)), ("late", date(2025, 6, 1))):
            path = lived(loop, tmp_path / f"{name}.csv", people=50, days=2, first=day)
            signals_import(path=path, loop_version=loop, consents=CONSENTS)
        people = people_in_trial(loop_version=loop, span=trial_span(began, 0))
        rows = trial_rows(
            loop_version=loop, person_ids=list(people.values_list("pk", flat=True)), span=trial_span(began, 0),
            in_candidate=lambda key: True,
        )  # fmt: skip
        assert np.bincount(rows.person).tolist() == [2 + 4] * 50, "7 May and all of June, not 1 April or 6 May"

    def test_what_closed_before_the_trial_is_each_persons_past(self, tmp_path: Path) -> None:
        loop = everybody_judges(tmp_path)
        first = walker(loop, WITHOUT)
        trial_start(version=first, actor="turn 1", reason="undecided")
        run(loop, source=lived(loop, tmp_path / "1.csv", people=60), consents=CONSENTS)
        if trial_of(policy_slot(loop)) is not None:
            version_rollback(version=first, actor="ann", reason="enough", harmful=False)
        began = trial_start(version=walker(loop, WITH_ENERGY), actor="turn 2", reason="undecided")
        later = lived(loop, tmp_path / "2.csv", people=80, days=1, first=date(2025, 5, 12))
        run(loop, source=later, consents=CONSENTS)
        ids = list(Person.objects.values_list("pk", flat=True))
        rows = trial_rows(loop_version=loop, person_ids=ids, span=trial_span(began, 0), in_candidate=lambda key: True)
        assert np.bincount(rows.person).tolist() == [2] * 80
        assert sorted(rows.before_count.tolist()) == [0] * 20 + [4] * 60
        assert not rows.before[rows.before_count == 0].any()
        assert rows.before[rows.before_count > 0].std() > 0


class TestWhoIsCharged:
    """Of the walkers, 300 lived the month before the trial, and a few of them lived the trial too."""

    @pytest.mark.parametrize("share", ["", "evaluation_share = 0.4\n"])
    @pytest.mark.parametrize("people", [0, 5, 60])
    def test_those_with_an_outcome_in_the_trial_and_nobody_if_they_are_few(
        self, tmp_path: Path, share: str, people: int
    ) -> None:
        path = tmp_path / "walks.toml"
        path.write_text(TOML.replace("evaluation_share = 0.4\n", share), encoding="utf-8")
        loop = loop_add_file(path)[0]
        past = walks_csv(tmp_path / "1.csv", people=300, days=2)
        signals_import(path=past, loop_version=loop, consents=CONSENTS)
        version = walker(loop, WITH_ENERGY)
        began = trial_start(version=version, actor="turn 1", reason="undecided")
        if people:
            later = lived(loop, tmp_path / "2.csv", people=people, days=1, first=date(2025, 7, 1))
            signals_import(path=later, loop_version=loop, consents=CONSENTS)
        turn = run(loop)
        assert turn.outcome == "kept", turn.reason
        charged = LedgerEntry.objects.filter(release__parameters__kind="trial")
        low, high = evaluation_folds(loop.spec)
        expected = Person.objects.filter(
            fold__gte=low, fold__lt=high, decisions__created_at__gte=began.created_at
        ).distinct()  # fmt: skip
        looks = version.verdicts.filter(release__parameters__kind="trial").count()
        if people < 60:
            assert "the trial has no outcomes yet" in turn.reason and "Looks left: 3." in turn.reason
            assert (charged.count(), looks) == (0, 0)
        else:
            assert set(charged.values_list("person_id", flat=True)) == set(expected.values_list("pk", flat=True))
            assert looks == 1 and "Looks left: 2." in turn.reason
            again = run(loop)
            assert "no outcome of the trial is new since its last look, so nobody was charged" in again.reason
            assert "Looks left: 2." in again.reason

    def test_everybody_is_refunded_if_no_outcome_can_be_opened(self, tmp_path: Path) -> None:
        loop = everybody_judges(tmp_path)
        signals_import(path=walks_csv(tmp_path / "1.csv", people=100, days=2), loop_version=loop, consents=CONSENTS)
        version = walker(loop, WITH_ENERGY)
        began = trial_start(version=version, actor="turn 1", reason="undecided")
        later = lived(loop, tmp_path / "2.csv", people=60, days=1, first=date(2025, 7, 1))
        signals_import(path=later, loop_version=loop, consents=CONSENTS)
        RewardSignal.objects.filter(decision__created_at__gte=began.created_at).update(payload=b"damaged")
        turn = run(loop)
        assert "everybody was refunded" in turn.reason and "Looks left: 3." in turn.reason, turn.reason
        assert Release.objects.get(parameters__kind="trial").state == "refunded"
        assert not version.verdicts.filter(release__parameters__kind="trial").exists()

    def test_the_trial_spends_what_training_leaves_of_a_turn(self, tmp_path: Path) -> None:
        loop = everybody_judges(tmp_path)
        signals_import(path=walks_csv(tmp_path / "1.csv", people=100, days=2), loop_version=loop, consents=CONSENTS)
        trial_start(version=walker(loop, WITH_ENERGY), actor="turn 1", reason="undecided")
        later = lived(loop, tmp_path / "2.csv", people=100, days=1, first=date(2025, 7, 1))
        first = run(loop, source=later, consents=CONSENTS)  # the loop has nothing to train on yet
        PrivacyBudget.objects.update(spent_day=0)
        news = lived(loop, tmp_path / "3.csv", people=100, days=1, first=date(2025, 7, 2))
        second = run(loop, source=news, consents=CONSENTS)
        for turn, costs in ((first, [0.7, 0.3]), (second, [1.0])):
            made = Release.objects.filter(key__in=release_keys(turn)).order_by("pk")
            assert [release.policy_cost / NANO for release in made] == costs


def judged_turn(loop: LoopVersion, gate: dict[str, Any], **train: Any) -> tuple[Turn, ModelVersion]:
    """A turn whose train and evaluate stages ended as given."""
    turn = Turn.objects.create(loop=loop.loop, loop_version=loop, parameters=turn_parameters())
    newer = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
    for name, summary in (("train", {"versions": {"policy": newer.pk}} | train), ("evaluate", gate)):
        TurnStage.objects.create(turn=turn, name=name, job=Job.objects.create(kind=f"turn.{name}"), summary=summary)
    return turn, newer


def evaluated(version: ModelVersion, *, below: int) -> None:
    """The version's evaluation of 2,000 people, of whom so many lost more than its clip."""
    values = np.full(2_000, 0.1)
    values[:below] = -9.0
    sums = release_centred("improvement", PersonValues(values), ValueClips(1.0), sigma=None, share=1.0)
    data = pack_arrays(sums | {"improvement_rho": np.array([0.1])})
    release = version.verdicts.get().release
    assert release is not None
    Release.objects.filter(pk=release.pk).update(parameters={"metrics": ["improvement"]})
    ReleaseRound.objects.create(release=release, index=0, output=data, output_sha256=hashlib.sha256(data).hexdigest())


def ended(turn: Turn) -> dict[str, Any]:
    write = deploy(Turn.objects.get(pk=turn.pk), None)  # type: ignore[arg-type]
    with transaction.atomic():  # as the end of a job does
        return write()


class TestTheEnds:
    @pytest.fixture
    def loop(self) -> LoopVersion:
        return care_loop()

    @pytest.fixture
    def version(self, loop: LoopVersion) -> ModelVersion:
        made = undecided(learned(loop, "policy", ALWAYS_WALK))
        trial_start(version=made, actor="turn 1", reason="undecided")
        return made

    def gate(self, version: ModelVersion, verdict: str, look: int = 1, *, harmful: bool = False) -> dict[str, Any]:
        trial = {"version": version.pk, "look": look, "left": 3 - look, "harmful": harmful}
        return {"verdict": verdict, "reason": "People said so.", "heads": {}, "trial": trial}

    def test_an_undecided_look_lets_it_go_on(self, loop: LoopVersion, version: ModelVersion) -> None:
        told = ended(judged_turn(loop, self.gate(version, "insufficient", 2))[0])
        assert told["trial"] == {"event": "continues", "version": version.pk, "look": 2} and not told["deployed"]
        assert (
            told["reason"].startswith(f"The trial of {version.name} continues") and "Looks left: 1." in told["reason"]
        )
        assert policy_slot(loop).candidate == version
        assert stage_sentence("deploy", told) == f"The trial of {version.name} continues."

    def test_the_third_undecided_look_ends_it_without_harm(self, loop: LoopVersion, version: ModelVersion) -> None:
        told = ended(judged_turn(loop, self.gate(version, "insufficient", 3))[0])
        assert "ended without evidence that it is better" in told["reason"]
        assert policy_slot(loop).candidate is None and not Incident.objects.get().harmful

    def test_what_nobody_could_be_charged_for_is_no_look(self, loop: LoopVersion, version: ModelVersion) -> None:
        ended(judged_turn(loop, self.gate(version, "insufficient", 0))[0])
        assert policy_slot(loop).candidate == version

    def test_a_trial_that_somebody_stopped_meanwhile_is_not_promoted(
        self, loop: LoopVersion, version: ModelVersion
    ) -> None:
        version_rollback(version=version, actor="ann", reason="people frown", harmful=False)
        told = ended(judged_turn(loop, self.gate(version, "pass"))[0])
        assert told["trial"]["event"] == "gone" and not told["deployed"]
        assert not policy_slot(loop).stable.is_learned

    def test_a_pass_deploys_the_version_on_trial_and_not_the_newer_one(
        self, loop: LoopVersion, version: ModelVersion
    ) -> None:
        turn, newer = judged_turn(loop, self.gate(version, "pass"))
        told = ended(turn)
        assert told["deployed"] and told["versions"] == {"policy": version.pk}
        assert policy_slot(loop).stable == version != newer
        assert stage_sentence("deploy", told) == f"Deployed to everybody except the holdback: policy {version.name}."


class TestTheBeginning:
    @pytest.fixture
    def loop(self) -> LoopVersion:
        return care_loop()

    def undecided_turn(self, loop: LoopVersion, **train: Any) -> tuple[Turn, ModelVersion]:
        gate = {"verdict": "insufficient", "reason": "Few people.", "heads": {}}
        turn, version = judged_turn(loop, gate, **train)
        return turn, undecided(version)

    def test_a_turn_that_leaves_its_policy_undecided_begins_a_trial(self, loop: LoopVersion) -> None:
        turn, version = self.undecided_turn(loop)
        told = ended(turn)
        assert told["trial"] == {"event": "started", "version": version.pk, "look": 0} and not told["deployed"]
        assert f"A trial began: half of the people have {version.name}" in told["reason"]
        assert policy_slot(loop).candidate == version and told["exploration"] == 0.2
        assert told["reason"].endswith("Exploration falls from 100% to 20% of decisions, because a trial began.")
        assert told["exploration_fell"] == "tried"
        assert Deployment.objects.get().actor == f"turn {turn.pk}"

    def test_a_failed_policy_is_not_tried(self, loop: LoopVersion) -> None:
        turn, version = judged_turn(loop, {"verdict": "fail", "reason": "Worse.", "heads": {}})
        judged(version, "fail")
        assert "trial" not in ended(turn) and policy_slot(loop).candidate is None

    def test_a_twin_of_what_did_harm_is_not_tried_and_the_turn_says_so(self, loop: LoopVersion) -> None:
        harmed = undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        trial_start(version=harmed, actor="turn 1", reason="undecided")
        version_rollback(version=harmed, actor="ann", reason="people frown", harmful=True)
        turn, version = self.undecided_turn(loop)
        told = ended(turn)
        assert f"No trial: {version} acts like {harmed}, which was taken back for harm" in told["reason"]
        assert policy_slot(loop).candidate is None

    def test_what_may_hide_losses_is_not_tried_and_the_turn_says_why(self, loop: LoopVersion) -> None:
        """Five of 2,000 people lie below the evaluation's clip, and no noise explains them."""
        turn, version = self.undecided_turn(loop)
        evaluated(version, below=5)
        told = ended(turn)
        assert (
            "No trial begins, because some people may have lost more than the evaluation can measure." in told["reason"]
        )
        assert "trial" not in told and policy_slot(loop).candidate is None

    def test_what_hides_no_losses_is_tried(self, loop: LoopVersion) -> None:
        turn, version = self.undecided_turn(loop)
        evaluated(version, below=0)
        told = ended(turn)
        assert told["trial"]["event"] == "started" and "may have lost more" not in told["reason"]

    def test_harm_that_no_longer_counts_is_said(self, loop: LoopVersion) -> None:
        harmed = undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        trial_start(version=harmed, actor="turn 1", reason="undecided")
        version_rollback(version=harmed, actor="ann", reason="people frown", harmful=True)
        turn, version = self.undecided_turn(loop)
        newer = new_release(loop)
        newer.noisy_users = 2_000
        newer.save()
        version.releases.set([newer])
        told = ended(turn)
        assert policy_slot(loop).candidate == version
        assert f"{version} acts like {harmed}, which was taken back for harm on" in told["reason"]
        assert (
            "but that no longer counts: outcomes since then (about 2,000 people who explored) outweigh"
            in told["reason"]
        )

    def test_exploring_that_costs_people_falls_and_the_turn_says_so(self, loop: LoopVersion) -> None:
        turn, version = judged_turn(
            loop, {"verdict": "fail", "reason": "Worse.", "heads": {}}, logging_cost=[0.2, 0.1, 0.3]
        )
        judged(version, "fail")
        told = ended(turn)
        assert (
            "Exploration falls from 100% to 20% of decisions, because exploring costs people about 0.1 or more reward"
            in told["reason"]
        )
        assert "a decision [0.05, 0.15]." in told["reason"] and told["exploration_fell"] == "costs"
