"""Figures of shadows: sums by minute, comparisons in groups of ten, and nothing about a single choice."""

from __future__ import annotations

import pytest
from django.db import Error

from deployments.models import ShadowMinute
from deployments.services.serving import shadow_figures
from deployments.services.serving.shadow_figures import COMPARED_TOGETHER, ShadowComparison, ShadowFigures
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned

pytestmark = pytest.mark.django_db
AGREES, DIFFERS = ShadowComparison(True, True, True), ShadowComparison(False, True, False)


@pytest.fixture
def version() -> int:
    return learned(care_loop(), "policy", ALWAYS_WALK).pk


def score(
    figures: ShadowFigures, version: int, count: int, comparison: ShadowComparison = AGREES, seconds: float = 1e-4
) -> None:
    for _ in range(count):
        figures.add_scored(version, seconds=seconds, budget=0.05, comparison=comparison)


def stored(version: int) -> dict[str, int]:
    names = ("scored", "late", "errors", "dropped", "compared", "agreed", "intervened", "stable_intervened", "total_us")
    rows = ShadowMinute.objects.filter(version=version)
    return {name: sum(getattr(row, name) for row in rows) for name in names}


def test_what_was_counted_is_written_and_added_to_what_is_stored(version: int) -> None:
    figures = ShadowFigures()
    score(figures, version, 10)
    score(figures, version, 10, DIFFERS, seconds=0.06)
    figures.add_error(version)
    figures.add_dropped(version)
    figures.write()
    figures.add_dropped(version)
    figures.write()
    assert stored(version) == {
        "scored": 20, "late": 10, "errors": 1, "dropped": 2, "compared": 20, "agreed": 10, "intervened": 20,
        "stable_intervened": 10, "total_us": 10 * 100 + 10 * 60_000,
    }  # fmt: skip
    assert max(ShadowMinute.objects.values_list("slowest_us", flat=True)) == 60_000


def test_fewer_comparisons_than_ten_are_held_back(version: int) -> None:
    figures = ShadowFigures()
    score(figures, version, COMPARED_TOGETHER - 1)
    figures.write()
    assert stored(version)["scored"] == 9 and stored(version)["compared"] == 0
    score(figures, version, 1, DIFFERS)
    figures.write()
    assert (stored(version)["compared"], stored(version)["agreed"]) == (10, 9)


def test_figures_that_cannot_be_written_are_dropped(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = ShadowFigures()
    score(figures, version, 10)

    def broken(*arguments: object) -> None:
        raise Error("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(shadow_figures, "_write", broken)
        figures.write()
    figures.write()
    assert not ShadowMinute.objects.exists()
