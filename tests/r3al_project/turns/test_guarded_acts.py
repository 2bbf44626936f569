"""Each act that may need a second operator waits on every road, and is done once another one approves it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core.errors import Conflict, InputError
from deployments.models import Deployment
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_approve,
    rollout_ask,
    rollout_pause,
    rollout_promote,
    rollout_retry,
)
from deployments.services.rollouts.slots import LONGEST_REASON
from deployments.services.rollouts.start import rollout_start
from loops.models import LoopVersion
from privacy.models import Approval, Release
from privacy.services.approvals.decide import approval_approve
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded
from r3al_project.turns.guarded_acts import deploy_or_ask, promote_or_ask, retry_or_ask, turn_start_or_ask
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_parameters, turn_start, turns_due
from tests.factories.care import care_loop
from tests.factories.operators import PASSWORD, approvals_declared, guarded_loop, operator, outdated_version, override
from tests.factories.versions import ALWAYS_WALK, judged, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
STAGED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\n'


@pytest.fixture
def ann() -> OperatorAccount:
    return operator("ann")


@pytest.fixture
def bert() -> OperatorAccount:
    return operator("bert")


@pytest.fixture(autouse=True)
def at_most(settings: Any) -> None:
    settings.MAX_PRIVACY_EPSILON = 4.0


def canary(loop: LoopVersion) -> Deployment:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    return rollout_start(strategy="canary", version=version, actor="ann", reason="it passed")


def approve(asked: object, by: OperatorAccount) -> Approval:
    assert isinstance(asked, Approval), asked
    return approval_approve(number=asked.pk, by=by)


class TestOverrides:
    @pytest.mark.parametrize("strategy", ["full_rollout", "canary", "ab_test", "shadow_test"])
    def test_every_strategy_waits(self, ann: OperatorAccount, bert: OperatorAccount, strategy: str) -> None:
        version = judged(learned(guarded_loop(), "policy", ALWAYS_WALK), "fail", reason="it was worse")
        if strategy == "full_rollout":
            version = outdated_version(version.loop_version)
        asked = deploy_or_ask(version=version, by=ann, reason="by hand", strategy=strategy, override="I know better")
        assert isinstance(asked, Approval) and not Deployment.objects.filter(version=version).exists()
        approve(asked, bert)
        assert Deployment.objects.get(version=version).strategy == strategy

    def test_the_words_say_the_share_of_the_people(self, ann: OperatorAccount) -> None:
        version = judged(learned(guarded_loop(rollout=STAGED), "policy", ALWAYS_WALK), "fail", reason="it was worse")
        asked = deploy_or_ask(version=version, by=ann, reason="r", strategy="canary", override="why", share=0.95)
        assert isinstance(asked, Approval) and "for 0.95 of the people, although" in asked.words

    def test_the_strategy_that_a_turn_would_choose_is_frozen(self, ann: OperatorAccount) -> None:
        version = outdated_version(guarded_loop())
        asked = deploy_or_ask(version=version, by=ann, reason="by hand", override="I know better")
        assert isinstance(asked, Approval) and asked.parameters["strategy"] == "trial", "it would be the first policy"

    def test_a_request_holds_no_more_of_a_reason_than_a_rollout_stores(self, ann: OperatorAccount) -> None:
        asked = deploy_or_ask(
            version=outdated_version(guarded_loop()),
            by=ann,
            reason="by hand",
            strategy="full_rollout",
            override="y" * 5000,
        )
        assert isinstance(asked, Approval) and asked.reason == asked.parameters["override"] == "y" * LONGEST_REASON

    def test_trying_again_against_an_objection_waits(self, ann: OperatorAccount, bert: OperatorAccount) -> None:
        rollout = canary(guarded_loop(rollout=STAGED))
        rollout_abort(rollout=rollout, actor="ann", reason="no time")
        judged(rollout.version, "fail", attempt=2, reason="it was worse")
        asked = retry_or_ask(rollout=rollout, by=ann, reason="again", override="I know better")
        assert isinstance(asked, Approval) and rollout.version.deployments.count() == 1
        with pytest.raises(SecondOperatorNeeded):
            rollout_retry(rollout=rollout, actor="script", reason="again", override="I know better")
        approve(asked, bert)
        assert rollout.version.deployments.count() == 2

    def test_trying_again_without_an_objection_waits_for_nobody(self, ann: OperatorAccount) -> None:
        rollout = canary(guarded_loop(rollout=STAGED))
        rollout_abort(rollout=rollout, actor="ann", reason="no time")
        assert isinstance(retry_or_ask(rollout=rollout, by=ann, reason="again"), Deployment)


class TestForcedPromotions:
    @pytest.fixture
    def rollout(self) -> Deployment:
        return canary(guarded_loop(rollout=STAGED))

    def promote(self, rollout: Deployment, by: OperatorAccount) -> Deployment | Approval:
        return promote_or_ask(rollout=rollout, by=by, reason="now", override="now")

    def test_it_waits_and_is_done_with_both_names(
        self, rollout: Deployment, ann: OperatorAccount, bert: OperatorAccount
    ) -> None:
        asked = self.promote(rollout, ann)
        assert isinstance(asked, Approval) and asked.act == "promotion"
        assert slot_for(rollout.slot.loop, "policy").candidate == rollout.version
        approve(asked, bert)
        made = rollout.version.deployments.latest("pk")
        assert (made.strategy, made.actor, made.reason) == ("full_rollout", "ann", "now; approved by bert")

    def test_a_promotion_that_the_evidence_asks_for_is_not_forced(
        self, rollout: Deployment, ann: OperatorAccount
    ) -> None:
        rollout_ask(rollout=rollout, stage=0, act="promote")
        rollout.refresh_from_db()
        assert isinstance(promote_or_ask(rollout=rollout, by=ann, reason="it says so"), Deployment)

    def test_a_promotion_that_the_evidence_asks_for_meanwhile_is_no_longer_forced(
        self, rollout: Deployment, ann: OperatorAccount, bert: OperatorAccount
    ) -> None:
        asked = self.promote(rollout, ann)
        rollout_ask(rollout=rollout, stage=0, act="promote")
        with pytest.raises(Conflict, match="by now it needs no second operator"):
            approve(asked, bert)
        assert slot_for(rollout.slot.loop, "policy").candidate == rollout.version

    def test_approving_a_stage_is_not_forced(self, rollout: Deployment) -> None:
        rollout_ask(rollout=rollout, stage=0, act="advance")
        assert rollout_approve(rollout=rollout, actor="ann", reason="good").stage == 1

    def test_a_rollout_that_ended_is_not_promoted(
        self, rollout: Deployment, ann: OperatorAccount, bert: OperatorAccount
    ) -> None:
        asked = self.promote(rollout, ann)
        rollout_abort(rollout=rollout, actor="cleo", reason="no time")
        with pytest.raises(Conflict, match=r"no longer applies: the rollout of .* is aborted"):
            approve(asked, bert)

    def test_a_rollout_that_was_paused_meanwhile_is_not_promoted(
        self, rollout: Deployment, ann: OperatorAccount, bert: OperatorAccount
    ) -> None:
        asked = self.promote(rollout, ann)
        rollout_pause(rollout=rollout, actor="cleo", reason="something looks wrong")
        with pytest.raises(Conflict, match="the state in which it was asked for has changed"):
            approve(asked, bert)
        assert slot_for(rollout.slot.loop, "policy").weight_bp == 0

    def test_no_service_forces_it_alone(self, rollout: Deployment) -> None:
        with pytest.raises(SecondOperatorNeeded):
            rollout_promote(rollout=rollout, actor="script", reason="now", override="now")

    def test_going_back_and_pausing_never_wait(self, rollout: Deployment) -> None:
        rollout_pause(rollout=rollout, actor="ann", reason="something looks wrong")
        rollout_abort(rollout=rollout, actor="ann", reason="it is wrong", harmful=True)


class TestEpsilonOfATurn:
    def start(self, loop: LoopVersion, by: OperatorAccount, **given: Any) -> Turn | Approval:
        return turn_start_or_ask(loop_version=loop, parameters=turn_parameters(**given), by=by)

    @pytest.mark.parametrize("given", [{"epsilon": 2.0}, {"delta": 5e-5}], ids=str)
    def test_more_than_the_default_waits(
        self, ann: OperatorAccount, bert: OperatorAccount, settings: Any, given: dict[str, float]
    ) -> None:
        settings.MAX_PRIVACY_DELTA = 1e-4
        asked = self.start(guarded_loop(), ann, **given)
        assert isinstance(asked, Approval) and asked.act == "epsilon" and not Turn.objects.exists()
        approve(asked, bert)
        turn = Turn.objects.get()
        assert (turn.actor, turn.parameters["approved_by"]) == ("ann", "bert")
        assert all(turn.parameters[name] == value for name, value in given.items()) and turn.stages.count() == 1

    def test_the_default_and_less_wait_for_nobody(self, ann: OperatorAccount) -> None:
        assert isinstance(self.start(guarded_loop(), ann), Turn)

    def test_the_words_say_a_little_more_than_the_default_as_it_is(self, ann: OperatorAccount) -> None:
        asked = self.start(guarded_loop(), ann, epsilon=1.0000001)
        assert isinstance(asked, Approval) and "epsilon 1.0000001 " in asked.words

    def test_another_loop_file_is_another_turn(self, ann: OperatorAccount, bert: OperatorAccount) -> None:
        asked = self.start(guarded_loop(), ann, epsilon=2.0)
        guarded_loop(version=2)
        with pytest.raises(Conflict, match="no longer applies"):
            approve(asked, bert)

    def test_while_another_turn_runs_it_goes_on_waiting(self, ann: OperatorAccount, bert: OperatorAccount) -> None:
        loop = guarded_loop()
        asked = self.start(loop, ann, epsilon=2.0)
        self.start(loop, ann)
        with pytest.raises(Conflict, match="still running"):
            approve(asked, bert)
        assert Approval.objects.get().state == "waiting"

    def test_a_turn_with_a_file_never_waits(self, ann: OperatorAccount, tmp_path: Path) -> None:
        file = tmp_path / "log.csv"
        file.write_text("who,at\n")
        with pytest.raises(InputError, match="import it first"):
            self.start(guarded_loop(), ann, epsilon=2.0, source=file)
        assert not Approval.objects.exists()

    def test_no_service_starts_it_alone(self) -> None:
        with pytest.raises(SecondOperatorNeeded):
            turn_start(loop_version=guarded_loop(), parameters=turn_parameters(epsilon=2.0), actor="script")
        assert not turns_due() and not Turn.objects.exists()


class TestAtATerminal:
    """Whoever acts names an account and proves with its password that it is theirs."""

    @pytest.fixture(autouse=True)
    def typed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.password(PASSWORD)

    def password(self, text: str) -> None:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n" * 3))

    def said(self, *words: str) -> str:
        out = io.StringIO()
        call_command(*words, stdout=out)
        return " ".join(out.getvalue().split())

    def test_deploy(self, ann: OperatorAccount, bert: OperatorAccount) -> None:
        version = outdated_version(guarded_loop())
        with pytest.raises(CommandError, match="with --account NAME"):
            self.said("deploy", version.name, "--strategy", "full_rollout", "--override", "why")
        words = ("deploy", version.name, "--strategy", "full_rollout", "--override", "why", "--account", "ann")
        assert not Approval.objects.exists(), "without an account nothing waits"
        assert "Nothing was done yet. It waits for a second operator as request" in self.said(*words)
        asked = Approval.objects.get()
        assert f"{asked.pk}: care, override, waiting, asked by ann" in self.said("approvals", "list")
        assert "Reason: why" in self.said("approvals", "show", str(asked.pk))
        with pytest.raises(CommandError, match="yourself"):
            self.said("approvals", "approve", str(asked.pk), "--account", "ann")
        assert not Deployment.objects.filter(version=version).exists()
        assert "is approved by bert, and done: deployment" in self.said(
            "approvals", "approve", str(asked.pk), "--account", "bert"
        )
        assert Deployment.objects.get(version=version).actor == "ann"

    def test_a_wrong_password_decides_nothing(self, ann: OperatorAccount, bert: OperatorAccount) -> None:
        asked = override(outdated_version(guarded_loop()), ann)
        assert isinstance(asked, Approval)
        self.password("guessed")
        for verb in ("approve", "decline"):
            with pytest.raises(CommandError, match="the account or its password is wrong"):
                self.said("approvals", verb, str(asked.pk), "--account", "bert", "--reason", "r")
        asked.refresh_from_db()
        assert asked.state == "waiting"

    def test_decline(self, ann: OperatorAccount, bert: OperatorAccount) -> None:
        asked = override(outdated_version(guarded_loop()), ann)
        assert isinstance(asked, Approval)
        words = ("approvals", "decline", str(asked.pk), "--account", "bert", "--reason", "too early")
        assert "is declined by bert; nothing was done" in self.said(*words)
        assert "declined by bert" in self.said("approvals", "show", str(asked.pk))
        assert self.said("approvals", "list") == "there is no request in state waiting"

    def test_promote_and_retry(self, ann: OperatorAccount) -> None:
        rollout = canary(guarded_loop(rollout=STAGED))
        asked = ("rollout", "promote", str(rollout.pk), "--reason", "now", "--override", "--account", "ann")
        assert "It waits for a second operator" in self.said(*asked)
        rollout_abort(rollout=rollout, actor="ann", reason="no time")
        judged(rollout.version, "fail", attempt=2, reason="it was worse")
        again = ("rollout", "retry", str(rollout.pk), "--reason", "r", "--override", "why", "--account", "ann")
        assert "It waits for a second operator" in self.said(*again)
        assert Approval.objects.count() == 2 and ModelVersion.objects.get(pk=rollout.version_id).state == "archived"

    def test_run_loop(self, ann: OperatorAccount) -> None:
        guarded_loop()
        words = ("run_loop", "--loop", "care", "--epsilon", "2", "--account", "ann")
        assert "It waits for a second operator" in self.said(*words) and not Turn.objects.exists()
        told = json.loads(self.said(*words, "--json"))
        assert (told["approval"], told["state"]) == (Approval.objects.get().pk, "waiting")

    def test_anonymize(self) -> None:
        guarded_loop()
        operator("olga", "Privacy officer")
        words = ("anonymize", "--loop", "care", "--epsilon", "0.9", "--key", "k", "--account", "olga")
        assert "It waits for a second operator" in self.said(*words) and not Release.objects.exists()
        told = json.loads(self.said(*words, "--json"))
        assert (told["approval"], told["state"]) == (Approval.objects.get().pk, "waiting")

    def test_loop_add(self, ann: OperatorAccount, tmp_path: Path) -> None:
        loop, file = guarded_loop(), tmp_path / "care.toml"
        file.write_text(loop.source.replace(approvals_declared(), "").replace("version = 1", "version = 2"))
        with pytest.raises(CommandError, match="with --account NAME"):
            self.said("loop", "add", str(file))
        assert "It waits for a second operator" in self.said("loop", "add", str(file), "--account", "ann")
        with pytest.raises(CommandError, match="asks for a second operator here"):
            self.said("run_loop", "--loop", str(file), "--detach")
        assert loop.loop.versions.count() == 1

    def test_a_loop_that_asks_for_nobody_asks_for_no_account(self) -> None:
        version = outdated_version(care_loop())
        self.said("deploy", version.name, "--strategy", "full_rollout", "--override", "why")
        assert Deployment.objects.get(version=version).actor.endswith("at a terminal")
