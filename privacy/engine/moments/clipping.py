"""Public rules of the moments release: clips from null users, and the rule that picks the feature set by release size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.spec import LoopSpec
from privacy.engine.moments.contributions import (
    average_weights,
    baseline_contributions,
    effect_contributions,
    gram_from_upper,
    sub_usable,
    user_weights,
)
from privacy.engine.moments.null_population import LoggingPolicy, null_rows
from privacy.engine.moments.release_layout import (
    COUNTS_CLIP,
    SHARES_BLOCK,
    SUB_SHARES_BLOCK,
    Clips,
    ReleaseLayout,
    sub_block,
)
from privacy.engine.moments.rows import ReleaseRows

HINGE_ERROR = 0.2  # hinge features enter when the expected error of an effect, in whitened units, is at most this
_QUANTILES = {"gram": (0.9, 1.0), "targets": (0.9, 1.0), "effects": (0.8, 1.0), "variances": (0.9, 1.25)}
_QUANTILES |= dict.fromkeys((SHARES_BLOCK, SUB_SHARES_BLOCK), (0.9, 1.0))
_SUB_QUANTILE = (0.8, 1.0)


def nominal_decisions(spec: LoopSpec, released: float | None = None) -> int:
    """Return the decision points of a null user: as declared, else the released estimate, else 14 days of them.

    The last two are rounded to a power of two from 8 to 512.
    """
    if spec.moments.nominal_decisions is not None:
        return spec.moments.nominal_decisions
    guess = released if released is not None else 14.0 * spec.decisions_per_day
    return int(2 ** np.clip(np.round(np.log2(max(guess, 2.0))), 3, 9))


@dataclass(frozen=True)
class PublicFacts:
    """Constants of a layout computed from null users.

    ``clips``: L2 clip of each block. ``weights``: by effects block, the mean weight of a person's average, relative to all rows.
    ``rows``: by effects block, usable rows per person. ``gram`` (d, d): mean gram. ``plain_gram`` (d, d): mean gram of
    features without support, for the size rule: holding a feature makes its coefficient less precise, but no prediction.
    """

    clips: Clips
    weights: dict[str, float]
    rows: dict[str, float]
    gram: Floats
    plain_gram: Floats


def public_facts(layout: ReleaseLayout, decisions: int, explored_share: float = 1.0) -> PublicFacts:
    """Compute a layout's public constants from null users; results are cached.

    Clips are quantiles of block norms: gram .9, targets .9, effects .8, variances .9 times 1.25, shares .9, sub-heads .8.
    """
    return _cached(_Key(layout, decisions, explored_share))


def pick_hinges(
    spec: LoopSpec, *, users: float, decisions: int, sigma: float | None, explored_share: float = 1.0
) -> bool:
    """Return whether a release of this size carries hinge features: as declared, else where an effect's error is small enough.

    Carrying hinges early, for later releases, did not pay. They make every block longer and so the linear part noisier: at
    1,000 people that cost .04 of the attainable gain.
    """
    if spec.moments.features is not None:
        return spec.moments.features == "hinges"
    layout = ReleaseLayout.of(spec, hinges=True)
    facts = public_facts(layout, decisions, explored_share)
    effective = users * facts.weights["effects"]
    noise = (
        0.0
        if sigma is None
        else facts.clips["effects"] * sigma / (np.sqrt(layout.shares["effects"]) * max(effective, 1.0))
    )
    return bool(hinge_error(layout, facts, noise, effective) <= HINGE_ERROR)


def hinge_error(layout: ReleaseLayout, facts: PublicFacts, noise: float, users: float) -> float:
    """Return the expected error of an effect, sqrt(s^2 tr(G0^-1)), in whitened units.

    s^2 = |row of V^-1|^2 (noise^2 + C^2 / (entries * users)), averaged over actions. G0 is the null users' gram, C the clip of
    the effects block, and ``noise`` the standard deviation on an entry of the mean.
    """
    entries = len(layout.alternatives) * layout.phi.width * len(layout.targets)
    return effect_error(layout, facts, noise**2 + facts.clips["effects"] ** 2 / (entries * max(users, 1.0)))


def effect_error(layout: ReleaseLayout, facts: PublicFacts, variance: float) -> float:
    """Return the expected error of an effect, in whitened units, when an entry of the effects block has this variance."""
    rows = np.linalg.inv(layout.covariance)
    mean = float(np.mean(np.sum(rows**2, axis=1)))
    return float(np.sqrt(mean * variance * np.trace(np.linalg.inv(facts.plain_gram))))


class _Key:
    """Cache key of what null users depend on: the loop's content, features, sub-heads, decisions and explored share."""

    def __init__(self, layout: ReleaseLayout, decisions: int, explored_share: float) -> None:
        self.layout, self.decisions, self.explored_share = layout, decisions, explored_share
        self.identity = (
            repr(layout.spec),
            layout.phi.width,
            layout.phi.support,
            layout.subs,
            decisions,
            explored_share,
        )

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.identity == other.identity


@lru_cache(maxsize=32)
def _cached(key: _Key) -> PublicFacts:
    layout = key.layout
    rows = null_rows(layout.spec, decisions=key.decisions, logged=LoggingPolicy(key.explored_share))
    gram, targets = baseline_contributions(layout, rows, 0.0)
    blocks = {"gram": gram, "targets": targets}
    blocks |= effect_contributions(layout, rows, 0.0, np.zeros((layout.phi.width, len(layout.targets))))
    clips = {"counts": COUNTS_CLIP} | {name: _clip(name, block) for name, block in blocks.items()}
    if key.explored_share < 1.0 and not all(clips.values()):
        full = public_facts(layout, key.decisions).clips
        clips = {name: clip or full[name] for name, clip in clips.items()}
    usable = {"effects": rows.explored} | {sub_block(h): sub_usable(rows, h) for h in layout.subs}
    plain = FeatureMap.of(layout.spec, layout.phi.hinges).phi(rows.state)
    everybody = float(average_weights(rows, np.ones(len(rows.person), bool)).mean())
    return PublicFacts(
        clips=Clips(clips | layout.spec.moments.clips),
        weights={n: max(float(average_weights(rows, u).mean()) / everybody, 1e-3) for n, u in usable.items()},
        rows={n: max(float(u.sum()) / rows.users, 1e-3) for n, u in usable.items()},
        gram=_mean_gram(layout, rows, gram),
        plain_gram=plain.T @ plain / len(plain),
    )


def _clip(name: str, block: Floats) -> float:
    """Return the clip of a block (U, k): the quantile of its norms, or the largest norm where that quantile is 0.

    The quantile is 0 where exploration is so rare that most people contribute nothing. If nobody contributes, the clip is 0, and
    the caller uses the clip of full logging.
    """
    quantile, factor = _QUANTILES.get(name, _SUB_QUANTILE)
    norms = np.linalg.norm(block, axis=1)
    return factor * float(np.quantile(norms, quantile) or norms.max())


def _mean_gram(layout: ReleaseLayout, rows: ReleaseRows, gram: Floats) -> Floats:
    mean = gram.mean(axis=0) / max(float(np.minimum(1.0, user_weights(rows)[0] / 8).mean()), 1e-3)
    half = mean.size // 2
    return gram_from_upper(mean[:half] + mean[half:] if layout.same_day else mean, layout.phi.width)
