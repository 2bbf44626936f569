"""Living people: they go on from day to day, only what was said to them reaches them, and contrary people like the opposite."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.heads import MAIN_HEAD
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from simulator import LivingPeople, make_people
from simulator.people import POINTS_A_DAY, Variant
from tests.system import ROOT

PEOPLE = 400


@pytest.fixture(scope="module")
def spec() -> LoopSpec:
    path = ROOT / "loops" / "specs" / "r3al.toml"
    return parse_loop(path.read_text(encoding="utf-8"), source="r3al")


def living(spec: LoopSpec, variant: Variant = "companion", seed: int = 1) -> LivingPeople:
    rng = np.random.default_rng(seed)
    return LivingPeople(spec, make_people(PEOPLE, rng, variant=variant), rng)


def test_people_open_the_app_on_two_days_of_five_at_some_hour(spec: LoopSpec) -> None:
    visits = np.concatenate([living(spec, seed=seed).visits() for seed in range(10)])
    assert set(visits.tolist()) == {-1, *range(POINTS_A_DAY)}
    assert 0.35 < np.mean(visits >= 0) < 0.45


def test_the_app_knows_everything_but_the_hour(spec: LoopSpec) -> None:
    context = living(spec).context(0)
    assert set(context) == set(spec.feature_names) - {"daypart"}


def test_only_what_was_said_reaches_a_person(spec: LoopSpec) -> None:
    people = living(spec)
    result = people.react({3: {MAIN_HEAD: "breathe"}})
    answers = [people.outcome(result, i) for i in range(PEOPLE)]
    assert "uptake" in answers[3][0]
    assert all("uptake" not in components and not label for components, label in answers[:3] + answers[4:])


def test_days_go_on_from_where_they_were(spec: LoopSpec) -> None:
    people = living(spec)
    first = people.react({})
    assert people.context(0)["mood"] == pytest.approx(first.after.state[0, 0])


def test_contrary_people_welcome_what_others_dismiss(spec: LoopSpec) -> None:
    """Everybody gets the action that fits their own mood least: praise when it is low."""
    bad = {}
    for variant in ("companion", "contrary"):
        people, labels = living(spec, variant), list[str]()
        for _ in range(8):
            low = [i for i in range(PEOPLE) if people.context(i)["mood"] < 0]
            result = people.react({i: {MAIN_HEAD: "celebrate"} for i in low})
            labels += [people.outcome(result, i)[1] for i in low]
        bad[variant] = np.mean([label in spec.reward.harmful_labels for label in labels])
    assert bad["companion"] > 0.15 > 0.05 > bad["contrary"]
