"""What a person contributes to each block, row by row as the documents define it, against what the engine sums in arrays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from loops.engine.spec import Feature, Head, LoopSpec
from privacy.engine.moments.continuation_value import continuation_slope
from privacy.engine.moments.contributions import (
    average_weights,
    baseline_contributions,
    centred_actions,
    count_contributions,
    effect_contributions,
    sub_usable,
    user_weights,
    whitened_targets,
)
from privacy.engine.moments.release_layout import ReleaseLayout
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows, person_sums, row_products
from tests.factories.planted import planted_spec

PLANTED = planted_spec()
SPEC = replace(
    PLANTED,
    features=(*PLANTED.features, Feature("place", "drift", categories=("home", "work", "away"))),
    heads=(
        Head("policy", ("wait", "ping", "hug"), "wait", (0.5, 0.3, 0.2)),
        Head("tone", ("warm", "calm", "dry"), "warm", (0.6, 0.3, 0.1), when="intervening"),
    ),
    reward=replace(PLANTED.reward, scale=2.0),
    imports=replace(PLANTED.imports, left="gone"),
)
SAME_DAY = replace(SPEC, imports=replace(SPEC.imports, next_state="next_row_same_day"))
LAYOUT, BY_DAY = ReleaseLayout.of(SPEC, hinges=False), ReleaseLayout.of(SAME_DAY, hinges=False)
WIDTH, TARGETS = 5, 3  # 1, mood, energy, work, away; reward, mood, left
COUNTS = (3, 1, 11)  # decision points: below the full weight of eight, a single one, and above it
CENTRE = 0.25


def some_rows(seed: int = 1) -> ReleaseRows:
    """Rows of three people, with one wild reward, one absurd propensity, one without, and rows that were not explored."""
    rng, n = np.random.default_rng(seed), sum(COUNTS)
    action = rng.choice(3, n)
    tone = np.where(action > 0, rng.choice(3, n), -1)
    reward, propensity = rng.normal(size=n) * 3, np.array([0.5, 0.3, 0.2])[action] * rng.uniform(0.6, 1.4, n)
    reward[1], propensity[2], propensity[5] = 40.0, 1e-6, math.nan
    return ReleaseRows(
        person=np.repeat(np.arange(3), COUNTS),
        state=np.column_stack([rng.uniform(-1, 1, n), rng.uniform(0, 1, n), rng.choice(3, n)]),
        next_state=np.column_stack([rng.uniform(-1, 1, n), rng.uniform(0, 1, n), rng.choice(3, n)]),
        has_next=rng.random(n) < 0.7,
        dropped_out=rng.random(n) < 0.3,
        action=action,
        propensity=propensity,
        explored=rng.random(n) < 0.8,
        reward=reward,
        subs={"tone": SubHeadRows(tone, np.array([0.6, 0.3, 0.1])[tone], rng.random(n) < 0.8)},
    )


ROWS = some_rows()
PEOPLE: list[list[int]] = [np.flatnonzero(ROWS.person == who).tolist() for who in range(3)]
THETA = np.random.default_rng(2).normal(size=(WIDTH, TARGETS)) * 0.2


def phi_of(i: int) -> list[float]:
    mood, energy, place = ROWS.state[i]
    return [1.0, mood, 2 * energy - 1, float(place == 1), float(place == 2)]


def target_of(i: int, known: np.ndarray | None = None) -> list[float]:
    """Reward in its scale off the centre, the change of mood in its scale, and leaving in .2; at most 8 either way."""
    values = [
        ROWS.reward[i] / 2.0 - CENTRE,
        (ROWS.next_state[i, 0] - ROWS.state[i, 0]) / 0.2,
        float(ROWS.dropped_out[i]) / 0.2,
    ]
    if known is not None:
        values = [
            v - sum(phi_of(i)[d] * known[ROWS.action[i], d, j] for d in range(WIDTH)) for j, v in enumerate(values)
        ]
    values = [min(max(v, -8.0), 8.0) for v in values]
    return [values[0], values[1] if ROWS.has_next[i] else 0.0, values[2]]


def residual_of(i: int) -> list[float]:
    left = [t - sum(phi_of(i)[d] * THETA[d, j] for d in range(WIDTH)) for j, t in enumerate(target_of(i))]
    left = [min(max(v, -4.0), 4.0) for v in left]
    return [left[0], left[1] if ROWS.has_next[i] else 0.0, left[2]]


def centred_of(action: int, propensity: float, logging: tuple[float, ...]) -> list[float]:
    """V z: the alternative's own 1/p less the reference's, a propensity counting as at least a fifth of the rarest action's."""
    p = max(1.0 if math.isnan(propensity) else propensity, 0.2 * min(logging))
    z = [(action == k) / p - (action == 0) / p for k in (1, 2)]
    v = [[logging[j] * (j == k) - logging[j] * logging[k] for k in (1, 2)] for j in (1, 2)]
    return [sum(v[j][k] * z[k] for k in range(2)) for j in range(2)]


def averaged(values: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """The sum over a person's usable rows, over their number or over eight, whichever is more."""
    return np.asarray(sum(v for _, v in values) / max(len(values), 8))


def test_the_counts_are_half_the_log_of_decisions_and_the_mean_reward() -> None:
    expected = [
        [0.5, math.log(1 + len(own)) / math.log(10_001), float(ROWS.reward[own].mean()) / 2.0 / 10.0] for own in PEOPLE
    ]
    assert expected[0][2] < 1.0, "and within its bound"
    np.testing.assert_allclose(count_contributions(SPEC, ROWS), expected)


def test_counts_end_at_their_caps() -> None:
    n = 10_050
    person = np.zeros(n, dtype=np.int64)
    long = replace(some_rows(), person=person, reward=np.full(n, 1e6))
    np.testing.assert_allclose(count_contributions(SPEC, long), [[0.5, 1.0, 1.0]])
    np.testing.assert_allclose(count_contributions(SPEC, replace(long, reward=np.full(n, -1e6))), [[0.5, 1.0, -1.0]])


def test_targets_are_whitened_clipped_and_without_what_is_known() -> None:
    known = np.random.default_rng(3).normal(size=(3, WIDTH, TARGETS))
    n = len(ROWS.person)
    np.testing.assert_allclose(whitened_targets(LAYOUT, ROWS, CENTRE), [target_of(i) for i in range(n)])
    np.testing.assert_allclose(whitened_targets(LAYOUT, ROWS, CENTRE, known), [target_of(i, known) for i in range(n)])
    assert max(t[0] for t in map(target_of, range(n))) == 8.0


def test_the_gram_and_the_targets_are_averages_over_a_persons_rows() -> None:
    grams: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    for own in PEOPLE:
        upper = [
            [phi_of(i)[a] * phi_of(i)[b] * (1.0 if a == b else math.sqrt(2)) for a in range(5) for b in range(a, 5)]
            for i in own
        ]
        grams.append(np.sum(upper, axis=0) / max(len(own), 8))
        targets.append(np.sum([np.outer(phi_of(i), target_of(i)).ravel() for i in own], axis=0) / max(len(own), 8))
    gram, target = baseline_contributions(LAYOUT, ROWS, CENTRE)
    np.testing.assert_allclose(gram, grams)
    np.testing.assert_allclose(target, targets)


def test_within_days_rows_with_and_without_a_next_state_have_grams_of_their_own() -> None:
    gram, _ = baseline_contributions(BY_DAY, ROWS, CENTRE)
    whole, _ = baseline_contributions(LAYOUT, ROWS, CENTRE)
    half = whole.shape[1]
    np.testing.assert_allclose(gram[:, :half] + gram[:, half:], whole)
    for who, own in enumerate(PEOPLE):
        assert gram[who, 0] == pytest.approx(ROWS.has_next[own].sum() / max(len(own), 8))
        assert gram[who, half] == pytest.approx((~ROWS.has_next[own]).sum() / max(len(own), 8))


def test_effects_are_averages_of_centred_actions_times_residuals() -> None:
    weights = np.array([1.0, 0.6, 1.0])  # reward, change, left
    found = effect_contributions(LAYOUT, ROWS, CENTRE, THETA)["effects"]
    for who, own in enumerate(PEOPLE):
        products = [
            (i, np.einsum("k,d,m->kdm", _policy(i), phi_of(i), np.array(residual_of(i)) * weights).ravel())
            for i in own
            if ROWS.explored[i]
        ]
        expected = averaged(products) if products else np.zeros(2 * WIDTH * TARGETS)
        np.testing.assert_allclose(found[who], expected, atol=1e-12)


def _policy(i: int) -> list[float]:
    return centred_of(int(ROWS.action[i]), float(ROWS.propensity[i]), (0.5, 0.3, 0.2))


def test_variances_are_squared_residuals_and_how_often_a_category_stayed() -> None:
    found = effect_contributions(LAYOUT, ROWS, CENTRE, THETA)["variances"]
    for who, own in enumerate(PEOPLE):
        stayed = [float(ROWS.has_next[i] and ROWS.next_state[i, 2] == ROWS.state[i, 2]) for i in own]
        rows = [[*(r**2 for r in residual_of(i)), s] for i, s in zip(own, stayed, strict=True)]
        np.testing.assert_allclose(found[who], np.sum(rows, axis=0) / max(len(own), 8))
    assert found[:, -1].any()


def test_shares_of_actions_are_in_units_of_the_root_of_what_is_declared() -> None:
    found = effect_contributions(LAYOUT, ROWS, CENTRE, THETA)
    tone, usable = ROWS.subs["tone"], sub_usable(ROWS, "tone")
    assert usable.any() and (ROWS.action[usable] > 0).all()
    for who, own in enumerate(PEOPLE):
        explored, spoken = [i for i in own if ROWS.explored[i]], [i for i in own if usable[i]]
        for k, declared in ((1, 0.3), (2, 0.2)):
            expected = float((ROWS.action[explored] == k).sum()) / math.sqrt(declared) / max(len(explored), 8)
            assert found["shares"][who, k - 1] == pytest.approx(expected)
        for k, declared in ((1, 0.3), (2, 0.1)):
            expected = float((tone.action[spoken] == k).sum()) / math.sqrt(declared) / max(len(spoken), 8)
            assert found["shares_of_heads"][who, k - 1] == pytest.approx(expected)


def test_a_sub_heads_target_is_the_reward_and_what_the_changes_are_worth_later() -> None:
    found = effect_contributions(LAYOUT, ROWS, CENTRE, THETA)["effects_tone"]
    slope, tone, usable = continuation_slope(LAYOUT, THETA), ROWS.subs["tone"], sub_usable(ROWS, "tone")
    unit = math.sqrt(1.0 + sum(s * s for s in slope))
    assert slope[1] and not slope[0] and not slope[2]
    for who, own in enumerate(PEOPLE):
        products = []
        for i in (i for i in own if usable[i]):
            r = residual_of(i)
            target = min(max((r[0] + slope[1] * r[1]) / unit, -4.0), 4.0)
            centred = centred_of(int(tone.action[i]), float(tone.propensity[i]), (0.6, 0.3, 0.1))
            products.append((i, np.outer(centred, phi_of(i)).ravel() * target))
        expected = averaged(products) if products else np.zeros(2 * WIDTH)
        np.testing.assert_allclose(found[who], expected, atol=1e-12)


def test_the_floor_of_a_propensity_is_a_fifth_of_the_rarest_actions() -> None:
    """1e-6 where .2 is the least that was declared counts as .04; nothing known counts as certain."""
    head = SPEC.head("policy")
    chosen = SubHeadRows(np.array([1, 0, 2]), np.array([1e-6, math.nan, 0.2]), np.ones(3, bool))
    expected = [centred_of(1, 0.04, head.logging), centred_of(0, 1.0, head.logging), centred_of(2, 0.2, head.logging)]
    np.testing.assert_allclose(centred_actions(head, chosen), expected)


def test_a_person_has_full_weight_from_eight_rows_on() -> None:
    counts, weight = user_weights(ROWS)
    assert counts.tolist() == list(COUNTS)
    np.testing.assert_allclose(weight, np.repeat([1 / 8, 1 / 8, 1 / 11], COUNTS))
    np.testing.assert_allclose(average_weights(ROWS, np.ones(len(weight), bool)), [3 / 8, 1 / 8, 1.0])
    assert average_weights(ROWS, np.zeros(len(weight), bool)).tolist() == [0.0, 0.0, 0.0]


def test_people_are_cut_out_whole_and_numbered_from_0() -> None:
    part = ROWS.of_people(1, 3)
    assert part.person.tolist() == [0] + [1] * 11 and part.users == 2 and ROWS.users == 3
    for name in ("state", "next_state", "has_next", "dropped_out", "action", "propensity", "explored", "reward"):
        np.testing.assert_array_equal(getattr(part, name), getattr(ROWS, name)[3:])
    np.testing.assert_array_equal(part.subs["tone"].action, ROWS.subs["tone"].action[3:])
    np.testing.assert_array_equal(part.subs["tone"].propensity, ROWS.subs["tone"].propensity[3:])
    np.testing.assert_array_equal(part.subs["tone"].explored, ROWS.subs["tone"].explored[3:])
    assert ROWS.of_people(0, 0).users == 0


def test_sums_are_by_person_and_products_by_row() -> None:
    values = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(person_sums(np.array([0, 0, 2, 2]), values, 4), [[2, 4], [0, 0], [10, 12], [0, 0]])
    assert person_sums(np.zeros(0, np.int64), np.zeros((0, 2)), 1).tolist() == [[0.0, 0.0]]
    np.testing.assert_allclose(row_products(values, np.array([2.0, 1.0])), values @ [2.0, 1.0])
    np.testing.assert_allclose(row_products(values, np.eye(2)[::-1]), values[:, ::-1])


@pytest.mark.parametrize(("spec", "width"), [(SPEC, 15), (SAME_DAY, 30)])
def test_blocks_are_as_wide_as_their_names_say(spec: LoopSpec, width: int) -> None:
    layout = ReleaseLayout.of(spec, hinges=False)
    gram, targets = baseline_contributions(layout, ROWS, 0.0)
    found = {name: block.shape[1] for name, block in effect_contributions(layout, ROWS, 0.0, THETA).items()}
    assert gram.shape[1] == width and targets.shape[1] == WIDTH * TARGETS
    assert found == {"effects": 30, "variances": 4, "shares": 2, "shares_of_heads": 2, "effects_tone": 10}
