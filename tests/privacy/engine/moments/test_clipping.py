"""What a release carries follows from the loop file, the number of people and the noise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loops.engine.spec import MomentsOptions
from privacy.engine.moments.clipping import pick_hinges
from tests.factories.planted import planted_spec

SPEC = planted_spec(features=None)


@pytest.mark.parametrize(
    ("users", "sigma", "carried"),
    [
        (20, None, True),
        (20, 3.0, False),
        (300, 3.0, True),
        (300, 100.0, False),
        (1_000, 10.0, True),
        (1_000, 100.0, False),
    ],
)
def test_hinges_are_carried_where_the_error_of_an_effect_is_small(
    users: float, sigma: float | None, carried: bool
) -> None:
    assert pick_hinges(SPEC, users=users, decisions=64, sigma=sigma) is carried


@pytest.mark.parametrize("features", ["linear", "hinges"])
def test_a_loop_that_declares_its_features_has_these(features: str) -> None:
    spec = replace(SPEC, moments=MomentsOptions(features=features))  # type: ignore[arg-type]
    for users, sigma in ((100_000, None), (100, 100.0)):
        assert pick_hinges(spec, users=users, decisions=64, sigma=sigma) is (features == "hinges")
