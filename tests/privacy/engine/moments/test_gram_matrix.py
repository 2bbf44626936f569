"""The gram from its noised release: what is public is put back, what people say is kept, what noise is left is known."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.spec import Feature
from privacy.engine.moments.clipping import public_facts
from privacy.engine.moments.gram_matrix import FLOOR, Gram, estimate_gram
from privacy.engine.moments.release_layout import ReleaseLayout
from tests.factories.builtin_loops import builtin

SPEC = builtin("r3al")
LAYOUT = ReleaseLayout.of(SPEC, hinges=True)
PHI, WIDTH = LAYOUT.phi, LAYOUT.phi.width
NULL = public_facts(LAYOUT, 64).gram
SD = 0.03


def states(features: tuple[Feature, ...], rng: np.random.Generator, n: int = 20_000, middle: float = 0.4) -> np.ndarray:
    """Independent features, none of them as the null users have it; numbers about ``middle`` of their range."""
    columns: list[np.ndarray] = []
    for i, f in enumerate(features):
        low, high = PHI.range_of(i)
        if f.is_category:
            columns.append(rng.choice(len(f.categories), n, p=rng.dirichlet(np.full(len(f.categories), 3.0))))
        else:
            columns.append(low + (high - low) * np.clip(rng.normal(middle, 0.2, n), 0, 1))
    return np.column_stack(columns).astype(float)


def gram_of(rows: np.ndarray) -> np.ndarray:
    phi = PHI.phi(rows)
    return phi.T @ phi / len(phi)


TRUE = gram_of(states(SPEC.features, np.random.default_rng(0)))


def released(true: np.ndarray, rng: np.random.Generator, sd: float = SD) -> np.ndarray:
    upper = np.triu(rng.normal(size=true.shape) * sd * np.where(np.eye(len(true)) > 0, 1.0, np.sqrt(0.5)))
    return true + upper + np.triu(upper, 1).T


def estimated(seed: int, true: np.ndarray = TRUE, sd: float = SD) -> Gram:
    return estimate_gram(LAYOUT, released(true, np.random.default_rng(seed), sd), sd**2, NULL)


def test_without_noise_it_is_what_was_released() -> None:
    found = estimate_gram(LAYOUT, TRUE, 0.0, NULL)
    np.testing.assert_allclose(found.mean, TRUE, atol=FLOOR)
    assert not found.variance.any()


def test_identities_of_the_features_hold() -> None:
    """With the floor out of the way: a tenth of the noise leaves every eigenvalue above it."""
    found = estimated(1, sd=SD / 100).mean
    day = PHI.columns_of("daypart")
    for c in day:
        assert found[c, c] == pytest.approx(found[0, c], abs=2e-3)
        assert all(found[c, other] == pytest.approx(0.0, abs=2e-3) for other in day if other != c)
    for h in PHI.hinge_columns:
        z = PHI.columns_of(SPEC.features[PHI.owners[h]].name)[0]
        assert found[h, h] == pytest.approx(4 * found[z, z] - 2 * found[0, h] - found[0, 0], abs=2e-3)


def test_columns_know_the_feature_that_they_are_made_of() -> None:
    names = [f.name for f in SPEC.features]
    for column, owner in enumerate(PHI.owners):
        assert owner == -1 if column == 0 else names[owner] in PHI.names[column]
    assert FeatureMap.of(SPEC, False).owners == PHI.owners[: FeatureMap.of(SPEC, False).width]


def test_noise_on_covariances_of_features_that_hardly_go_together_is_taken_out() -> None:
    """Mean squared error of all entries, 20 releases: less than a half of the released one's."""
    raw = np.mean([((released(TRUE, np.random.default_rng(s)) - TRUE) ** 2).sum() for s in range(20)])
    left = np.mean([((estimated(s).mean - TRUE) ** 2).sum() for s in range(20)])
    assert left < raw / 2


def test_what_people_say_of_two_features_is_kept_when_it_is_much_more_than_noise() -> None:
    rows = states(SPEC.features, np.random.default_rng(2))
    names = [f.name for f in SPEC.features]
    stress, energy = names.index("stress"), names.index("energy")
    rows[:, energy] = 1 - rows[:, stress]
    true = gram_of(rows)
    i, j = PHI.columns_of("stress")[0], PHI.columns_of("energy")[0]
    found = estimated(3, true, SD / 10).mean
    covariance = true[i, j] - true[0, i] * true[0, j]
    assert covariance < -0.1
    assert found[i, j] - found[0, i] * found[0, j] == pytest.approx(covariance, rel=0.1)


@pytest.mark.parametrize("middle", [0.4, 0.85])
def test_the_noise_that_is_left_is_what_it_says(middle: float) -> None:
    """Squared errors of 60 releases over the variance given, by kind of entry, also where means are far from the middle; with a
    tenth of the noise, so that the floor is out of the way. An entry's ratio errs by .18, a kind's by far less.
    """
    true = gram_of(states(SPEC.features, np.random.default_rng(8), middle=middle))
    grams = [estimated(s, true, SD / 10) for s in range(60)]
    error = np.mean([(g.mean - true) ** 2 for g in grams], axis=0)
    claimed = np.mean([g.variance for g in grams], axis=0)
    index = np.arange(1, WIDTH)
    pairs = np.not_equal.outer(np.array(PHI.owners), np.array(PHI.owners))
    pairs[0] = pairs[:, 0] = False
    kinds = {"rows": (0, 0), "means": (0, index), "squares": (index, index), "pairs": pairs}
    ratios = {kind: float(np.sum(error[at]) / np.sum(claimed[at])) for kind, at in kinds.items()}
    assert ratios["rows"] == pytest.approx(1.0, abs=0.8), ratios
    assert ratios["means"] == pytest.approx(1.0, abs=0.3), ratios
    assert ratios["squares"] == pytest.approx(1.0, abs=0.4), ratios
    assert 0.5 < ratios["pairs"] < 1.5, ratios


def test_it_is_positive_definite_however_noisy() -> None:
    found = estimated(5, sd=0.3)
    assert np.linalg.eigvalsh(found.mean).min() >= 1.99 * np.sqrt(found.variance.mean()) > 0.1


@pytest.mark.parametrize("sd", [0.0, SD])
def test_where_no_row_is_behind_it_it_is_small_and_finite(sd: float) -> None:
    """As of next states in a loop with one decision a day: nothing but noise, also in the count of rows."""
    nothing = released(np.zeros_like(TRUE), np.random.default_rng(7), sd)
    nothing[0, 0] = -sd / 2
    found = estimate_gram(LAYOUT, nothing, sd**2, NULL)
    assert np.isfinite(found.mean).all() and np.abs(found.mean).max() <= 10 * sd + FLOOR
    assert (found.variance >= 0).all() and np.linalg.eigvalsh(found.mean).min() > 0


def test_leading_columns_and_spread() -> None:
    found = estimated(6)
    assert found.leading(4).mean.shape == found.leading(4).variance.shape == (4, 4)
    np.testing.assert_allclose(found.spread(np.ones(WIDTH)), found.variance.sum(axis=1))
