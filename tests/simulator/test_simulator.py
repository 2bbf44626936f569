"""Simulated people: reproducible, within bounds, different from each other, tired for long, and with a known truth."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy import stats

from loops.engine.parse.loop import parse_loop
from loops.engine.rows.reader import RowReader
from loops.engine.spec import LoopSpec
from simulator import make_people, simulate, write_csv
from tests.system import ROOT

ACTIONS = 5
STRESS, MOOD, GAP, LOAD, ENGAGEMENT = 1, 0, 5, 6, 2


@pytest.fixture(scope="module")
def spec() -> LoopSpec:
    path = ROOT / "loops" / "specs" / "r3al.toml"
    return parse_loop(path.read_text(encoding="utf-8"), source="r3al")


def constant(action: int):
    return lambda states: np.tile(np.eye(ACTIONS)[action], (len(states), 1))


def sensible(states: np.ndarray) -> np.ndarray:
    """What a person would write down: the action the state calls for, nothing when much was sent."""
    wanted = np.where(states[:, GAP] > 0.6, 1, 0)
    wanted = np.where(states[:, MOOD] > 0.4, 4, wanted)
    wanted = np.where(states[:, MOOD] < -0.3, 3, wanted)
    wanted = np.where(states[:, STRESS] > 0.6, 2, wanted)
    return np.eye(ACTIONS)[np.where(states[:, LOAD] > 0.5, 0, wanted)]


def always_intervening(states: np.ndarray) -> np.ndarray:
    return np.tile([0, 0.25, 0.25, 0.25, 0.25], (len(states), 1))


def lived(spec, policy, *, variant="companion", people=800, days=15, seed=3):
    """One seed is one world: the same people and shocks whatever the policy."""
    rng = np.random.default_rng(seed)
    return simulate(spec, make_people(people, rng, variant=variant), days, rng, policy)


def paired_z(first, second) -> float:
    difference = first - second
    return float(difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference))))


def test_a_seed_fixes_everything_and_another_seed_changes_it(spec):
    first, again, other = (lived(spec, None, people=50, days=3, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.state, again.state) and np.array_equal(first.reward, again.reward)
    assert np.array_equal(first.label, again.label)
    assert not np.array_equal(first.reward, other.reward)


def test_policies_with_one_seed_meet_the_same_people_at_the_same_moments(spec):
    waiting, speaking = lived(spec, constant(0), people=100, days=3), lived(spec, constant(2), people=100, days=3)
    assert np.array_equal(waiting.available, speaking.available)
    assert np.array_equal(waiting.state[:, 0], speaking.state[:, 0])


@pytest.mark.parametrize("policy", [None, always_intervening])
def test_states_and_components_stay_inside_their_bounds(spec, policy):
    cohort = lived(spec, policy, people=300)
    for i, feature in enumerate(spec.features):
        low, high = feature.bounds or (0, len(feature.categories) - 1)
        assert low <= cohort.state[:, :, i].min() and cohort.state[:, :, i].max() <= high
    rated = cohort.components[..., 2:]
    assert np.nanmin(rated) >= 0 and np.nanmax(rated) <= 1
    assert np.isfinite(cohort.reward).all()


def test_heads_speak_only_where_they_may(spec):
    cohort = lived(spec, None, people=300)
    policy = cohort.actions["policy"]
    assert ((policy >= 0) == cohort.available).all()
    for head in ("timing", "tone", "empathy"):
        assert ((cohort.actions[head] >= 0) == (policy > 0)).all()
        assert (np.isnan(cohort.propensities[head]) == (policy <= 0)).all()
    assert (cohort.label[policy <= 0] == 0).all()


def test_logged_propensities_are_the_frequencies(spec):
    """Chi-square of each of four heads at 1e-5: a false alarm in at most 4e-5 of seeds."""
    cohort = lived(spec, None)
    for head in spec.heads:
        taken = cohort.actions[head.name][cohort.actions[head.name] >= 0]
        counts = np.bincount(taken, minlength=len(head.actions))
        assert stats.chisquare(counts, np.array(head.logging) * counts.sum()).pvalue > 1e-5
        logged = cohort.propensities[head.name][cohort.actions[head.name] >= 0]
        assert np.allclose(logged, np.array(head.logging)[taken])


def test_people_differ_more_than_their_own_days_explain(spec):
    """Mean mood of odd and even days agrees within a person, far beyond what chance among like people would give."""
    mood = lived(spec, constant(0), people=400, days=16).state[:, :, MOOD].reshape(400, 16, 4).mean(axis=2)
    assert np.corrcoef(mood[:, ::2].mean(axis=1), mood[:, 1::2].mean(axis=1))[0, 1] > 0.5


def test_a_burst_of_interventions_lowers_engagement_two_weeks_later(spec):
    """Paired worlds; z beyond 5 has a false-alarm rate under 1e-6. Load is forgotten by then: what lasts is hidden."""
    calls = iter(range(1_000))

    def burst(states: np.ndarray) -> np.ndarray:
        return (always_intervening if next(calls) < 20 else constant(0))(states)

    tired, rested = lived(spec, burst, days=19), lived(spec, constant(0), days=19)
    assert tired.state[:, -4:, LOAD].max() < 0.01
    later = [c.state[:, -4:, ENGAGEMENT].mean(axis=1) for c in (tired, rested)]
    assert paired_z(*later) < -5


def test_in_companion_sense_beats_waiting_and_waiting_beats_speaking_always(spec):
    """Paired over people; z beyond 5 each."""
    sense, wait, always = (lived(spec, p).reward.mean(axis=1) for p in (sensible, constant(0), always_intervening))
    assert paired_z(sense, wait) > 5
    assert paired_z(wait, always) > 5


@pytest.mark.parametrize("policy", [None, *map(constant, range(1, ACTIONS)), sensible, always_intervening])
def test_in_never_nothing_beats_waiting(spec, policy):
    """Were a policy truly as good as waiting, a paired z above 4 would come up in 3e-5 of seeds."""
    spoken, wait = (lived(spec, p, variant="never").reward.mean(axis=1) for p in (policy, constant(0)))
    assert paired_z(spoken, wait) < 4
    assert spoken.mean() < wait.mean()


def test_a_sensible_policy_passes_the_bars_that_the_log_fails(spec):
    def measured(policy):
        cohort = lived(spec, policy)
        spoke = cohort.actions["policy"] > 0
        harmful = np.isin(np.array(cohort.label_names)[cohort.label], spec.reward.harmful_labels)
        return np.nanmean(cohort.components[..., 3][spoke]), harmful[spoke].mean()

    (empathy, harm), (logged_empathy, logged_harm) = measured(sensible), measured(None)
    assert empathy > 0.75 > logged_empathy
    assert harm < 0.10 < logged_harm


def test_a_written_file_reads_back_as_the_cohort(spec):
    cohort = lived(spec, None, people=12, days=3)
    file = io.StringIO()
    written = write_csv(cohort, spec, file, start=date(2026, 1, 5), user_prefix="p")
    file.seek(0)
    table = csv.DictReader(file)
    reader = RowReader(spec, table.fieldnames or [], need="decision")
    rows = [reader.read(r) for r in table]
    assert written == len(rows) == 12 * 3 * 4
    assert len({r.user for r in rows}) == 12 and len({r.key for r in rows}) == written
    assert np.allclose([r.state for r in rows], cohort.state.reshape(written, -1), atol=1e-5)
    assert np.allclose([r.reward[0] for r in rows], cohort.reward.reshape(-1), atol=1e-5)
    assert [r.available for r in rows] == cohort.available.reshape(-1).tolist()
    for head in spec.heads:
        read = [r.choices[head.name].action if head.name in r.choices else -1 for r in rows]
        assert read == cohort.actions[head.name].reshape(-1).tolist()
    days = {(r.user, r.time.date()) for r in rows}
    assert len(days) == 12 * 3


def test_heads_beside_those_of_r3al_are_drawn_and_logged_and_some_of_those_may_be_absent(spec):
    policy, timing, tone, _ = spec.heads
    for heads in ((policy,), (replace(timing, name="channel"), policy, tone)):
        cohort = lived(replace(spec, heads=heads), None, people=50, days=3)
        assert list(cohort.actions) == list(cohort.propensities) == [h.name for h in heads]
        for head in heads:
            spoke = cohort.available if head is policy else cohort.actions["policy"] > 0
            assert ((cohort.actions[head.name] >= 0) == spoke).all()
