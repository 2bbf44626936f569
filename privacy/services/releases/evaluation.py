"""Release noisy sums that evaluate a candidate, over everybody or over the people held out of training."""

from __future__ import annotations

import numpy as np
from django.db import transaction

from core.progress import ReportProgress
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.engine.decision_arrays import evaluation_rows
from privacy.engine.evaluation.centred_sums import ENTRIES
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.release import release_evaluation
from privacy.engine.evaluation.statistics import EvaluationCandidate, measured_metrics, sub_metric
from privacy.engine.moments.clipping import nominal_decisions
from privacy.engine.moments.null_population import LoggingPolicy
from privacy.engine.turn_shares import judging_share
from privacy.models import Purpose, Release
from privacy.selectors.decisions import (
    decision_arrays,
    evaluation_folds,
    people_with_usable_decisions,
)
from privacy.selectors.releases import consenting_person_ids
from privacy.services.releases.lifecycle import (
    LEAST_CHARGED,
    release_commit,
    release_reserve,
    release_sigma,
    round_load,
    round_store,
    unended_check,
    usable_check,
)

EVALUATION_KIND = "evaluation"
PEOPLE = ENTRIES.index("people")


def evaluation_release(
    *,
    key: str,
    loop_version: LoopVersion,
    candidate: EvaluationCandidate,
    decisions: float | None,
    logged: LoggingPolicy,
    epsilon: float,
    delta: float,
    report: ReportProgress,
) -> tuple[Release, dict[str, np.ndarray]]:
    """Evaluate ``candidate``. Returns the release and its one round of sums. Idempotent by ``key``.

    ``decisions`` is the released, rough number of decision points per person. ``logged`` is the public logging policy. Both
    define the null users behind the clips. ``epsilon`` and ``delta`` are those of a turn, as in ``moments_release``.
    Raises: BudgetExceeded when nobody could be charged. InsufficientData when too few could be, or were refunded.
    """
    unended_check(key)
    spec = loop_version.spec
    release = release_reserve(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.EVALUATION,
        folds=evaluation_folds(spec),
        epsilon=epsilon,
        delta=delta,
        mechanism="evaluation: discrete Gaussian on clipped user-level sums",
        parameters={"kind": EVALUATION_KIND, "metrics": _metrics(spec, candidate)},
        among=lambda: people_with_usable_decisions(loop_version=loop_version, fresh=False),
        least=LEAST_CHARGED,
        share=judging_share(spec),
    )
    stored = round_load(release=release, index=0)
    if stored is not None and release.state == "committed":
        return release, stored
    report(0.2, "reading the evaluation people's decisions")
    arrays = decision_arrays(loop_version=loop_version, person_ids=consenting_person_ids(release=release))
    rows = evaluation_rows(arrays)
    usable_check(release, rows.rows.users)
    report(0.5, "clips from null users")
    clips = evaluation_clips(spec, candidate, nominal_decisions(spec, decisions), logged)
    report(0.7, "noisy sums")
    sums = release_evaluation(spec, rows, candidate, clips, release_sigma(release))
    with transaction.atomic():
        stored = round_store(release=release, index=0, arrays=sums)
        release_commit(release=release, noisy_users=max(0.0, float(stored[_metrics(spec, candidate)[0]][PEOPLE])))
    release.refresh_from_db()
    return release, stored


def _metrics(spec: LoopSpec, candidate: EvaluationCandidate) -> list[str]:
    """Return the metrics to release. Each of them counts people."""
    main = list(measured_metrics(spec)) if candidate.main else []
    return main + [sub_metric(head) for head in candidate.subs]
