"""The public constants of a moments release: what is stored, charged and pooled was measured with exactly these."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from privacy.engine.moments import (
    action_shares,
    baseline,
    budget_shares,
    clipping,
    continuation_value,
    contributions,
    effect_posterior,
    effects,
    gram_matrix,
    null_population,
    pooled,
    release_layout,
)

# A stored release was clipped, scaled and noised by these. A reader with other values would take it for something else, and pool
# it with releases that measured something else. A change needs a new layout of the release, and the old one kept readable.
STORED: list[tuple[ModuleType, str, Any]] = [
    (release_layout, "TARGET_CLIP", 8.0),
    (release_layout, "RESIDUAL_CLIP", 4.0),
    (release_layout, "LEFT_SCALE", 0.2),
    (release_layout, "CHANGE_WEIGHT", 0.6),
    (release_layout, "COUNTS_CLIP", 1.5),
    (release_layout, "SHARES_BLOCK", "shares"),
    (release_layout, "SUB_SHARES_BLOCK", "shares_of_heads"),
    (
        budget_shares,
        "BUDGET_SHARES",
        {"counts": 0.03, "gram": 0.24, "targets": 0.10, "effects": 0.56, "variances": 0.0395, "shares": 0.03},
    ),
    (budget_shares, "SUB_SHARE", 0.10),
    (budget_shares, "SUB_ACTIONS_SHARE", 0.015),
    (contributions, "COUNT_CAP", 10_000),
    (contributions, "CENTRE_RANGE", 10.0),
    (contributions, "COUNT_WEIGHT", 0.5),
    (contributions, "FULL_WEIGHT_ROWS", 8),
    (contributions, "PROPENSITY_FLOOR", 0.2),
    (contributions, "_CHUNK_USERS", 512),
    (clipping, "HINGE_ERROR", 0.2),
    (
        clipping,
        "_QUANTILES",
        {
            "gram": (0.9, 1.0),
            "targets": (0.9, 1.0),
            "effects": (0.8, 1.0),
            "variances": (0.9, 1.25),
            "shares": (0.9, 1.0),
            "shares_of_heads": (0.9, 1.0),
        },
    ),
    (clipping, "_SUB_QUANTILE", (0.8, 1.0)),
    (continuation_value, "CONTINUATION_GAMMA", 0.97),
    (continuation_value, "_STEPS", 20),
    (continuation_value, "_LARGEST", 10.0),
    (null_population, "NULL_PEOPLE", 400),
    (null_population, "NULL_ROWS", 40_000),
    (null_population, "_SEED", 20_250_101),
    (null_population, "_CATEGORY_STAY", 0.8),
]
# How a release is read. The calibration of gates and the figures of the documents hold for these values alone. A change needs
# the calibrations measured again.
READ: list[tuple[ModuleType, str, Any]] = [
    (action_shares, "LEAST_SHARE", 0.25),
    (action_shares, "_CONFIDENT", 2.0),
    (action_shares, "_LEAST_COUNTED", 0.1),
    (baseline, "REVERSION", 0.2),
    (baseline, "PRIOR_SD", 0.5),
    (baseline, "BASELINE_WIDTHS", (0.03, 0.1, 0.25, 0.5)),
    (effect_posterior, "EFFECT_WIDTHS", (0.02, 0.06, 0.15, 0.35, 0.8)),
    (effect_posterior, "HYPER_SD", 0.4),
    (effect_posterior, "CONCENTRATION", 0.5),
    (effect_posterior, "FULL_SCHEDULE", effect_posterior.GibbsSchedule(burn_in=100, draws=50, thin=4)),
    (effect_posterior, "_SEED", 0),
    (effects, "SUB_WIDTHS", (0.003, 0.01, 0.03, 0.1, 0.3)),
    (gram_matrix, "FLOOR_SDS", 2.0),
    (gram_matrix, "FLOOR", 1e-3),
    (gram_matrix, "_LEAST_VARIANCE", 1e-3),
    (gram_matrix, "_LEAST_ROWS", 1e-3),
    (pooled, "CLUSTERING_LEVEL", 0.1),
    (pooled, "CLUSTERING_CHANGE", 0.02),
    (pooled, "FULLY_EXPLORED", 0.999),
    (pooled, "SERVED_WEIGHT", 0.1),
    (pooled, "_MEAN_SQUARE", 0.4),
]


@pytest.mark.parametrize(("module", "name", "value"), [pytest.param(*one, id=one[1]) for one in STORED + READ])
def test_a_constant_has_the_value_that_releases_were_made_and_calibrated_with(
    module: ModuleType, name: str, value: object
) -> None:
    assert getattr(module, name) == value


def test_the_shares_of_the_blocks_are_one_budget_and_no_more() -> None:
    """What is left of 1 is room for rounding: a sum above 1 would be more than was reserved."""
    assert sum(budget_shares.BUDGET_SHARES.values()) == pytest.approx(0.9995)


def test_the_clip_of_the_counts_is_the_length_of_the_largest_row() -> None:
    """Half for being there, and at most 1 each for the number of decision points and for the mean reward."""
    assert release_layout.COUNTS_CLIP**2 == contributions.COUNT_WEIGHT**2 + 1.0 + 1.0


def test_the_schedule_of_the_sampler_is_as_declared() -> None:
    assert effect_posterior.GibbsSchedule() == effect_posterior.FULL_SCHEDULE
