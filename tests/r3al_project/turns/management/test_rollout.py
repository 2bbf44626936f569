"""``manage.py rollout``: rollouts are listed, shown, steered, and tried over past weeks with other terms."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from deployments.models import Deployment, Incident, RolloutCheck, ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import rollout_abort, rollout_ask
from deployments.services.rollouts.start import rollout_start
from deployments.services.ticks.rollout_tick import rollout_tick
from loops.models import LoopVersion
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before, live_weeks, people_with_keys
from tests.factories.versions import ALWAYS_WALK, judged, learned

pytestmark = pytest.mark.django_db
DECLARED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\nextensions = 1\n'


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop(rollout=DECLARED)


@pytest.fixture
def canary(loop: LoopVersion) -> Deployment:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    return rollout_start(strategy="canary", version=version, actor="ann", reason="it passed")


def said(*words: str, **options: object) -> str:
    out = StringIO()
    call_command("rollout", *words, stdout=out, **options)
    return " ".join(out.getvalue().split())


def weight(rollout: Deployment) -> int:
    return slot_for(rollout.slot.loop, "policy").weight_bp


def test_without_rollouts_it_says_how_to_start_one(loop: LoopVersion) -> None:
    assert said("list") == "there is no rollout yet; start one with `manage.py deploy NAME`"


def test_rollouts_are_listed_and_found_by_number_or_version(canary: Deployment) -> None:
    line = f"{canary.pk}: care/policy, {canary.version.name}, canary, in progress, began {canary.created_at:%Y-%m-%d}"
    assert said("list") == said("list", "--loop", "care") == line
    shown = said("show", str(canary.pk))
    assert shown == said("show", canary.version.name) and shown.startswith(line)
    assert "Stage 1 of 2 (20%, 50%, 100%). 20% of people have the version now. 0 of 2 whole weeks are closed." in shown
    assert "Next: 7 days left of week 1 of 2. There is no data yet." in shown and "Begun by ann: it passed" in shown


def test_evidence_is_shown_beside_what_is_needed(canary: Deployment) -> None:
    begun_before(canary, 2.2)
    live_weeks(canary, people_with_keys(canary, 200), (1, 2))
    rollout_tick()
    shown = said("show", str(canary.pk))
    assert "safe to go on" in shown
    assert "Empathy, proven above 85% of the present version's: holds" in shown
    near = re.search(r"Lower empathy: (\d+)% of a proof of harm", shown)
    assert near is not None and int(near[1]) < 100, (
        "people are read in the order of a hash of their keys, which are drawn"
    )


def test_it_is_steered_with_reasons(canary: Deployment) -> None:
    assert "Paused by" in said("pause", str(canary.pk), "--reason", "holidays") and weight(canary) == 0
    assert "20% of people have the version now" in said("resume", str(canary.pk), "--reason", "back")
    rollout_ask(rollout=canary, stage=0, act="advance")
    assert "Stage 2 of 2" in said("approve", canary.version.name, "--reason", "looks good") and weight(canary) == 5_000
    assert "was aborted" in said("abort", str(canary.pk), "--reason", "no time")
    assert not Incident.objects.get().harmful
    again = said("retry", str(canary.pk), "--reason", "now there is time")
    assert "is in its first stage" in again and weight(canary) == 2_000


def test_promotion_before_the_evidence_says_so_is_asked_for_by_name(canary: Deployment) -> None:
    with pytest.raises(CommandError, match="the evidence does not say yet"):
        said("promote", str(canary.pk), "--reason", "we must")
    assert weight(canary) == 2_000
    assert "It succeeded" in said("promote", str(canary.pk), "--reason", "we must", "--override")
    assert slot_for(canary.slot.loop, "policy").stable_id == canary.version_id


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("show", "999"), "there is no rollout 999"),
        (("show", "lost"), "not the name of a version"),
        (("list", "--loop", "lost"), "lost"),
        (("approve", "1"), "required: --reason"),
        (("pause", "{r}", "--reason", " "), "needs a reason"),
        (("approve", "{r}", "--reason", "r"), "waits for no approval"),
        (("resume", "{r}", "--reason", "r"), "is in progress, so it is not resumed"),
        (("retry", "{r}", "--reason", "r"), "only one that was aborted"),
        (("dry-run", "{r}"), "no closed week of rollout"),
        (("dry-run", "{r}", "--stages", "half"), "no list of shares"),
        (("dry-run", "{r}", "--stages", "0.5,0.2"), "ascending shares"),
        (("dry-run", "{r}", "--weeks", "-1"), "cannot be negative"),
        (("fly",), "invalid choice"),
    ],
)
def test_what_does_not_fit_is_one_sentence(canary: Deployment, words: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError) as error:
        said(*(word.format(r=canary.pk) for word in words))
    assert why in str(error.value) and "\n" not in str(error.value)
    canary.refresh_from_db()
    assert (canary.state, weight(canary)) == ("in_progress", 2_000)


def test_what_ended_for_harm_is_not_retried(canary: Deployment) -> None:
    rollout_abort(rollout=canary, actor="ann", reason="people frown", harmful=True)
    with pytest.raises(CommandError, match="rolled back"):
        said("retry", str(canary.pk), "--reason", "again")


def test_a_dry_run_walks_the_stored_weeks_and_writes_nothing(canary: Deployment) -> None:
    begun_before(canary, 4.2)
    live_weeks(canary, people_with_keys(canary, 300), (1, 2, 3, 4))
    rollout_tick()  # closes the weeks
    before = (
        Deployment.objects.count(),
        RolloutCheck.objects.count(),
        ServingSlot.objects.get(pk=canary.slot_id).generation,
    )
    walked = said("dry-run", str(canary.pk))
    assert "week 1, stage 1 of 2: wait" in walked and "week 2, stage 1 of 2: advance" in walked
    assert "week 4, stage 2 of 2: promote" in walked
    quick = said("dry-run", canary.version.name, "--stages", "0.5", "--weeks", "1")
    assert "week 1, stage 1 of 1: promote" in quick and "week 2" not in quick
    slow = said("dry-run", canary.version.name, "--weeks", "9")
    assert "The canary would still be in progress." in slow
    now = (
        Deployment.objects.count(),
        RolloutCheck.objects.count(),
        ServingSlot.objects.get(pk=canary.slot_id).generation,
    )
    assert now == before
