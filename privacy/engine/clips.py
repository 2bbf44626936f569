"""Public rules of the moments release: clips from null users, and the size rule that picks the feature set."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from loops.engine.spec import LoopSpec
from privacy.engine.moments import (
    COUNTS_CLIP,
    SHARES,
    Clips,
    Layout,
    baseline_contributions,
    effect_contributions,
    gram_from_upper,
)
from privacy.engine.null_users import null_rows
from privacy.engine.rows import Floats

HINGE_ERROR = 0.2  # hinges enter when the expected error of an effect, in whitened units, is at most this
_QUANTILES = {"gram": (0.9, 1.0), "targets": (0.9, 1.0), "effects": (0.8, 1.0), "variances": (0.9, 1.25)}


def nominal_decisions(spec: LoopSpec, released: float | None = None) -> int:
    """Decision points a person, for null users: declared, else the released estimate on a power-of-two grid, else 14 days."""
    if spec.moments.nominal_decisions is not None:
        return spec.moments.nominal_decisions
    guess = released if released is not None else 14.0 * spec.decisions_per_day
    return int(2 ** np.clip(np.round(np.log2(max(guess, 2.0))), 3, 9))


def public_clips(layout: Layout, decisions: int) -> Clips:
    """Quantiles of the null users' block norms (.9, .9, .8, .9) times 1, 1, 1, 1.25; the loop's ``clips`` override."""
    norms = _null_norms(layout, decisions)
    clips = {name: factor * float(np.quantile(norms[name], q)) for name, (q, factor) in _QUANTILES.items()}
    return Clips(counts=COUNTS_CLIP, **clips).override(layout.spec.moments.clips)


def pick_hinges(spec: LoopSpec, head: str, *, users: float, decisions: int, sigma: float | None) -> bool:
    """The public size rule: hinges when the expected effect error sqrt(s^2 tr(G0^-1)) is at most .2.

    s^2 = |row of V^-1|^2 (noise^2 + C^2 / (entries * users)): noise and sampling error of one effect coefficient, averaged over
    actions; G0 is the null users' gram. ``sigma`` None: no noise (comparisons only).
    """
    if spec.moments.features is not None:
        return spec.moments.features == "hinges"
    layout = Layout.of(spec, head, hinges=True)
    clip = public_clips(layout, decisions).effects
    rows = np.linalg.inv(layout.covariance)
    entries = len(layout.alternatives) * layout.phi.width * len(layout.targets)
    noise = 0.0 if sigma is None else clip * sigma / (np.sqrt(SHARES["effects"]) * max(users, 1.0))
    variance = float(np.mean(np.sum(rows**2, axis=1))) * (noise**2 + clip**2 / (entries * max(users, 1.0)))
    trace = float(np.trace(np.linalg.inv(null_gram(layout, decisions))))
    return float(np.sqrt(variance * trace)) <= HINGE_ERROR


def null_gram(layout: Layout, decisions: int) -> Floats:
    """Mean gram of the null users (d, d)."""
    gram, _ = _null_baseline(layout, decisions)
    mean = gram.mean(axis=0)
    size = mean.size // 2 if layout.same_day else mean.size
    return gram_from_upper(mean[:size] + mean[size:] if layout.same_day else mean, layout.phi.width)


def _null_baseline(layout: Layout, decisions: int) -> tuple[Floats, Floats]:
    return _cached(_Key(layout, decisions))[:2]


def _null_norms(layout: Layout, decisions: int) -> dict[str, Floats]:
    blocks = dict(zip(("gram", "targets", "effects", "variances"), _cached(_Key(layout, decisions)), strict=True))
    return {name: np.linalg.norm(block, axis=1) for name, block in blocks.items()}


class _Key:
    """Cache key by what the null users depend on: the loop's name, version and content, the head, the features."""

    def __init__(self, layout: Layout, decisions: int) -> None:
        self.layout, self.decisions = layout, decisions
        self.identity = (repr(layout.spec), layout.head, layout.phi.width, decisions)

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.identity == other.identity


@lru_cache(maxsize=16)
def _cached(key: _Key) -> tuple[Floats, Floats, Floats, Floats]:
    layout = key.layout
    rows = null_rows(layout.spec, layout.head, decisions=key.decisions)
    gram, targets = baseline_contributions(layout, rows, 0.0)
    effects, variances = effect_contributions(layout, rows, 0.0, np.zeros((layout.phi.width, len(layout.targets))))
    return gram, targets, effects, variances
