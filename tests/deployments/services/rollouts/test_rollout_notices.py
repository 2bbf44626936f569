"""Operators are told when a rollout starts, changes its stage, pauses, goes on, ends, and when a version is taken back."""

from __future__ import annotations

import pytest
from django.test import Client

from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts import rollout_notices
from deployments.services.rollouts.candidate_arm import candidate_promote, candidate_share, candidate_stop
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.operate import TICK
from deployments.services.rollouts.rollback import slot_rollback
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from notices.models import Notice
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


@pytest.fixture
def version(loop: LoopVersion) -> ModelVersion:
    return undecided(learned(loop, "policy", ALWAYS_WALK))


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def told() -> list[str]:
    return [f"{n.kind}: {n.sentence}" for n in Notice.objects.order_by("pk")]


def start(version: ModelVersion) -> Deployment:
    return trial_start(version=version, actor="turn 7", reason="undecided")


def test_a_full_rollout_and_its_rollback(loop: LoopVersion) -> None:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    full_rollout(version=version, actor="ann", reason="passed")
    taken_back = slot(loop).stable.name
    slot_rollback(slot=slot(loop), actor="ann", reason="Bob B. complained", automatic=False, harmful=False)
    reference = slot(loop).stable.name
    assert told() == [
        f"rollout_started: {taken_back} began its full rollout in care/policy, for 95% of the people.",
        f"incident: {taken_back} was taken back in care/policy: an operator decided so. "
        f"the reference ({reference}) serves now.",
    ]
    assert "Bob" not in str(list(Notice.objects.values()))


def test_a_trial_that_is_promoted(loop: LoopVersion, version: ModelVersion) -> None:
    start(version)
    candidate_promote(slot=slot(loop), actor="turn 8", reason="better")
    label = "trial on half of the people"
    assert told() == [
        f"rollout_started: {version.name} began its {label} in care/policy, for 50% of the people.",
        f"rollout_ended: The {label} of {version.name} in care/policy ended: it is promoted.",
        f"rollout_started: {version.name} began its full rollout in care/policy, for 95% of the people.",
    ]


def test_a_stop_without_harm_is_an_end_and_proven_harm_is_an_incident(loop: LoopVersion, version: ModelVersion) -> None:
    start(version)
    candidate_stop(slot=slot(loop), actor="turn 8", reason="no better", automatic=True, harmful=False)
    second = undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    start(second)
    candidate_stop(slot=slot(loop), actor="health check", reason="empathy fell.", automatic=True, harmful=True)
    assert [line.partition(":")[0] for line in told()] == [
        "rollout_started", "rollout_ended", "rollout_started", "incident",
    ]  # fmt: skip
    assert f"{second.name} was taken back in care/policy: empathy fell. " in told()[-1]


def test_stages_pauses_and_waits(loop: LoopVersion, version: ModelVersion) -> None:
    start(version)
    change = {"actor": "rollout tick", "reason": "the reward fell."}
    candidate_share(slot=slot(loop), share_bp=7_500, **change, stage=1)
    candidate_share(slot=slot(loop), share_bp=7_500, **change, waits_for="promote")
    candidate_share(slot=slot(loop), share_bp=0, **change, state="paused", waits_for="")
    candidate_share(slot=slot(loop), share_bp=7_500, **change, state="in_progress")
    candidate_share(slot=slot(loop), share_bp=0, actor="ann", reason="Bob B. asked", state="paused", waits_for="")
    of = f"The trial on half of the people of {version.name} in care/policy"
    assert told()[1:] == [
        f"rollout_stage: {version.name} now serves 75% of the people in care/policy: "
        "the trial on half of the people reached stage 2.",
        f"rollout_waiting: {of} waits for an operator: its evidence is enough to promote.",
        f"rollout_paused: {of} is paused: the reward fell.",
        f"rollout_resumed: {of} goes on.",
        f"rollout_paused: {of} is paused: an operator decided so.",
    ]


def test_the_reasons_of_the_tick_are_the_platforms_own_words() -> None:
    assert TICK in rollout_notices._PROGRAMS


def test_a_trial_whose_reference_is_taken_back_ends(loop: LoopVersion, version: ModelVersion) -> None:
    full_rollout(version=judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)), actor="ann", reason="passed")
    ModelVersion.objects.filter(pk=version.pk).update(parent=slot(loop).stable)
    start(ModelVersion.objects.get(pk=version.pk))
    slot_rollback(slot=slot(loop), actor="health check", reason="harm", automatic=True, harmful=True)
    assert [line.partition(":")[0] for line in told()][-2:] == ["rollout_ended", "incident"]
    assert "the version that it was compared with was taken back" in told()[-2]


def test_each_notice_leads_to_a_page(operator: Client, loop: LoopVersion, version: ModelVersion) -> None:
    start(version)
    candidate_stop(slot=slot(loop), actor="health check", reason="harm", automatic=True, harmful=True)
    links = set(Notice.objects.values_list("link", flat=True))
    assert len(links) == 2 and {operator.get(link).status_code for link in links} == {200}
