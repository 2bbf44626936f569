"""A life in memory goes through the months as the product does: log, learn, judge, then deploy, try or keep."""

import numpy as np
import pytest

from benchmarks.lives import Life, past_of, trial_rows, turn_sigmas
from benchmarks.worlds.population import Population
from benchmarks.worlds.registry import world_named
from privacy.engine.dp.accounting import gaussian_mu
from tests.benchmarks.worlds.test_population import always


def test_everybody_trains_and_judges_and_the_releases_together_spend_the_budget():
    training, judging = turn_sigmas(world_named("null").spec)
    assert 1 / training**2 + 1 / judging**2 == pytest.approx(gaussian_mu(1.0, 1e-5) ** 2)
    assert training < judging
    life = Life(world_named("null"), 50, 1)
    assert life._trainers().all() and life._judges().all()


def test_a_month_says_what_it_led_to():
    life = Life(world_named("null"), 150, 1)
    row = life.month()
    assert row["exploration"] == 1.0
    assert row["step"] in ("try", "keep", "deploy")
    assert row["gain"] == 0.0
    assert (life.trial is not None) == (row["step"] == "try")


def test_the_rows_of_a_trial_hold_all_of_its_months_by_person():
    world = world_named("near_linear")
    people, arm = Population(world, 40, np.random.default_rng(1)), np.arange(40) % 2
    logs = [people.live(2, (None, always(world, 1)), 0.1, arm) for _ in range(2)]
    past = past_of(people.live(2))
    rows = trial_rows(logs, past, world.spec.decisions_per_day)
    assert np.array_equal(rows.before, past[0][logs[0].decided.any(axis=1) | logs[1].decided.any(axis=1)])
    assert np.array_equal(rows.candidate, arm == 1)
    assert len(rows.person) == sum(log.decided.sum() for log in logs)
    assert np.all(np.diff(rows.person) >= 0)
    spoken = np.bincount(rows.person, rows.intervened) / np.bincount(rows.person)
    assert spoken[rows.candidate].min() > spoken[~rows.candidate].max()
    first = np.concatenate([log.reward[0][log.decided[0]] for log in logs])
    assert np.array_equal(rows.reward[rows.person == 0], first)


def test_the_past_is_of_those_who_stay():
    log = Population(world_named("hidden_states"), 300, np.random.default_rng(2)).live(10)
    mean, count = past_of(log)
    left = ~log.present[:, -1] | log.dropped_out[:, -1]
    assert 0 < left.sum() < 300
    assert not mean[left].any() and not count[left].any()
    one = int(np.flatnonzero(~left)[0])
    assert mean[one] == pytest.approx(log.reward[one][log.decided[one]].mean())
