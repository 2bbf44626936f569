"""Compute each person's contribution to the blocks of a ``moments`` release: averages over their own decision points.

Functions take rows in order of person and return one unclipped row per person. They work on 512 people at a time, which bounds
memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.spec import Head, LoopSpec
from privacy.engine.moments.continuation_value import continuation_slope, continuation_spread
from privacy.engine.moments.release_layout import (
    LEFT_SCALE,
    RESIDUAL_CLIP,
    SHARES_BLOCK,
    SUB_SHARES_BLOCK,
    TARGET_CLIP,
    ReleaseLayout,
    alternatives_of,
    covariance_of,
    logged_of,
    sub_block,
)
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows, person_sums, row_products

COUNT_CAP = 10_000  # decision points per person; beyond it the logarithm is capped
CENTRE_RANGE = 10.0  # bound of a person's mean reward, in reward scales
COUNT_WEIGHT = 0.5  # the number of people is measured less precisely than the other two: the gram measures it again
FULL_WEIGHT_ROWS = 8  # a person with fewer decision points has proportionally less weight
# As a share of the smallest logging probability. A higher floor biases actions that were logged less often than declared.
PROPENSITY_FLOOR = 0.2
_CHUNK_USERS = 512


def user_weights(rows: ReleaseRows) -> tuple[Floats, Floats]:
    """Return the number of rows of each person (U,), and the weight of each row in its person's average (n,)."""
    counts = np.bincount(rows.person, minlength=rows.users).astype(np.float64)
    weight = np.minimum(1.0, counts / FULL_WEIGHT_ROWS) / np.maximum(counts, 1.0)
    return counts, weight[rows.person]


def whitened_targets(layout: ReleaseLayout, rows: ReleaseRows, centre: float, known: Floats | None = None) -> Floats:
    """Return targets (n, m) in units of their public scales, clipped at +-8. A change without a next state is 0.

    ``known`` (K, d, m) are effect coefficients by action from earlier releases. They are subtracted, so that what remains depends
    on the state under the reference action.
    """
    spec = layout.spec
    columns = [rows.reward / spec.reward.scale - centre]
    for i in layout.learned:
        columns.append((rows.next_state[:, i] - rows.state[:, i]) / (spec.features[i].scale or 1.0))
    if layout.logs_leaving:
        columns.append(rows.dropped_out / LEFT_SCALE)
    targets = np.column_stack(columns)
    if known is not None:
        targets = targets - np.einsum("nd,ndm->nm", layout.phi.phi(rows.state), known[rows.action])
    targets = np.clip(targets, -TARGET_CLIP, TARGET_CLIP)
    targets[np.ix_(~rows.has_next, layout.changes)] = 0.0
    return np.asarray(targets)


def count_contributions(spec: LoopSpec, rows: ReleaseRows) -> Floats:
    """Return contributions to round 0 (U, 3), of L2 norm at most 1.5.

    Columns: .5; log(1 + decisions) over its cap; the mean reward, in reward scales, over its range.
    """
    counts, _ = user_weights(rows)
    reward = person_sums(rows.person, rows.reward[:, None], rows.users)[:, 0] / np.maximum(counts, 1.0)
    return np.column_stack(
        [
            np.full(rows.users, COUNT_WEIGHT),
            np.log1p(np.minimum(counts, COUNT_CAP)) / np.log1p(COUNT_CAP),
            np.clip(reward / spec.reward.scale / CENTRE_RANGE, -1.0, 1.0),
        ]
    )


def baseline_contributions(
    layout: ReleaseLayout, rows: ReleaseRows, centre: float, known: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return each person's gram (U, g) and targets block (U, d*m).

    The gram is the upper triangle with off-diagonals times sqrt 2, so that its L2 norm is the Frobenius norm. Where next states
    do not cross the end of a day, rows with and without a next state have separate grams, because only the former show changes.
    """
    grams, targets = [], []
    for part in _chunks(rows):
        phi = layout.phi.phi(part.state)
        weight = user_weights(part)[1][:, None]
        upper = _upper(phi) * weight
        if layout.same_day:
            upper = np.hstack([upper * part.has_next[:, None], upper * ~part.has_next[:, None]])
        grams.append(person_sums(part.person, upper, part.users))
        y = whitened_targets(layout, part, centre, known)
        outer = _flat(phi[:, :, None] * y[:, None, :])
        targets.append(person_sums(part.person, outer * weight, part.users))
    return np.vstack(grams), np.vstack(targets)


def effect_contributions(layout: ReleaseLayout, rows: ReleaseRows, centre: float, theta: Floats) -> dict[str, Floats]:
    """Return the blocks ``effects`` (U, K-1 * d * m), ``variances`` (U, m + stays), and one (U, K_h-1 * d) per sub-head.

    The block ``shares`` (U, K-1) holds how often each alternative was taken, and ``shares_of_heads`` the same of the sub-heads.

    Effects are V z phi residual with z_k = 1[a=k]/p - 1[a=ref]/p_ref, averaged over explored rows. With constant propensities
    this is the action-centred form (1[a=k] - p_k) phi residual. With varying ones the expectation is equal, so rows mix freely.
    """
    collected: dict[str, list[Floats]] = {}
    for part in _chunks(rows):
        phi = layout.phi.phi(part.state)
        seen = np.where(layout.changes[None, :], part.has_next[:, None], True)
        residual = (
            np.clip(whitened_targets(layout, part, centre) - row_products(phi, theta), -RESIDUAL_CLIP, RESIDUAL_CLIP)
            * seen
        )
        for name, block in _effect_blocks(layout, part, phi, residual, theta).items():
            collected.setdefault(name, []).append(block)
    return {name: np.vstack(blocks) for name, blocks in collected.items()}


def _effect_blocks(
    layout: ReleaseLayout, rows: ReleaseRows, phi: Floats, residual: Floats, theta: Floats
) -> dict[str, Floats]:
    chosen = SubHeadRows(rows.action, rows.propensity, rows.explored)
    centred = centred_actions(layout.main, chosen)
    outer = _flat(np.einsum("nk,nd,nm->nkdm", centred, phi, residual * layout.target_weights))
    spread = np.hstack([residual**2, _stays(layout, rows)]) * user_weights(rows)[1][:, None]
    blocks = {
        "effects": _average_over(rows, outer, rows.explored),
        "variances": person_sums(rows.person, spread, rows.users),
        SHARES_BLOCK: _taken(layout.main, rows, chosen, rows.explored),
    }
    for head in layout.subs:
        blocks[sub_block(head)] = _sub_effects(layout, head, rows, phi[:, : layout.linear().phi.width], residual, theta)
    if layout.subs:
        taken = [_taken(layout.spec.head(h), rows, rows.subs[h], sub_usable(rows, h)) for h in layout.subs]
        blocks[SUB_SHARES_BLOCK] = np.hstack(taken)
    return blocks


def _taken(head: Head, rows: ReleaseRows, chosen: SubHeadRows, usable: Bools) -> Floats:
    """Return how often each person took each alternative (U, K-1), over the root of its logging probability.

    In this unit the same noise hides the same part of a rare action's share as of a frequent one's.
    """
    taken = (chosen.action[:, None] == np.array(alternatives_of(head))) / np.sqrt(logged_of(head))
    return _average_over(rows, taken, usable)


def sub_usable(rows: ReleaseRows, head: str) -> Bools:
    """Return which rows (n,) a sub-head learns from: it made a choice, and both it and policy were explored.

    Exploration decides at random whether the sub-head has a choice at all, so the states of these rows are representative.
    """
    choice = rows.subs[head]
    return np.asarray(choice.explored & rows.explored & (choice.action >= 0))


def _sub_effects(
    layout: ReleaseLayout, head: str, rows: ReleaseRows, phi: Floats, residual: Floats, theta: Floats
) -> Floats:
    """Return a sub-head's block (U, K_h-1 * d), for one target: the reward's residual plus the later worth of the changes.

    The target is in units of its own standard deviation. Features are linear only: a sub-head matters less than policy, and
    fewer entries carry less noise. A row without a next state contributes the reward alone.
    """
    choice = rows.subs[head]
    slope = continuation_slope(layout, theta)
    target = (residual[:, 0] + row_products(residual, slope)) / continuation_spread(slope)
    target = np.clip(target, -RESIDUAL_CLIP, RESIDUAL_CLIP)
    centred = centred_actions(layout.spec.head(head), choice)
    outer = _flat(np.einsum("nk,nd,n->nkd", centred, phi, target))
    return _average_over(rows, outer, sub_usable(rows, head))


def centred_actions(head: Head, chosen: SubHeadRows) -> Floats:
    """Return V z (n, K-1) of a head's choices. Rows without a choice are meaningless, and callers must leave them out."""
    p = np.maximum(np.nan_to_num(chosen.propensity, nan=1.0), PROPENSITY_FLOOR * min(head.logging))
    z = (chosen.action[:, None] == np.array(alternatives_of(head))) / p[:, None]
    z = z - ((chosen.action == head.reference_index) / p)[:, None]
    return row_products(z, covariance_of(head))


def _average_over(rows: ReleaseRows, values: Floats, usable: Bools) -> Floats:
    counts = np.bincount(rows.person, weights=usable, minlength=rows.users)
    weight = np.minimum(1.0, counts / FULL_WEIGHT_ROWS) / np.maximum(counts, 1.0)
    return person_sums(rows.person, values * (weight[rows.person] * usable)[:, None], rows.users)


def average_weights(rows: ReleaseRows, usable: Bools) -> Floats:
    """Return the weight (U,) of each person's average over usable rows: 1 from 8 rows on, proportionally less below."""
    counts = np.bincount(rows.person, weights=usable, minlength=rows.users)
    return np.asarray(np.minimum(1.0, counts / FULL_WEIGHT_ROWS))


def _stays(layout: ReleaseLayout, rows: ReleaseRows) -> Floats:
    columns = [(rows.next_state[:, i] == rows.state[:, i]) * rows.has_next for i in layout.drift_categories]
    return np.column_stack(columns).astype(np.float64) if columns else np.empty((len(rows.state), 0))


def _flat(products: Floats) -> Floats:
    """Return products (n, ...) as rows (n, k). The width is explicit, because a shard may have no row."""
    return np.asarray(products.reshape(len(products), math.prod(products.shape[1:])))


def _upper(phi: Floats) -> Floats:
    """Return the products phi_i phi_j, i <= j (n, d(d+1)/2), off-diagonals times sqrt 2."""
    i, j = np.triu_indices(phi.shape[1])
    return phi[:, i] * phi[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def gram_from_upper(upper: Floats, width: int) -> Floats:
    """Return the symmetric matrix (d, d) of an upper triangle whose off-diagonals were multiplied by sqrt 2."""
    i, j = np.triu_indices(width)
    gram = np.zeros((width, width))
    gram[i, j] = upper / np.where(i == j, 1.0, np.sqrt(2.0))
    return gram + np.triu(gram, 1).T


def _chunks(rows: ReleaseRows) -> Iterator[ReleaseRows]:
    """Yield rows in parts of at most 512 people, so that memory stays bounded for any population."""
    if rows.users <= _CHUNK_USERS:
        yield rows
        return
    for first in range(0, rows.users, _CHUNK_USERS):
        yield rows.of_people(first, min(first + _CHUNK_USERS, rows.users))
