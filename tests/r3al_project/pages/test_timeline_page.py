"""The timeline of a slot: what served when, why and by whom, newest first and in pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import slot_for
from deployments.selectors.timeline import PAGE, timeline_of
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_approve,
    rollout_ask,
    rollout_pause,
    rollout_promote,
    rollout_resume,
)
from deployments.services.rollouts.rollback import version_rollback
from deployments.services.rollouts.start import rollout_start
from loops.models import LoopVersion
from tests.factories.care import care_loop
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, judged, learned

pytestmark = pytest.mark.django_db(transaction=True)
DECLARED = '[rollout]\nstrategy = "canary"\nstages = [0.2, 0.5]\ndwell_weeks = 2\n'
BY_ANN: dict[str, Any] = {"actor": "ann", "reason": "because"}


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop(rollout=DECLARED)


def slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")


def canary(loop: LoopVersion) -> Deployment:
    return rollout_start(strategy="canary", version=judged(learned(loop, "policy", ALWAYS_WALK)), **BY_ANN)


def shown(loop: LoopVersion, query: str = "") -> str:
    client = browser("Viewer")
    return " ".join(client.get(reverse("timeline", args=[slot(loop).pk]) + query).content.decode().split())


def what(page: str) -> list[str]:
    """The entries, without tags."""
    found = re.findall(r'<span class="td-what">(.*?)</span></span>', page)
    return [" ".join(re.sub("<[^>]+>", " ", entry).split()) for entry in found]


def test_a_life_of_a_slot_is_told_newest_first(loop: LoopVersion) -> None:
    made = canary(loop)
    rollout_pause(rollout=made, actor="bob", reason="holidays")
    rollout_resume(rollout=made, **BY_ANN)
    made.refresh_from_db()
    rollout_ask(rollout=made, stage=0, act="advance")
    rollout_approve(rollout=made, actor="eve", reason="it looks good")
    rollout_promote(rollout=made, override="we must", **BY_ANN)
    version_rollback(version=made.version, actor="bob", reason="people frown", harmful=True)
    name = made.version.name
    told = what(shown(loop))
    assert [entry.split(" Done ")[0] for entry in told[2:]] == [
        f"Everybody except the holdback has {name}, in place of the reference.",
        f"The canary of {name} is in stage 2: 50% of people have it.",
        f"The canary of {name} waits for an operator&#x27;s approval.",
        f"The canary of {name} goes on: 20% of people have it, and its stage starts over.",
        f"The canary of {name} is paused: everybody has the present version.",
        f"The canary of {name} begins: 20% of people have it, and the others keep the reference.",
    ]
    assert sorted(told[:2]) == [
        f"Everybody has the reference again, because {name} was taken back. Done by bob. Why: people frown.",
        f"{name} was taken back for harm. Done by bob. Why: people frown.",
    ]
    assert told[3].endswith("Done by eve. Why: it looks good.") and "Done by itself." in told[4]
    assert told[6].endswith("Done by bob. Why: holidays.")


def test_a_stopped_rollout_is_an_incident_of_its_strategy(loop: LoopVersion) -> None:
    made = canary(loop)
    rollout_abort(rollout=made, **BY_ANN)
    name = made.version.name
    assert what(shown(loop))[0].startswith(f"The canary of {name} was stopped: everybody has the present version.")


def test_a_long_timeline_is_cut_into_pages_without_gaps_or_repeats(loop: LoopVersion) -> None:
    for _ in range(PAGE // 2 + 4):
        rollout_abort(rollout=canary(loop), **BY_ANN)
    found, before = [], ""
    while True:
        page = timeline_of(slot(loop), before, size=7)
        found += [(entry.kind, entry.row.pk) for entry in page.entries]
        if not (before := page.older):
            break
    whole = timeline_of(slot(loop), size=1_000)
    assert found == [(entry.kind, entry.row.pk) for entry in whole.entries] and len(set(found)) == 2 * (PAGE // 2 + 4)
    first = shown(loop)
    assert len(what(first)) == PAGE and "Earlier entries" in first and "Newest entries" not in first


def test_rows_of_one_moment_are_told_once_across_pages(loop: LoopVersion) -> None:
    for _ in range(4):
        rollout_abort(rollout=canary(loop), **BY_ANN)
    at = Deployment.objects.earliest("pk").created_at
    Deployment.objects.update(created_at=at)
    slot(loop).incidents.update(created_at=at)
    found, before = [], ""
    while True:
        page = timeline_of(slot(loop), before, size=3)
        found += [(entry.kind, entry.row.pk) for entry in page.entries]
        if not (before := page.older):
            break
    assert len(found) == len(set(found)) == 8


def test_an_empty_slot_says_so_and_the_dashboard_links_it(loop: LoopVersion) -> None:
    assert "Nothing was deployed in this slot yet." in shown(loop)
    page = browser("Analyst").get("/r3al/training-dashboard/").content.decode()
    assert reverse("timeline", args=[slot(loop).pk]) in page


@pytest.mark.parametrize("before", ["x", "1-2", "1-2-x", "9" * 19 + "-0-1", "1-1-" + "9" * 40, "-1-0-0"])
def test_a_place_that_is_none_is_said_on_the_dashboard(loop: LoopVersion, before: str) -> None:
    client = browser("Viewer")
    page = client.get(reverse("timeline", args=[slot(loop).pk]) + f"?before={before}", follow=True)
    assert page.redirect_chain and "open the timeline from the dashboard" in page.content.decode()


def test_only_who_may_see_versions_sees_it(loop: LoopVersion) -> None:
    address = reverse("timeline", args=[slot(loop).pk])
    assert browser("Service").get(address).status_code in (302, 403)
    lost = browser("Viewer").get(reverse("timeline", args=[10**30]), follow=True)
    assert "there is no slot" in lost.content.decode()


def test_full_rollouts_are_told_too(loop: LoopVersion) -> None:
    version = judged(learned(loop, "policy", ALWAYS_WALK))
    full_rollout(version=version, **BY_ANN)
    assert what(shown(loop)) == [
        f"Everybody except the holdback has {version.name}, in place of the reference. Done by ann. Why: because."
    ]
