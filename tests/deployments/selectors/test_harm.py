"""A twin of a harmful version is not deployed by itself until outcomes newer than the incident outweigh the older ones."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from core.errors import Conflict
from deployments.models import Deployment, Incident
from deployments.selectors.harm import forgotten_harm, remembered_harm
from deployments.services.rollouts.full_rollout import full_rollout, objections, proposal_of
from deployments.services.rollouts.rollback import version_rollback
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from privacy.models import Release, VaultEvent
from privacy.services.vault.commitments import text_digest
from tests.factories.care import care_loop
from tests.factories.releases import new_release
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, undecided
from training.models import ModelVersion, VersionKind
from training.services.versions import version_register

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def deploy(version: ModelVersion, override: str = "") -> Deployment:
    return full_rollout(version=judged(version), actor="ann", reason="passed", override=override)


def harmed(loop: LoopVersion, *, harmful: bool = True) -> Incident:
    """The incident of a version that always walks."""
    version = learned(loop, "policy", ALWAYS_WALK)
    deploy(version)
    return version_rollback(version=version, actor="ann", reason="it harms", harmful=harmful)


def twin(loop: LoopVersion, *releases: Release) -> ModelVersion:
    """Another version that always walks, with other weights."""
    version = learned(loop, "policy", [[9.0 * w for w in row] for row in ALWAYS_WALK])
    version.releases.set(releases)
    return version


def release(loop: LoopVersion, at: datetime, people: float) -> Release:
    made = new_release(loop, at=at)
    Release.objects.filter(pk=made.pk).update(noisy_users=people)
    return made


def test_a_twin_of_what_did_harm_is_not_deployed(loop: LoopVersion) -> None:
    incident = harmed(loop)
    version = twin(loop)
    with pytest.raises(Conflict, match=f"{version} acts like {incident.version}, which was taken back for harm"):
        deploy(version)
    assert not Deployment.objects.filter(version=version).exists()


def test_nor_is_it_tried(loop: LoopVersion) -> None:
    harmed(loop)
    with pytest.raises(Conflict, match="taken back for harm"):
        trial_start(version=undecided(twin(loop)), actor="turn 8", reason="undecided")


def test_what_acts_differently_is_deployed(loop: LoopVersion) -> None:
    harmed(loop)
    assert deploy(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)).state == "succeeded"


def test_a_rollback_that_was_no_harm_is_not_remembered(loop: LoopVersion) -> None:
    harmed(loop, harmful=False)
    assert deploy(twin(loop)).state == "succeeded"


def test_outcomes_of_before_do_not_redeem_it_and_newer_ones_that_outweigh_them_do(loop: LoopVersion) -> None:
    at = harmed(loop).created_at
    old = release(loop, at - timedelta(days=40), 1_000)
    few = release(loop, at + timedelta(days=30), 700)
    # 30 of the 70 days between the two releases are after the incident.
    assert "since then (about 300 people who explored) do not outweigh those before (about 1,400)" in remembered_harm(
        twin(loop, old, few)
    )
    many = release(loop, at + timedelta(days=60), 1_500)
    redeemed = twin(loop, old, few, many)
    assert remembered_harm(redeemed) == ""
    (said,) = forgotten_harm(redeemed)
    assert (
        said.startswith(f"{redeemed} acts like care/policy")
        and "but that no longer counts: outcomes since then" in said
    )


def test_what_cannot_be_compared_any_more_is_said(loop: LoopVersion) -> None:
    incident = harmed(loop)
    changed = care_loop(version=2, features='[features.sleep]\nbounds = [0, 1]\ndynamics = "learned"\n')
    version = version_register(
        loop_version=changed, head="policy", kind=VersionKind.LINEAR_Q,
        arrays={"weights": np.zeros((3, 5)), "margin": np.array(0.0)}, config={"hinges": False},
    )  # fmt: skip
    (said,) = forgotten_harm(version)
    assert f"{version} cannot be compared with {incident.version}, which was taken back for harm on" in said
    assert said.endswith("the loop has other features or actions now") and remembered_harm(version) == ""


def test_weights_that_cannot_be_read_are_said(loop: LoopVersion) -> None:
    incident = harmed(loop)
    ModelVersion.objects.filter(pk=incident.version_id).update(weights=b"damaged")
    (said,) = forgotten_harm(twin(loop))
    assert said.endswith("its weights cannot be read")


def test_what_acts_differently_is_nothing_to_mention(loop: LoopVersion) -> None:
    harmed(loop)
    assert forgotten_harm(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)) == ()


def test_an_operator_may_override_with_a_reason(loop: LoopVersion) -> None:
    harmed(loop)
    version = twin(loop)
    made = deploy(version, override="the dismissals came from a broken button")
    assert "taken back for harm" in made.reason
    assert VaultEvent.objects.latest("pk").body["override"] == text_digest("the dismissals came from a broken button")


def test_both_objections_are_said(loop: LoopVersion) -> None:
    harmed(loop)
    version = judged(twin(loop))
    deploy(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    said = objections(proposal_of(version))
    assert "was judged against the reference" in said and "taken back for harm" in said


def test_harm_of_another_head_is_another_matter(loop: LoopVersion) -> None:
    incident = harmed(loop)
    tone = judged(learned(loop, "tone", [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]))
    assert incident.version.head == "policy" and remembered_harm(tone) == ""
