"""The stage that deploys: what passed is put in front of people only over what it was judged against, policy first."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from core.errors import Conflict
from deployments.models import Deployment
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import rollout_pause
from deployments.services.rollouts.start import STARTERS
from jobs.models import Job
from loops.models import LoopVersion
from r3al_project.turns.deploy_stage import deploy
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.readiness import turn_is_ready
from r3al_project.turns.services import turn_parameters
from tests.factories.care import care_loop
from tests.factories.charged_worlds import bring
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
CALM = [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop(trial="undecided")


def judged_turn(loop: LoopVersion, head: str | None, **verdicts: str) -> tuple[Turn, dict[str, ModelVersion]]:
    """A turn that trained a version a head against what serves, and whose gates said what is given."""
    turn = Turn.objects.create(loop=loop.loop, loop_version=loop, parameters=turn_parameters(head=head))
    made = {h: learned(loop, h, ALWAYS_WALK if h == "policy" else CALM) for h in ("policy", "tone")}
    for name, version in made.items():
        judged(version, verdicts[name], reason=f"{name} was asked")
    told = {name: {"verdict": verdict, "reason": f"{name} was asked"} for name, verdict in verdicts.items()}
    _stage(turn, "train", {"versions": {name: version.pk for name, version in made.items()}})
    _stage(turn, "evaluate", told["policy"] | {"heads": {"tone": told["tone"]}})
    return turn, made


def _stage(turn: Turn, name: str, summary: dict[str, Any]) -> None:
    job = Job.objects.create(kind=f"turn.{name}")
    TurnStage.objects.create(turn=turn, name=name, job=job, summary=summary)


def deployed(turn: Turn) -> dict[str, Any]:
    turn = Turn.objects.get(pk=turn.pk)
    return deploy(turn, None)()  # type: ignore[arg-type]


def serving(loop: LoopVersion) -> dict[str, ModelVersion]:
    return {head: slot_for(loop.loop, head).stable for head in ("policy", "tone")}


def test_all_that_passed_serves_policy_first(loop: LoopVersion) -> None:
    turn, made = judged_turn(loop, None, policy="pass", tone="pass")
    told = deployed(turn)
    assert told["deployed"] and told["reason"] == (
        "policy, tone: policy was asked. Exploration falls from 100% to 20% of decisions, because a version was deployed."
    )
    assert told["exploration_fell"] == "deployed"
    assert {d.strategy for d in Deployment.objects.all()} == {"full_rollout"}
    assert serving(loop) == made and [d.version for d in Deployment.objects.order_by("pk")] == list(made.values())


def test_a_first_policy_that_passed_is_tried_and_the_other_heads_wait() -> None:
    loop = care_loop()
    turn, made = judged_turn(loop, None, policy="pass", tone="pass")
    told = deployed(turn)
    assert not told["deployed"] and "A trial began: half of the people have" in told["reason"]
    slot = slot_for(loop.loop, "policy")
    assert slot.candidate == made["policy"] and not slot.stable.is_learned
    assert not slot_for(loop.loop, "tone").stable.is_learned


def test_what_an_operator_deployed_meanwhile_goes_on_serving(loop: LoopVersion) -> None:
    turn, made = judged_turn(loop, None, policy="pass", tone="fail")
    newer = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
    serve(newer)
    told = deployed(turn)
    assert not told["deployed"] and serving(loop)["policy"] == newer
    assert (
        f"Not deployed: {made['policy']} was judged against the reference, but {newer} is deployed now"
        in told["reason"]
    )
    made["policy"].refresh_from_db()
    assert made["policy"].state == "evaluating" and Deployment.objects.count() == 1


def test_a_head_that_policy_makes_speak_waits_for_policy(loop: LoopVersion) -> None:
    """Policy passed, but only tone was asked for: it would never be heard while policy serves its reference."""
    turn, _ = judged_turn(loop, "tone", policy="pass", tone="pass")
    told = deployed(turn)
    assert (
        not told["deployed"]
        and "policy serves its reference; deploy a learned version of policy first" in told["reason"]
    )
    assert not Deployment.objects.exists()


def test_with_a_policy_that_serves_it_is_deployed_alone(loop: LoopVersion) -> None:
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    turn, made = judged_turn(loop, "tone", policy="insufficient", tone="pass")
    told = deployed(turn)
    assert told["versions"] == {"tone": made["tone"].pk} and serving(loop)["tone"] == made["tone"]


def test_a_turn_starts_its_rollout_by_the_name_of_the_strategy(
    loop: LoopVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(
        *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
    ) -> Deployment:
        raise Conflict(f"{version} waits")

    monkeypatch.setitem(STARTERS, "full_rollout", refuse)
    turn, made = judged_turn(loop, None, policy="pass", tone="fail")
    told = deployed(turn)
    assert not told["deployed"] and f"Not deployed: {made['policy']} waits." in told["reason"]


CANARY = '[rollout]\nstrategy = "canary"\nstages = [0.2]\n'


def test_a_policy_that_passed_begins_the_declared_canary() -> None:
    loop = care_loop(rollout=CANARY)
    turn, made = judged_turn(loop, None, policy="pass", tone="pass")
    told = deployed(turn)
    rollout = Deployment.objects.get(strategy="canary")
    assert rollout.version == made["policy"] and rollout.slot.weight_bp == 2_000
    assert not told["deployed"] and "20% of people have it" in told["reason"]
    assert serving(loop)["tone"] != made["tone"], "a head that acts when the policy intervenes follows once it serves"


def test_a_policy_that_failed_begins_none() -> None:
    loop = care_loop(rollout=CANARY)
    turn, _ = judged_turn(loop, None, policy="fail", tone="fail")
    deployed(turn)
    assert not Deployment.objects.exists()


def test_a_second_candidate_waits_while_a_canary_goes_on() -> None:
    loop = care_loop(rollout=CANARY)
    first, _ = judged_turn(loop, None, policy="pass", tone="fail")
    deployed(first)
    Turn.objects.update(outcome="kept", finished_at=timezone.now())
    told = deployed(judged_turn(loop, None, policy="pass", tone="fail")[0])
    assert "in_progress" in told["reason"] and Deployment.objects.count() == 1
    assert not turn_is_ready(loop_version=loop, parameters=turn_parameters())


@pytest.mark.parametrize("paused", [False, True])
def test_a_paused_trial_asks_nobody_to_pay_for_a_version_that_could_not_be_deployed(paused: bool) -> None:
    loop = care_loop()
    bring(loop, ["whole"] * 12)
    assert turn_is_ready(loop_version=loop, parameters=turn_parameters())
    if paused:
        deployed(judged_turn(loop, None, policy="pass", tone="fail")[0])
        trial = Deployment.objects.get(strategy="trial")
        rollout_pause(rollout=trial, actor="ann", reason="holidays")
    assert turn_is_ready(loop_version=loop, parameters=turn_parameters()) == (not paused)
