"""Writing down what was lived: the newest figure, rounded people, and no bound where nothing is known."""

from __future__ import annotations

import math

import pytest

from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned
from training.models import LIVED, OUTCOME_GATE, ModelMetric, ModelVersion
from training.services.lived import lived_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    return learned(care_loop(), "policy", ALWAYS_WALK)


def test_a_figure_is_stored_with_rounded_people(version: ModelVersion) -> None:
    lived_record(version=version, name="empathy", value=0.8, low=0.7, high=0.9, users=1_234)
    found = ModelMetric.objects.get()
    assert (found.source, found.name, found.verdict) == (LIVED, "empathy", "reported")
    assert (found.value, found.low, found.high, found.users) == (0.8, 0.7, 0.9, 1_200)


def test_the_newest_figure_replaces_the_one_before_and_the_gates_own_stays(version: ModelVersion) -> None:
    ModelMetric.objects.create(version=version, source=OUTCOME_GATE, name="empathy", value=0.9, verdict="pass")
    lived_record(version=version, name="empathy", value=0.8, low=0.7, high=0.9, users=20)
    lived_record(version=version, name="empathy", value=0.6, low=None, high=0.7, users=40)
    stored = {m.source: (m.value, m.low, m.high) for m in version.metrics.all()}
    assert stored == {OUTCOME_GATE: (0.9, None, None), LIVED: (0.6, None, 0.7)}


def test_infinite_bounds_are_unknown_and_crossed_bounds_are_put_in_order(version: ModelVersion) -> None:
    lived_record(version=version, name="improvement", value=0.1, low=-math.inf, high=math.inf, users=20)
    lived_record(version=version, name="empathy", value=0.8, low=0.85, high=0.8, users=20)
    found = {m.name: (m.low, m.high) for m in version.metrics.all()}
    assert found == {"improvement": (None, None), "empathy": (0.8, 0.85)}
