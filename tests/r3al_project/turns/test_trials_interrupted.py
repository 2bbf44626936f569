"""A turn whose worker dies while a version is on trial: nobody is charged twice, no look is lost, a verdict acts once."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from django.db import transaction

from deployments.models import Deployment, Incident
from deployments.selectors.slots import trial_of
from deployments.services.rollouts.rollback import version_rollback
from deployments.services.rollouts.trial import trial_start
from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import LedgerEntry, PrivacyBudget, Release, RewardSignal
from privacy.services.records.import_file import signals_import
from privacy.services.releases.lifecycle import round_load
from r3al_project.turns.deploy_stage import deploy
from r3al_project.turns.models import Turn
from r3al_project.turns.run_in_process import turn_run
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.services import turn_cancel, turn_parameters, turn_start
from r3al_project.turns.stages import evaluate
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
from tests.factories.walks import walks_csv, walks_loop
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


class Died(Exception):
    """Stands for the end of a worker's process."""


class TestATurnThatIsInterrupted:
    """The worker dies in the evaluate stage. Before the retry somebody stops the trial, or starts one."""

    @pytest.fixture
    def loop(self, tmp_path: Path) -> LoopVersion:
        return everybody_judges(tmp_path)

    def trained(self, loop: LoopVersion, folder: Path) -> tuple[Turn, ModelVersion]:
        """A turn that comes to its evaluate stage while a version is on trial."""
        version = walker(loop, WITH_ENERGY)
        trial_start(version=version, actor="turn 1", reason="undecided")
        signals_import(path=lived(loop, folder / "2.csv", people=30), loop_version=loop, consents=CONSENTS)
        turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters())
        for stage in ("collect", "release", "synthesize", "train"):
            job_run(turn.stages.get(name=stage).job_id)
        return turn, version

    def dies(self, turn: Turn, at: float) -> Release:
        """Run the stage up to a report of progress (1: to its end, whose write is lost). Returns the release that it began."""

        def progress(fraction: float, message: str = "") -> None:
            if fraction >= at:
                raise Died

        with suppress(Died):
            evaluate(turn, SimpleNamespace(progress=progress))  # type: ignore[arg-type]
        return Release.objects.get(key=release_keys(turn)[1])

    def charges(self) -> tuple[int, set[int]]:
        """The number of people with a valid charge for a trial, and how often each of them has one."""
        held = LedgerEntry.objects.filter(release__parameters__kind="trial").exclude(release__state="refunded")
        each = Counter(held.values_list("person_id", flat=True))
        return len(each), set(each.values())

    @pytest.mark.parametrize("at", [0.2, 0.7, 1])
    def test_charges_nobody_twice_and_judges_once(self, loop: LoopVersion, tmp_path: Path, at: float) -> None:
        """Killed after the charge, after the rows were read, or after the noise was stored."""
        turn, version = self.trained(loop, tmp_path)
        release = self.dies(turn, at=at)
        spent = sorted(PrivacyBudget.objects.values_list("person_id", "rho_spent"))
        noise = round_load(release=release, index=0)
        done = turn_run(turn, say=lambda text: None)
        assert done.outcome == "kept" and "Looks left: 2." in done.reason, done.reason
        assert self.charges() == (30, {1})
        assert sorted(PrivacyBudget.objects.values_list("person_id", "rho_spent")) == spent
        verdict = version.verdicts.get(release__parameters__kind="trial")
        assert verdict.release == release and (release.parameters["look"], verdict.verdict) == (1, "insufficient")
        if noise is not None:
            again = round_load(release=release, index=0)
            assert again is not None and all(np.array_equal(noise[name], again[name]) for name in noise)

    def test_that_was_refunded_goes_on_and_loses_no_look(self, loop: LoopVersion, tmp_path: Path) -> None:
        """Killed after everybody was refunded, because no outcome could be opened, and before that was written down."""
        turn, version = self.trained(loop, tmp_path)
        kept = dict(RewardSignal.objects.values_list("pk", "payload"))
        RewardSignal.objects.update(payload=b"damaged")
        assert self.dies(turn, at=1).state == "refunded"
        done = turn_run(turn, say=lambda text: None)
        assert done.outcome == "kept", done.reason
        assert "everybody was refunded before anything was read" in done.reason and "Looks left: 3." in done.reason
        assert self.charges() == (0, set()) and not version.verdicts.filter(release__isnull=False, attempt__gt=1)
        for pk, payload in kept.items():
            RewardSignal.objects.filter(pk=pk).update(payload=payload)
        PrivacyBudget.objects.update(spent_day=0)  # another day
        run(loop)
        assert self.charges() == (30, {1})
        assert version.verdicts.get(release__parameters__kind="trial", release__parameters__look=1)

    def test_and_cancelled_gives_back_its_look(self, loop: LoopVersion, tmp_path: Path) -> None:
        turn, version = self.trained(loop, tmp_path)
        assert self.dies(turn, at=0.2).state == "reserved"
        turn_cancel(actor="ann", turn=turn)
        assert self.charges() == (0, set())
        PrivacyBudget.objects.update(spent_day=0)  # another day
        following = run(loop)
        assert "Looks left: 2." in following.reason, following.reason
        assert self.charges() == (30, {1})
        assert version.verdicts.get(release__parameters__kind="trial", release__parameters__look=1)

    @pytest.mark.parametrize("verdict", ["pass", "fail"])
    def test_in_its_deploy_stage_ends_the_trial_once(self, loop: LoopVersion, tmp_path: Path, verdict: str) -> None:
        """Two workers run the stage, because the lease of the first ran out. Only one of them may write its end."""
        turn, version = self.trained(loop, tmp_path)
        job_run(turn.stages.get(name="evaluate").job_id)
        stage = turn.stages.get(name="evaluate")
        stage.summary["verdict"] = verdict
        stage.save()
        late = deploy(Turn.objects.get(pk=turn.pk), None)  # type: ignore[arg-type]
        job_run(turn.stages.get(name="deploy").job_id)
        changes = Deployment.objects.count(), Incident.objects.count(), policy_slot(loop).generation
        with transaction.atomic():
            told = late()
        assert told["trial"]["event"] == "gone" and not told["deployed"]
        assert (Deployment.objects.count(), Incident.objects.count(), policy_slot(loop).generation) == changes
        assert (policy_slot(loop).stable == version) is (verdict == "pass")

    def test_goes_on_after_its_trial_was_read_and_ended(self, loop: LoopVersion, tmp_path: Path) -> None:
        turn, version = self.trained(loop, tmp_path)
        release = self.dies(turn, at=1)
        assert (release.state, release.parameters["kind"]) == ("committed", "trial")
        version_rollback(version=version, actor="ann", reason="enough", harmful=False)
        done = turn_run(turn, say=lambda text: None)
        assert done.outcome == "kept" and "The trial ended while the turn ran." in done.reason, done.reason
        verdict = version.verdicts.get(release=release)
        assert verdict.verdict == "insufficient"
        assert done.stages.get(name="deploy").summary["trial"] == {"event": "gone", "version": version.pk, "look": 1}

    def test_goes_on_after_another_trial_took_its_place(self, loop: LoopVersion, tmp_path: Path) -> None:
        turn, version = self.trained(loop, tmp_path)
        self.dies(turn, at=1)
        version_rollback(version=version, actor="ann", reason="enough", harmful=False)
        other = walker(loop, [[0.0, 0.0, 0.0], [-0.5, 2.5, 0.0]])
        began = trial_start(version=other, actor="ann", reason="undecided")
        done = turn_run(turn, say=lambda text: None)
        assert done.outcome == "kept" and "The trial ended while the turn ran." in done.reason, done.reason
        assert trial_of(policy_slot(loop)) == began

    def test_goes_on_with_its_evaluation_after_a_trial_began(self, tmp_path: Path) -> None:
        loop = walks_loop(tmp_path)
        signals_import(path=walks_csv(tmp_path / "1.csv"), loop_version=loop, consents=CONSENTS)
        turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters())
        for stage in ("collect", "release", "synthesize", "train"):
            job_run(turn.stages.get(name=stage).job_id)
        release = self.dies(turn, at=1)
        assert (release.state, release.parameters["kind"]) == ("committed", "evaluation")
        began = trial_start(version=walker(loop, WITHOUT), actor="ann", reason="undecided")
        done = turn_run(turn, say=lambda text: None)
        assert done.outcome == "kept", done.reason
        assert ModelVersion.objects.filter(verdicts__release=release).exists()
        assert trial_of(policy_slot(loop)) == began

    def test_refunds_everybody_of_a_trial_that_ended_unread(self, loop: LoopVersion, tmp_path: Path) -> None:
        turn, version = self.trained(loop, tmp_path)
        assert self.dies(turn, at=0.2).state == "reserved"
        version_rollback(version=version, actor="ann", reason="enough", harmful=False)
        done = turn_run(turn, say=lambda text: None)
        assert done.outcome == "kept" and "The trial ended while the turn ran." in done.reason, done.reason
        release = Release.objects.get(key=release_keys(turn)[1])
        assert release.state == "refunded" and not version.verdicts.filter(release=release).exists()


def test_a_turn_without_a_trial_that_was_refunded_leaves_its_version_undecided(tmp_path: Path) -> None:
    """Killed after everybody was refunded, because no outcome could be opened, and before that was written down."""
    loop = walks_loop(tmp_path)
    signals_import(path=walks_csv(tmp_path / "1.csv"), loop_version=loop, consents=CONSENTS)
    turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters())
    for stage in ("collect", "release", "synthesize", "train"):
        job_run(turn.stages.get(name=stage).job_id)
    RewardSignal.objects.update(payload=b"damaged")
    evaluate(turn, SimpleNamespace(progress=lambda fraction, message="": None))  # type: ignore[arg-type]
    assert Release.objects.get(key=release_keys(turn)[1]).state == "refunded"
    done = turn_run(turn, say=lambda text: None)
    assert done.outcome == "kept" and "everybody was refunded before anything was read" in done.reason, done.reason
