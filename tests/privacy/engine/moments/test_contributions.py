"""What one person contributes: bounded whatever they do, the same in parts as in one piece, and centred on the actions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.engine.dp.mechanisms import to_grid
from privacy.engine.moments import contributions
from privacy.engine.moments.clipping import public_facts
from privacy.engine.moments.contributions import (
    baseline_contributions,
    centred_actions,
    count_contributions,
    effect_contributions,
    gram_from_upper,
    sub_usable,
    whitened_targets,
)
from privacy.engine.moments.null_population import null_rows
from privacy.engine.moments.release_layout import COUNTS_CLIP, ReleaseLayout
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows
from tests.factories.planted import planted_rows, planted_spec

SPEC = planted_spec()
LAYOUT = ReleaseLayout.of(SPEC, hinges=False)
_LARGE = st.floats(-1e9, 1e9)


@st.composite
def worst_person(draw: st.DrawFn) -> ReleaseRows:
    """One person with as many decision points, and as wild ones, as they like."""
    n = draw(st.integers(1, 40))
    wild = st.lists(_LARGE, min_size=n, max_size=n).map(np.array)
    action = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    flags = st.lists(st.booleans(), min_size=n, max_size=n).map(lambda x: np.array(x, dtype=bool))
    tone = np.where(action == 1, np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))), -1)
    return ReleaseRows(
        person=np.zeros(n, dtype=np.int64),
        state=np.column_stack([draw(wild), draw(wild)]),
        next_state=np.column_stack([draw(wild), draw(wild)]),
        has_next=draw(flags),
        dropped_out=np.zeros(n, bool),
        action=action,
        propensity=np.array(draw(st.lists(st.floats(1e-9, 1.0), min_size=n, max_size=n))),
        explored=draw(flags),
        reward=draw(wild),
        subs={"tone": SubHeadRows(tone, np.full(n, 0.5), draw(flags))},
    )


@settings(max_examples=60, deadline=None)
@given(worst_person(), st.sampled_from([0.0, 3.0]))
def test_nobody_moves_a_block_by_more_than_its_clip(rows: ReleaseRows, centre: float) -> None:
    """The grid bounds any finite contribution; this shows that whatever a person does stays finite on its way there."""
    gram, targets = baseline_contributions(LAYOUT, rows, centre)
    blocks = {"gram": gram, "targets": targets, "counts": count_contributions(SPEC, rows)}
    blocks |= effect_contributions(LAYOUT, rows, centre, np.ones((LAYOUT.phi.width, len(LAYOUT.targets))))
    clips = public_facts(LAYOUT, 8).clips
    for name, block in blocks.items():
        assert block.shape[0] == 1 and np.isfinite(block).all(), name
        assert np.square(to_grid(block, clips[name], 1_000)).sum() <= 1_000**2, name
    assert np.linalg.norm(blocks["counts"]) <= COUNTS_CLIP


def test_a_shard_without_anybody_adds_zeros_of_the_same_widths() -> None:
    """In a large cohort one shard of people may hold no usable row at all."""
    rows = null_rows(SPEC, decisions=8)
    nobody = rows.of_people(0, 0)
    theta = np.full((LAYOUT.phi.width, len(LAYOUT.targets)), 0.1)

    def blocks(of: ReleaseRows) -> list[np.ndarray]:
        effects = effect_contributions(LAYOUT, of, 0.5, theta)
        return [count_contributions(SPEC, of), *baseline_contributions(LAYOUT, of, 0.5), *effects.values()]

    for empty, whole in zip(blocks(nobody), blocks(rows), strict=True):
        assert empty.shape == (0, whole.shape[1])


def test_the_gram_is_packed_without_loss() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 4))
    gram = a @ a.T
    i, j = np.triu_indices(4)
    packed = gram[i, j] * np.where(i == j, 1.0, np.sqrt(2.0))
    np.testing.assert_allclose(gram_from_upper(packed, 4), gram)
    assert np.linalg.norm(packed) == pytest.approx(np.linalg.norm(gram)), "its length is the Frobenius norm"


def test_parts_give_the_same_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = null_rows(SPEC, decisions=8)
    theta = np.full((LAYOUT.phi.width, len(LAYOUT.targets)), 0.1)
    whole = [*baseline_contributions(LAYOUT, rows, 0.5), *effect_contributions(LAYOUT, rows, 0.5, theta).values()]
    monkeypatch.setattr(contributions, "_CHUNK_USERS", 7)
    parts = [*baseline_contributions(LAYOUT, rows, 0.5), *effect_contributions(LAYOUT, rows, 0.5, theta).values()]
    for one, many in zip(whole, parts, strict=True):
        np.testing.assert_allclose(many, one, rtol=0, atol=1e-12)


def test_with_constant_propensities_actions_are_centred() -> None:
    head = SPEC.head("policy")
    action = np.array([0, 1, 1, 0])
    chosen = SubHeadRows(action, np.array(head.logging)[action], np.ones(4, bool))
    np.testing.assert_allclose(centred_actions(head, chosen)[:, 0], (action == 1) - head.logging[1])


def test_only_explored_rows_speak_of_effects() -> None:
    rows = null_rows(SPEC, decisions=8)
    theta = np.zeros((LAYOUT.phi.width, len(LAYOUT.targets)))
    silent = replace(rows, explored=np.zeros(len(rows.person), bool))
    found = effect_contributions(LAYOUT, silent, 0.0, theta)
    assert not found["effects"].any() and not found["effects_tone"].any()
    assert found["variances"].any(), "of the spread every row speaks"


def test_a_sub_head_speaks_only_of_rows_where_it_spoke_and_both_were_explored() -> None:
    rows = planted_rows(SPEC, np.random.default_rng(0), copies=1)
    usable = sub_usable(rows, "tone")
    assert usable.any() and (rows.action[usable] == 1).all()
    half = np.arange(len(rows.person)) % 2 == 0
    flagged = replace(rows, explored=half)
    assert (sub_usable(flagged, "tone") == (usable & half)).all()


def test_each_target_has_its_weight_in_the_effects() -> None:
    """Rows that are all alike: their block is an outer product, so its columns stand in the ratio of the weighted residuals."""
    rows = null_rows(SPEC, decisions=2).of_people(0, 1)
    n = len(rows.person)
    state = np.tile(rows.state[:1], (n, 1))
    alike = replace(
        rows, state=state, next_state=state + 0.3, has_next=np.ones(n, bool), explored=np.ones(n, bool),
        action=np.ones(n, dtype=np.int64), propensity=np.full(n, 0.5), reward=np.full(n, 0.4),
    )  # fmt: skip
    targets, weights = whitened_targets(LAYOUT, alike, 0.0)[0], LAYOUT.target_weights
    assert len(set(weights)) > 1, "changes and reward have different weights"
    block = effect_contributions(LAYOUT, alike, 0.0, np.zeros((LAYOUT.phi.width, len(targets))))["effects"]
    first = block.reshape(LAYOUT.phi.width, len(targets))[0]
    assert first / first[0] == pytest.approx(targets * weights / (targets[0] * weights[0]))
