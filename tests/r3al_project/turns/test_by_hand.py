"""Turns that end evaluated and wait for an operator: train, evaluate, then Deploy."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from core.errors import InputError
from deployments.models import Deployment
from deployments.selectors.slots import slot_for, slot_on_trial
from deployments.services.rollouts.start import rollout_start
from deployments.services.rollouts.trial import trial_start
from jobs.models import Job
from loops.models import LoopVersion
from privacy.models import LedgerEntry, VaultEvent
from r3al_project.turns.deploy_by_hand import deploy_by_hand
from r3al_project.turns.deploy_stage import deploy
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.readiness import turn_is_ready
from r3al_project.turns.report import print_report
from r3al_project.turns.services import stage_finish, turn_parameters
from r3al_project.turns.stages import stage_sentence
from tests.factories.care import care_loop
from tests.factories.releases import new_release
from tests.factories.trial_walks import CONSENTS, WITH_ENERGY, everybody_judges, lived, policy_slot, run, walker
from tests.factories.versions import ALWAYS_WALK, judged, learned, serve, undecided
from training.models import GateVerdict, ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
CALM = [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]


def turn_of(loop: LoopVersion, gate: dict[str, Any], versions: dict[str, ModelVersion], **given: Any) -> Turn:
    """A turn by hand whose train and evaluate stages ended as given."""
    parameters = turn_parameters(deploy="by hand", **given)
    turn = Turn.objects.create(loop=loop.loop, loop_version=loop, parameters=parameters)
    trained = {"versions": {head: version.pk for head, version in versions.items()}}
    for name, summary in (("train", trained), ("evaluate", gate), ("deploy", {})):
        TurnStage.objects.create(turn=turn, name=name, job=Job.objects.create(kind=f"turn.{name}"), summary=summary)
    return Turn.objects.get(pk=turn.pk)


def ended(turn: Turn) -> tuple[Turn, dict[str, Any]]:
    """The turn after its last stage, and the summary of that."""
    job = turn.stages.get(name="deploy").job
    write = deploy(turn, None)  # type: ignore[arg-type]
    with transaction.atomic():
        told = stage_finish(turn=turn, name="deploy", job=job, write=write)
    turn.refresh_from_db()
    return turn, told


def report_of(turn: Turn) -> str:
    """What the terminal prints of a turn that ended."""
    out = StringIO()
    report = {
        "loop": str(turn.loop_version), "seconds": 1.0, "charged": [], "policy": {}, "deployed": {}, "trial": None,
        "gate": {"verdict": "pass", "reason": "It is better", "metrics": []},
    }  # fmt: skip
    told = turn.stages.get(name="deploy").summary
    stages = [{"name": "deploy", "seconds": 1.0, "did": told}]
    print_report(report | {"stages": stages, "waiting": told["waiting"]}, out)
    return " ".join(out.getvalue().split())


class TestATurnThatWaits:
    def test_a_policy_that_passed_is_not_deployed(self) -> None:
        loop = care_loop(trial="undecided")
        version = judged(learned(loop, "policy", ALWAYS_WALK), reason="It is better")
        turn, told = ended(
            turn_of(loop, {"verdict": "pass", "reason": "It is better", "heads": {}}, {"policy": version})
        )
        assert turn.outcome == "waiting" and turn.outcome_text == "evaluated, waiting for you"
        assert turn.reason == f"policy: It is better. It is left to an operator to deploy policy {version.name}."
        assert told["waiting"] == {"policy": {"version": version.pk, "strategy": "full_rollout"}}
        assert not Deployment.objects.exists() and not slot_for(loop.loop, "policy").stable.is_learned
        assert stage_sentence("deploy", told) == f"It is left to an operator to deploy policy {version.name}."
        printed = report_of(turn)
        assert f"It is left to an operator to deploy policy {version.name}." in printed
        assert f"To do so: manage.py deploy {version.name}" in printed and "{" not in printed
        assert VaultEvent.objects.filter(kind="turn").latest("pk").body["state"] == "waiting"
        deploy_by_hand(version=version, actor="ann", reason="by hand")
        assert slot_for(loop.loop, "policy").stable == version
        turn.refresh_from_db()
        assert turn.outcome == "deployed" and turn.reason.endswith(f"ann deployed {version.name}.")

    def test_a_first_policy_waits_for_its_trial_and_explores_as_before(self) -> None:
        loop = care_loop()
        version = judged(learned(loop, "policy", ALWAYS_WALK))
        turn, told = ended(turn_of(loop, {"verdict": "pass", "reason": "Good.", "heads": {}}, {"policy": version}))
        assert turn.reason == f"policy: Good. It is left to an operator to begin the trial of policy {version.name}."
        assert slot_on_trial(loop.loop) is None and told["exploration"] == 1.0
        deploy_by_hand(version=version, actor="ann", reason="by hand")
        slot = slot_on_trial(loop.loop)
        assert slot is not None and slot.candidate == version and slot.exploration_bp == 2_000

    def test_every_head_that_passed_is_named(self) -> None:
        loop = care_loop(trial="undecided")
        versions = {"policy": learned(loop, "policy", ALWAYS_WALK), "tone": learned(loop, "tone", CALM)}
        for version in versions.values():
            judged(version)
        gate = {"verdict": "pass", "reason": "Good.", "heads": {"tone": {"verdict": "pass", "reason": "Calm."}}}
        turn, told = ended(turn_of(loop, gate, versions))
        assert list(told["waiting"]) == ["policy", "tone"]
        assert turn.reason.endswith(
            f"It is left to an operator to deploy policy {versions['policy'].name} and to deploy tone {versions['tone'].name}."
        )

    def test_it_waits_until_the_last_of_its_versions_is_deployed(self) -> None:
        loop = care_loop(trial="undecided")
        versions = {"policy": learned(loop, "policy", ALWAYS_WALK), "tone": learned(loop, "tone", CALM)}
        for version in versions.values():
            judged(version)
        gate = {"verdict": "pass", "reason": "Good.", "heads": {"tone": {"verdict": "pass", "reason": "Calm."}}}
        turn, _ = ended(turn_of(loop, gate, versions))
        for head, outcome in (("policy", "waiting"), ("tone", "deployed")):
            deploy_by_hand(version=versions[head], actor="ann", reason="by hand")
            turn.refresh_from_db()
            assert turn.outcome == outcome, head

    def test_what_failed_waits_for_nobody(self) -> None:
        loop = care_loop()
        version = judged(learned(loop, "policy", ALWAYS_WALK), "fail")
        turn, told = ended(turn_of(loop, {"verdict": "fail", "reason": "Worse.", "heads": {}}, {"policy": version}))
        assert turn.outcome == "kept" and "waiting" not in told


class TestATrialByHand:
    def gate(self, version: ModelVersion, verdict: str, look: int = 1) -> dict[str, Any]:
        trial = {"version": version.pk, "look": look, "left": 3 - look, "harmful": False}
        return {"verdict": verdict, "reason": "People said so.", "heads": {}, "trial": trial}

    @pytest.fixture
    def version(self) -> ModelVersion:
        made = undecided(learned(care_loop(), "policy", ALWAYS_WALK))
        trial_start(version=made, actor="ann", reason="by hand")
        return made

    def passed(self, version: ModelVersion) -> None:
        release = new_release(version.loop_version)
        release.parameters = {"kind": "trial", "version": version.pk, "look": 1}
        release.save()
        GateVerdict.objects.create(version=version, attempt=2, release=release, verdict="pass", reason="Better.")

    def test_one_that_passed_goes_on_until_somebody_deploys_it(self, version: ModelVersion) -> None:
        loop = version.loop_version
        turn, told = ended(turn_of(loop, self.gate(version, "pass"), {"policy": version}))
        assert turn.outcome == "waiting" and told["trial"]["event"] == "waiting"
        assert f"The trial of {version.name} passed. It is left to an operator to deploy the version." in turn.reason
        assert policy_slot(loop).candidate == version
        self.passed(version)
        assert not turn_is_ready(loop_version=loop, parameters=turn_parameters()), "nobody is charged again"
        out = StringIO()
        call_command("deploy", version.name, stdout=out)
        assert "is deployed to everybody except the holdback," in out.getvalue()
        assert policy_slot(loop).stable == version and policy_slot(loop).candidate is None

    def test_one_that_failed_ends_without_anybody(self, version: ModelVersion) -> None:
        turn, told = ended(turn_of(version.loop_version, self.gate(version, "fail"), {"policy": version}))
        assert turn.outcome == "kept" and told["trial"]["event"] == "stopped"
        assert policy_slot(version.loop_version).candidate is None

    def test_an_override_is_refused_because_nothing_speaks_against_it(self, version: ModelVersion) -> None:
        self.passed(version)
        with pytest.raises(InputError, match="nothing to override"):
            rollout_start(strategy="full_rollout", version=version, actor="ann", reason="r", override="why")


@pytest.mark.alone("embedded")
def test_by_the_whole_path_a_trial_is_read_once_and_deployed_by_command(tmp_path: Path) -> None:
    loop = everybody_judges(tmp_path)
    version = walker(loop, WITH_ENERGY)
    trial_start(version=version, actor="turn 1", reason="undecided")
    turn = run(loop, source=lived(loop, tmp_path / "2.csv"), consents=CONSENTS, deploy="by hand")
    assert turn.outcome == "waiting", turn.reason
    charged = LedgerEntry.objects.count()
    again = run(loop, deploy="by hand")
    assert again.outcome == "waiting" and "Its last look passed." in again.reason
    assert LedgerEntry.objects.count() == charged
    assert version.verdicts.filter(release__parameters__kind="trial").count() == 1
    call_command("deploy", version.name, stdout=StringIO())
    assert policy_slot(loop).stable == version


class TestTheLoopFileAndTheCommand:
    def test_the_loop_file_decides_unless_the_turn_says_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import tests.factories.care as care

        monkeypatch.setattr(care, "TOML", care.TOML.replace("version = 1", 'version = 1\ndeploy = "by hand"'))
        loop = care_loop()
        for asked, by_hand in ((None, True), ("automatic", False), ("by hand", True)):
            turn = Turn(loop=loop.loop, loop_version=loop, parameters=turn_parameters(deploy=asked))
            assert turn.deploys_by_hand is by_hand

    def test_a_mode_that_does_not_exist_is_refused(self) -> None:
        with pytest.raises(InputError, match="automatic, by hand"):
            turn_parameters(deploy="later")

    def test_the_command_begins_a_trial_and_says_what_becomes_of_exploration(self) -> None:
        loop = care_loop()
        version, out = judged(learned(loop, "policy", ALWAYS_WALK)), StringIO()
        call_command("deploy", version.name, stdout=out)
        assert out.getvalue().strip() == (
            f"{version} is on trial: half of the people have it, and the others keep the present version. "
            "Exploration falls from 100% to 20% of decisions."
        )

    def test_the_command_refuses_in_one_sentence(self) -> None:
        loop = care_loop()
        old, new = (judged(learned(loop, "policy", ALWAYS_WALK)) for _ in range(2))
        serve(new)
        with pytest.raises(CommandError, match="was judged against the reference, but"):
            call_command("deploy", old.name, "--strategy", "full_rollout", stdout=StringIO())
        out = StringIO()
        call_command("deploy", old.name, "--strategy", "full_rollout", "--override", "the new one is slow", stdout=out)
        assert slot_for(loop.loop, "policy").stable == old and "is deployed to everybody" in out.getvalue()
        with pytest.raises(CommandError, match="there is no version model_999"):
            call_command("deploy", "model_999", stdout=StringIO())


def test_a_head_that_is_not_the_policy_is_never_tried() -> None:
    loop = care_loop()
    serve(learned(loop, "policy", ALWAYS_WALK))
    tone = judged(learned(loop, "tone", CALM))
    assert deploy_by_hand(version=tone, actor="ann", reason="by hand").strategy == "full_rollout"
    assert slot_for(loop.loop, "tone").stable == tone
