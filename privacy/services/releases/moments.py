"""Run the ``moments`` release: one charge and three noised rounds, each stored before the next starts.

After a crash, a retry continues from the last stored round. A stored round is never sampled again, and the charge is never
refunded once a round was sampled. Each outcome is used in one release. A loop's later releases are pooled with the earlier ones,
which they name in their parameters (post-processing).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from core.errors import Conflict
from core.progress import ReportProgress
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.engine.dp.accounting import calibration_part
from privacy.engine.dp.mechanisms import Totals, add_totals
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
from privacy.engine.turn_shares import training_share
from privacy.models import Purpose, Release, ReleaseState, RewardSignal, VaultKind
from privacy.selectors.decisions import people_with_usable_decisions, training_folds
from privacy.services.releases.lifecycle import (
    LEAST_CHARGED,
    calibration_asked,
    enough_payable,
    release_commit,
    release_reserve,
    release_sigma,
    round_load,
    round_store,
    unended_check,
    usable_check,
)
from privacy.services.releases.shards import ChargedRows
from privacy.services.vault.append import vault_append
from privacy.services.vault.stored_rows import OUTCOMES_READ

COUNTS, BASELINE, EFFECTS = 0, 1, 2
MOMENTS_KIND = "moments"
LAYOUT = 2  # of the blocks; releases of another layout hold other numbers and are not pooled


def moments_release(
    *,
    key: str,
    loop_version: LoopVersion,
    epsilon: float,
    delta: float,
    explored_share: float,
    report: ReportProgress,
) -> Release:
    """Release the joint moments of all heads over new outcomes. Idempotent by ``key``.

    The cohort is everybody with a usable new outcome who consented to training, has budget and is not held out for evaluation.
    ``epsilon`` and ``delta`` are those of a turn: this release spends ``training_share`` of them.
    ``explored_share`` is the public share of decisions drawn from the logging distribution since the last release. Raises
    BudgetExceeded when nobody could be charged, InsufficientData when too few could be, and InputError for parameters out of
    range.
    """
    unended_check(key)
    existing = Release.objects.filter(key=key).first()
    release = existing or _reserve(key, loop_version, epsilon, delta, explored_share)
    if release.state == ReleaseState.COMMITTED:
        return release
    report(0.1, "reading the charged people's decisions")
    spec, charged = loop_version.spec, ChargedRows(release)
    if round_load(release=release, index=COUNTS) is None:
        users, counts = _counted(spec, charged)
        usable_check(release, users)
        report(0.4, "counting under noise")
        sigma = release_sigma(release)
        round_store(release=release, index=COUNTS, arrays=release_counts(spec, counts, sigma))
    plan, earlier = release_plan(release)
    report(0.6, "baseline moments")
    if round_load(release=release, index=BASELINE) is None:
        sums = add_totals(baseline_totals(plan, rows) for rows in charged)
        round_store(release=release, index=BASELINE, arrays=release_baseline(plan, sums))
    report(0.8, "action effects")
    theta = residual_baseline(plan, _stored(release, BASELINE), earlier)
    effects = release_effects(plan, add_totals(effect_totals(plan, theta, rows) for rows in charged))
    with transaction.atomic():
        round_store(release=release, index=EFFECTS, arrays=effects)
        release_commit(release=release, noisy_users=plan.counts.users)
    release.refresh_from_db()
    return release


def moments_ready(*, loop_version: LoopVersion, epsilon: float, delta: float) -> bool:
    """Return whether a release could be charged now: enough people have a new outcome, consent to training and have budget.

    ``epsilon`` and ``delta`` are those of a turn. Raises InputError for values above the platform's limits.
    """
    spec = loop_version.spec
    return enough_payable(
        among=people_with_usable_decisions(loop_version=loop_version, fresh=True),
        loop_version=loop_version,
        purpose=Purpose.TRAINING,
        folds=training_folds(spec),
        charge=calibration_part(calibration_asked(epsilon=epsilon, delta=delta), training_share(spec)),
        least=LEAST_CHARGED,
    )


def _counted(spec: LoopSpec, charged: ChargedRows) -> tuple[int, Totals]:
    """Return the number of people with a row, and the totals of the counts. Reads each shard once."""
    users = list[int]()

    def totals() -> Iterator[Totals]:
        for rows in charged:
            users.append(rows.users)
            yield count_totals(spec, rows)

    summed = add_totals(totals())
    return sum(users), summed


@transaction.atomic
def _reserve(key: str, loop_version: LoopVersion, epsilon: float, delta: float, explored_share: float) -> Release:
    """Charge the cohort and assign its outcomes that no release has read to this release, in one transaction."""
    earlier = releases_before(loop_version=loop_version)
    release = release_reserve(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.TRAINING,
        folds=training_folds(loop_version.spec),
        epsilon=epsilon,
        delta=delta,
        mechanism="moments: discrete Gaussian on clipped user-level averages",
        parameters={
            "kind": MOMENTS_KIND,
            "layout": LAYOUT,
            "explored_share": explored_share,
            "earlier": [r.pk for r in earlier],
        },
        among=lambda: people_with_usable_decisions(loop_version=loop_version, fresh=True),
        least=LEAST_CHARGED,
        share=training_share(loop_version.spec),
    )
    new = RewardSignal.objects.filter(
        release__isnull=True,
        decision__loop_version=loop_version,
        decision__person__ledger_entries__release=release,
    )
    outcomes_assign(release, new)
    return release


@transaction.atomic
def outcomes_assign(release: Release, outcomes: QuerySet[RewardSignal]) -> None:
    """Assign outcomes to the release that reads them, and record them in the Trust Vault. No other release reads them."""
    before = OUTCOMES_READ.total(RewardSignal.objects.filter(release=release))  # a retry finds some
    if RewardSignal.objects.filter(pk__in=outcomes.values("pk")).update(release=release):
        read = OUTCOMES_READ.total(RewardSignal.objects.filter(release=release)) - before
        vault_append(kind=VaultKind.RELEASE, body={"release": release.pk}, sums={OUTCOMES_READ.name: read})


def releases_before(*, loop_version: LoopVersion) -> Sequence[Release]:
    """Return the committed moments releases of this layout under this version of a loop, in order."""
    releases = Release.objects.filter(
        loop_version=loop_version,
        parameters__kind=MOMENTS_KIND,
        parameters__layout=LAYOUT,
        state=ReleaseState.COMMITTED,
    )
    return list(releases.order_by("pk"))


@dataclass(frozen=True)
class Pooled:
    """All releases up to one, pooled, and the last one's public facts, by which features are chosen."""

    moments: Moments
    facts: PublicFacts

    def fitted(self) -> Moments:
        """Return the moments on the features that their size supports."""
        return fit_in_memory(self.moments, self.facts)


def moments_load(*, release: Release) -> Moments:
    """Load a committed release, pooled with the earlier ones that it names, on the features that their size supports."""
    return _joined(release, _pooled(_earlier(release))).fitted()


def release_plan(release: Release) -> tuple[ReleasePlan, Moments | None]:
    """Return the plan of rounds 1 and 2, and the earlier releases pooled. Every process derives them from stored rounds."""
    before = _pooled(_earlier(release))
    return _plan(release, before), before.moments if before else None


def _earlier(release: Release) -> list[Release]:
    """Return the releases before ``release``, oldest first; each names the ones before it. Empty for a loop's first."""
    found: list[Release] = []
    while before := release.parameters.get("earlier"):
        release = Release.objects.select_related("loop_version__loop").get(pk=before[-1])
        found.insert(0, release)
    return found


def _pooled(releases: Sequence[Release]) -> Pooled | None:
    """Pool committed releases, oldest first, each read with those before it; None where there is none."""
    before = None
    for release in releases:
        before = _joined(release, before)
    return before


def _joined(release: Release, before: Pooled | None) -> Pooled:
    """Read one committed release and pool it with those before it."""
    plan, earlier = _plan(release, before), before.moments if before else None
    fresh = read_moments(plan, _stored(release, BASELINE), _stored(release, EFFECTS), earlier)
    return Pooled(fresh if earlier is None else pool([earlier, fresh]), plan.facts)


def _plan(release: Release, before: Pooled | None) -> ReleasePlan:
    """Plan a release from its public parameters, its noised counts, and the earlier releases."""
    spec, sigma = release.loop_version.spec, release_sigma(release)
    earlier = before.moments if before else None
    return plan_release(
        spec,
        read_counts(spec, _stored(release, COUNTS), earlier),
        sigma,
        explored_share=float(release.parameters["explored_share"]),
        earlier=earlier,
        known=_known(release, before),
    )


def _known(release: Release, before: Pooled | None) -> np.ndarray | None:
    """Return the effects that this release subtracts from its targets: as stored with round 1, else from earlier releases."""
    stored = round_load(release=release, index=BASELINE)
    if stored is not None:
        return stored.get("known")  # type: ignore[return-value]
    if before is None:
        return None
    moments = before.fitted()
    return known_effects(moments, effects_posterior(moments))


def _stored(release: Release, index: int) -> Mapping[str, Any]:
    stored = round_load(release=release, index=index)
    if stored is None:
        raise Conflict(
            f"{release} is {release.state} and its round {index} is missing; run its turn again to finish it"
        )
    return stored
