"""Kinds of version: whether one is learned is declared once, and everything that asks follows."""

from __future__ import annotations

import pytest

from deployments.selectors.slots import incumbents_of, slot_for
from deployments.services.health.check import health_tick
from r3al_project.pages.front_page import page_state
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve
from training.models import ModelVersion
from training.models import versions as registry
from training.models.versions import KindChoices


class Kinds(KindChoices):
    """The kinds with one line more."""

    REFERENCE = "reference", False, "reference action"
    LINEAR_Q = "linear_q", True, "linear Q"
    TREES = "trees", True, "boosted trees"


@pytest.mark.django_db
def test_a_learned_kind_in_one_line_is_deployed_watched_shown_and_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "VersionKind", Kinds)
    loop = care_loop()
    trees = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
    ModelVersion.objects.filter(pk=trees.pk).update(kind="trees")
    trees.refresh_from_db()
    serve(trees)

    assert trees.is_learned and str(trees) == f"care/policy {trees.name}"
    assert list(ModelVersion.objects.learned()) == [trees] == list(incumbents_of(loop).values())
    shown = page_state()
    assert [row["version"] for row in shown["versions"]] == [trees]
    assert {row["slot"].head: row["learned"] for row in shown["slots"]} == {"policy": True, "tone": False}
    health_tick()
    assert trees.health_checks.count() == 1

    serve(learned(loop, "policy", ALWAYS_WALK))
    trees.refresh_from_db()
    assert trees.state == "archived", "as a learned version that no longer serves"


@pytest.mark.django_db
def test_the_reference_is_not_learned() -> None:
    loop = care_loop()
    stable = slot_for(loop.loop, "policy").stable
    assert not stable.is_learned and not ModelVersion.objects.learned().exists()
    assert str(stable).endswith("(the reference)")


def test_a_kind_that_does_not_say_whether_it_is_learned_does_not_load() -> None:
    with pytest.raises(TypeError, match="is_learned"):

        class _Kinds(KindChoices):
            TREES = "trees", "boosted trees"
