"""Undoing a rollback: what was no harm is deployed again, unless something else was deployed meanwhile."""

from __future__ import annotations

import pytest

from core.errors import Conflict, InputError
from deployments.models import Deployment, Incident
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.candidate_arm import candidate_stop
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.rollback import rollback_undo, version_rollback
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from privacy.models import VaultEvent
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


@pytest.fixture
def version(loop: LoopVersion) -> ModelVersion:
    made = judged(learned(loop, "policy", ALWAYS_WALK))
    full_rollout(version=made, actor="ann", reason="passed")
    return made


def taken_back(version: ModelVersion, *, harmful: bool = False) -> Incident:
    return version_rollback(version=version, actor="ann", reason="by mistake", harmful=harmful)


def undo(incident: Incident, reason: str = "it was a mistake") -> Deployment:
    return rollback_undo(incident=Incident.objects.get(pk=incident.pk), actor="ann", reason=reason)


def test_a_harmless_rollback_is_undone(loop: LoopVersion, version: ModelVersion) -> None:
    incident = taken_back(version)
    made = undo(incident)
    now = slot_for(loop.loop, "policy")
    assert (now.stable, now.holdback, made.previous) == (version, made.previous, incident.deployment.previous)
    version.refresh_from_db()
    assert version.state == "deployed" and made.reason == f"undoes {incident}: it was a mistake"
    assert VaultEvent.objects.filter(kind="deployment", body__deployment=made.pk).exists()


def test_it_can_be_rolled_back_and_restored_again(version: ModelVersion) -> None:
    undo(taken_back(version))
    assert undo(taken_back(version)).version == version


def test_an_incident_is_undone_once(version: ModelVersion) -> None:
    incident = taken_back(version)
    undo(incident)
    with pytest.raises(Conflict, match="something else was deployed since"):
        undo(incident)


def test_harm_is_not_undone(version: ModelVersion) -> None:
    incident = taken_back(version, harmful=True)
    with pytest.raises(Conflict, match="rolled back for harm; it is never deployed again"):
        undo(incident)


def test_nor_after_something_else_was_deployed(loop: LoopVersion, version: ModelVersion) -> None:
    incident = taken_back(version)
    other = judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    full_rollout(version=other, actor="ann", reason="passed")
    with pytest.raises(Conflict, match="something else was deployed since"):
        undo(incident)
    assert slot_for(loop.loop, "policy").stable == other


def test_nor_while_a_trial_runs(loop: LoopVersion, version: ModelVersion) -> None:
    incident = taken_back(version)
    trial_start(version=undecided(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)), actor="ann", reason="undecided")
    with pytest.raises(Conflict, match="something else was deployed since"):
        undo(incident)


def test_the_end_of_a_trial_is_not_a_rollback(loop: LoopVersion) -> None:
    trial_start(version=undecided(learned(loop, "policy", ALWAYS_WALK)), actor="ann", reason="undecided")
    incident = candidate_stop(
        slot=slot_for(loop.loop, "policy"), actor="ann", reason="no better", automatic=True, harmful=False
    )
    with pytest.raises(Conflict, match="was only tried"):
        undo(incident)


def test_it_needs_a_reason(version: ModelVersion) -> None:
    incident = taken_back(version)
    with pytest.raises(InputError, match="needs a reason"):
        undo(incident, " ")
