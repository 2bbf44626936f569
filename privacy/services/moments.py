"""The ``moments`` release: charged once, three noised rounds, each stored before the next is begun.

A crash at any point is taken up where the stored rounds end: what was stored is never sampled again, and the charge is
never given back once a round was sampled.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from loops.models import LoopVersion
from privacy.engine.accounting import Calibration, calibrate
from privacy.engine.baseline import Baseline, baseline_posterior
from privacy.engine.release import (
    Moments,
    plan,
    read_counts,
    read_moments,
    release_baseline,
    release_counts,
    release_effects,
)
from privacy.models import Purpose, Release
from privacy.selectors import charged_person_ids, decision_arrays, randomised_rows, training_folds
from privacy.services.release import release_commit, release_reserve, round_load, round_store
from r3al_project.common.errors import Conflict

COUNTS, BASELINE, EFFECTS = 0, 1, 2
Report = Callable[[float, str], None]


def moments_release(
    *, key: str, loop_version: LoopVersion, head: str, epsilon: float, delta: float, report: Report
) -> Release:
    """Release the moments of one head over everybody who consented to training, has budget and is not kept for evaluation.

    Idempotent by ``key``. Raises BudgetExceeded when nobody could be charged, InputError for parameters out of range.
    """
    release = release_reserve(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.TRAINING,
        folds=training_folds(loop_version.spec),
        epsilon=epsilon,
        delta=delta,
        mechanism="moments: discrete Gaussian on clipped user-level averages",
        parameters={"head": head},
    )
    if release.state == "committed":
        return release
    report(0.1, "reading the charged people's decisions")
    spec, sigma = loop_version.spec, release_calibration(release).sigma
    arrays = decision_arrays(loop_version=loop_version, person_ids=charged_person_ids(release=release), head=head)
    rows = randomised_rows(spec, arrays)
    report(0.4, "counting under noise")
    stored = round_load(release=release, index=COUNTS)
    counts = read_counts(
        spec, stored or round_store(release=release, index=COUNTS, arrays=release_counts(spec, rows, sigma))
    )
    layout, clips = plan(spec, head, counts, sigma)
    report(0.6, "baseline moments")
    baseline = round_load(release=release, index=BASELINE) or round_store(
        release=release, index=BASELINE, arrays=release_baseline(layout, clips, rows, counts.centre, sigma)
    )
    report(0.8, "action effects")
    effects = release_effects(layout, clips, rows, counts, baseline, sigma)
    with transaction.atomic():
        round_store(release=release, index=EFFECTS, arrays=effects)
        release_commit(release=release, noisy_users=counts.users)
    release.refresh_from_db()
    return release


def moments_load(*, release: Release) -> tuple[Moments, Baseline]:
    """A committed release as the arrays that training works with; post-processing, no charge."""
    spec, head = release.loop_version.spec, str(release.parameters["head"])
    rounds = [round_load(release=release, index=i) for i in (COUNTS, BASELINE, EFFECTS)]
    first, second, third = rounds
    if release.state != "committed" or first is None or second is None or third is None:
        raise Conflict(f"{release} is {release.state}, not committed; run its turn again to finish it")
    counts = read_counts(spec, first)
    layout, clips = plan(spec, head, counts, release_calibration(release).sigma)
    moments = read_moments(layout, clips, counts, second, third)
    return moments, baseline_posterior(layout, clips, counts, second)


def release_calibration(release: Release) -> Calibration:
    epsilon, delta = release.formal_epsilon, release.formal_delta
    if epsilon is None or delta is None:
        raise Conflict(f"{release} carries no formal guarantee, so it has no noise scale")
    return calibrate(epsilon=epsilon, delta=delta, maximum=epsilon)
