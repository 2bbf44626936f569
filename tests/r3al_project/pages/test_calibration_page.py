"""The calibration page: what gates promised beside what was lived, and who is held back."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from deployments.models import ServingSlot
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.slots import slot_swap
from loops.models import LoopVersion
from tests.factories.calibration import gated, lived
from tests.factories.care import care_loop
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, learned, serve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


def page(role: str = "Viewer", url: str = "/r3al/calibration/") -> str:
    answer = browser(role).get(url)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_estimates_stand_beside_what_was_lived(loop: LoopVersion) -> None:
    version = lived(gated(loop, improvement=(0.1, 0.02, 0.18)), improvement=(0.05, 0.0, 0.1), users=1_234)
    idle = gated(loop, improvement=(0.1, 0.02, 0.18))
    text = page()
    assert "0.05 (0 to 0.1), about 1,200 people" in text and "</span> held</span>" in text
    assert f"{idle}</a>" in text and "nothing yet" in text and "</span> not lived</span>" in text
    assert "1 of 1 interval held (too few to tell)." in text and f"{version}</a>" in text


def test_one_loop_alone_and_a_loop_that_does_not_exist(loop: LoopVersion) -> None:
    gated(loop, improvement=(0.1, 0.02, 0.18))
    assert "care/policy" in page(url="/r3al/calibration/?loop=care")
    assert "care/policy" in page("Operator", url="/r3al/calibration/?loop=lost"), "all loops"


def test_without_anything_lived_it_says_so(loop: LoopVersion) -> None:
    text = page()
    assert "No gate has estimated anything yet that people could live." in text
    assert "No learned version is deployed, so nobody is held back." in text


def test_a_rotating_holdback_is_explained(loop: LoopVersion) -> None:
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    assert "Nobody is held back, so relative changes cannot be measured." in page()
    newer = learned(loop, "policy", ALWAYS_WALK)
    slot = slot_for(loop.loop, "policy")
    slot_swap(slot=slot, version=newer, strategy="full_rollout", actor="ann", reason="r", rotates=True)
    assert f"5% of people keep {version.name}. They are drawn anew each week." in page("Operator")
    ServingSlot.objects.filter(pk=slot.pk).update(rotates=False)
    assert "They stay the same." in page("Analyst")


def test_it_is_in_the_sidebar_of_whom_it_concerns(loop: LoopVersion) -> None:
    assert "/r3al/calibration/" in page("Viewer", "/admin/")
    assert browser("Service").get("/r3al/calibration/").status_code in (302, 403)
