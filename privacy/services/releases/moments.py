"""The ``moments`` release: charged once, three noised rounds, each stored before the next is begun.

A crash at any point is taken up where the stored rounds end: what was stored is never sampled again, and the charge is
never given back once a round was sampled. Each outcome teaches in one release alone; later releases of a loop are pooled with the
earlier ones (post-processing), which they name in their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.db import transaction

from core.errors import Conflict
from core.progress import ReportProgress
from loops.models import LoopVersion
from privacy.engine.dp.accounting import Calibration, calibrate
from privacy.engine.dp.mechanisms import add_totals
from privacy.engine.moments.clipping import PublicFacts
from privacy.engine.moments.effects import effects_posterior, known_effects
from privacy.engine.moments.pooled import Moments, pool
from privacy.engine.moments.rounds import (
    ReleasePlan,
    baseline_totals,
    count_totals,
    effect_totals,
    fit_in_memory,
    plan_release,
    read_counts,
    read_moments,
    release_baseline,
    release_counts,
    release_effects,
    residual_baseline,
)
from privacy.models import Purpose, Release, ReleaseState, RewardSignal
from privacy.selectors.decisions import training_folds
from privacy.services.releases.lifecycle import LEAST_CHARGED, release_commit, release_reserve, round_load, round_store
from privacy.services.releases.shards import ChargedRows

COUNTS, BASELINE, EFFECTS = 0, 1, 2
MOMENTS_KIND = "moments"


def moments_release(
    *,
    key: str,
    loop_version: LoopVersion,
    epsilon: float,
    delta: float,
    explored_share: float,
    report: ReportProgress,
) -> Release:
    """Release the joint moments of all heads over new outcomes of everybody who consented to training, has budget and is not kept
    for evaluation.

    ``explored_share``: the public share of decisions drawn from the logging distribution since the last release. Idempotent by
    ``key``. Raises BudgetExceeded or InsufficientData when nobody, or too few, could be charged, InputError for parameters out of
    range.
    """
    existing = Release.objects.filter(key=key).first()
    release = existing or _reserve(key, loop_version, epsilon, delta, explored_share)
    if release.state == ReleaseState.COMMITTED:
        return release
    report(0.1, "reading the charged people's decisions")
    spec, charged = loop_version.spec, ChargedRows(release)
    if round_load(release=release, index=COUNTS) is None:
        counts = add_totals(count_totals(spec, rows) for rows in charged)
        report(0.4, "counting under noise")
        sigma = release_calibration(release).sigma
        round_store(release=release, index=COUNTS, arrays=release_counts(spec, counts, sigma))
    made, earlier = release_plan(release)
    report(0.6, "baseline moments")
    if round_load(release=release, index=BASELINE) is None:
        sums = add_totals(baseline_totals(made, rows) for rows in charged)
        round_store(release=release, index=BASELINE, arrays=release_baseline(made, sums))
    report(0.8, "action effects")
    theta = residual_baseline(made, _stored(release, BASELINE), earlier)
    effects = release_effects(made, add_totals(effect_totals(made, theta, rows) for rows in charged))
    with transaction.atomic():
        round_store(release=release, index=EFFECTS, arrays=effects)
        release_commit(release=release, noisy_users=made.counts.users)
    release.refresh_from_db()
    return release


@transaction.atomic
def _reserve(key: str, loop_version: LoopVersion, epsilon: float, delta: float, explored_share: float) -> Release:
    """Charge, and take the charged people's outcomes that no release has read, both or neither."""
    before = releases_before(loop_version=loop_version)
    release = release_reserve(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.TRAINING,
        folds=training_folds(loop_version.spec),
        epsilon=epsilon,
        delta=delta,
        mechanism="moments: discrete Gaussian on clipped user-level averages",
        parameters={"kind": MOMENTS_KIND, "explored_share": explored_share, "earlier": [r.pk for r in before]},
        least=LEAST_CHARGED,
    )
    new = RewardSignal.objects.filter(
        release__isnull=True,
        decision__loop_version=loop_version,
        decision__person__ledger_entries__release=release,
    )
    RewardSignal.objects.filter(pk__in=new.values("pk")).update(release=release)
    return release


def releases_before(*, loop_version: LoopVersion) -> Sequence[Release]:
    """The committed moments releases under this version of a loop, in order."""
    found = Release.objects.filter(
        loop_version=loop_version, parameters__kind=MOMENTS_KIND, state=ReleaseState.COMMITTED
    )
    return list(found.order_by("pk"))


def moments_load(*, release: Release) -> Moments:
    """A committed release, pooled with the earlier ones it names, on the features that they can carry together."""
    raw, facts = _pooled(release)
    return fit_in_memory(raw, facts)


def release_plan(release: Release) -> tuple[ReleasePlan, Moments | None]:
    """What the rounds after the first ask, with the earlier releases pooled. Every process finds the same in what is stored."""
    earlier = _earlier(release)
    return _plan(release, earlier), earlier


def _pooled(release: Release) -> tuple[Moments, PublicFacts]:
    """All rounds up to ``release``; with them the public facts of the last, by which features are chosen."""
    made, earlier = release_plan(release)
    baseline, effects = _stored(release, BASELINE), _stored(release, EFFECTS)
    fresh = read_moments(made, baseline, effects, earlier)
    return (fresh if earlier is None else pool([earlier, fresh])), made.facts


def _earlier(release: Release) -> Moments | None:
    """The rounds before ``release``, pooled; None for a loop's first."""
    before = list(release.parameters.get("earlier", []))
    return _pooled(Release.objects.select_related("loop_version__loop").get(pk=before[-1]))[0] if before else None


def _plan(release: Release, earlier: Moments | None) -> ReleasePlan:
    """What the release asks, from its public parameters, its noised counts, and earlier releases."""
    spec, sigma = release.loop_version.spec, release_calibration(release).sigma
    counts = read_counts(spec, _stored(release, COUNTS), earlier)
    return plan_release(
        spec,
        counts,
        sigma,
        explored_share=float(release.parameters["explored_share"]),
        earlier=earlier,
        known=_known(release, earlier),
    )


def _known(release: Release, earlier: Moments | None) -> np.ndarray | None:
    """The effects that this release takes off its targets: as stored with its baseline round, else from the earlier rounds."""
    stored = round_load(release=release, index=BASELINE)
    if stored is not None:
        return stored.get("known")  # type: ignore[return-value]
    if earlier is None:
        return None
    last = Release.objects.select_related("loop_version__loop").get(pk=release.parameters["earlier"][-1])
    moments = moments_load(release=last)
    return known_effects(moments, effects_posterior(moments))


def _stored(release: Release, index: int) -> Mapping[str, Any]:
    found = round_load(release=release, index=index)
    if found is None:
        raise Conflict(f"{release} is {release.state}, without its round {index}; run its turn again to finish it")
    return found


def release_calibration(release: Release) -> Calibration:
    """The noise that a release was charged for."""
    epsilon, delta = release.formal_epsilon, release.formal_delta
    if epsilon is None or delta is None:
        raise Conflict(f"{release} carries no formal guarantee, so it has no noise scale")
    return calibrate(epsilon=epsilon, delta=delta, maximum=epsilon)
