"""Release what a trial shows, charged: noised sums of one on-policy number a person, in one round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
from django.db import transaction

from core.progress import ReportProgress
from loops.models import LoopVersion
from privacy.engine.evaluation.centred_sums import ValueClips
from privacy.engine.evaluation.on_policy import IMPROVEMENT_COLUMNS, release_trial
from privacy.models import Purpose, Release
from privacy.selectors.decisions import evaluation_folds
from privacy.selectors.releases import charged_person_ids
from privacy.selectors.trial_decisions import trial_rows
from privacy.services.releases.lifecycle import (
    LEAST_CHARGED,
    release_commit,
    release_reserve,
    release_sigma,
    round_load,
    round_store,
)

TRIAL_KIND = "trial"
_USERS = list(IMPROVEMENT_COLUMNS).index("users")


@dataclass(frozen=True)
class TrialTerms:
    """Hold the public terms of one look at a trial.

    version: id of the version on trial. look: 1, 2, ... since: when the trial began. generation: of the slot during the trial.
    centre: mean reward (reward scales) that people are compared with. decisions: usual number of a person's. clips: of the
    guardrails.
    """

    version: int
    look: int
    since: datetime
    generation: int
    centre: float
    decisions: float
    clips: Mapping[str, ValueClips]


def trial_release(
    *,
    key: str,
    loop_version: LoopVersion,
    terms: TrialTerms,
    in_candidate: Callable[[str], bool],
    epsilon: float,
    delta: float,
    report: ReportProgress,
) -> tuple[Release, dict[str, np.ndarray]]:
    """Release one look at a trial. Returns the release and its one round of sums. Idempotent by ``key``.

    The people are those of an evaluation: who consented to it and has budget. A turn that reads a trial has no training release,
    so this one spends all of the turn's ``epsilon`` and ``delta``.

    Args:
        in_candidate: tells from a person's key whether their arm is the candidate's.
    Raises: BudgetExceeded when nobody could be charged, InsufficientData when too few could be.
    """
    release = release_reserve(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.EVALUATION,
        folds=evaluation_folds(loop_version.spec),
        epsilon=epsilon,
        delta=delta,
        mechanism="trial: discrete Gaussian on clipped user-level means",
        parameters={
            "kind": TRIAL_KIND,
            "version": terms.version,
            "look": terms.look,
            "centre": terms.centre,
            "decisions": terms.decisions,
            "clips": {metric: asdict(clip) for metric, clip in terms.clips.items()},
        },
        least=LEAST_CHARGED,
    )
    stored = round_load(release=release, index=0)
    if stored is not None and release.state == "committed":
        return release, stored
    report(0.2, "reading the trial's decisions")
    rows = trial_rows(
        loop_version=loop_version,
        person_ids=charged_person_ids(release=release),
        since=terms.since,
        generation=terms.generation,
        in_candidate=in_candidate,
    )
    report(0.7, "noisy sums")
    sums = release_trial(
        loop_version.spec, rows, centre=terms.centre, decisions=terms.decisions, clips=terms.clips,
        sigma=release_sigma(release),
    )  # fmt: skip
    with transaction.atomic():
        stored = round_store(release=release, index=0, arrays=sums)
        release_commit(release=release, noisy_users=max(0.0, float(stored["improvement"][_USERS])))
    release.refresh_from_db()
    return release, stored
