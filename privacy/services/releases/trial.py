"""Release what a trial shows, charged: noised sums of one on-policy number a person, in one round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from core.errors import InsufficientData
from core.progress import ReportProgress
from loops.models import LoopVersion
from privacy.engine.evaluation.centred_sums import ValueClips
from privacy.engine.evaluation.on_policy import IMPROVEMENT_COLUMNS, release_trial
from privacy.models import Person, Purpose, Release
from privacy.selectors.consents import consented
from privacy.selectors.decisions import evaluation_folds
from privacy.selectors.releases import charged_person_ids
from privacy.selectors.trial_decisions import people_in_trial, trial_rows
from privacy.services.budget.charge import cohort_people
from privacy.services.releases.lifecycle import (
    LEAST_CHARGED,
    release_commit,
    release_reserve,
    release_sigma,
    round_load,
    round_store,
    usable_check,
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
    share: Fraction,
    report: ReportProgress,
) -> tuple[Release, dict[str, np.ndarray]]:
    """Release one look at a trial. Returns the release and its one round of sums. Idempotent by ``key``.

    The people are those of an evaluation who have an outcome in the trial: who consented to it and has budget.

    Args:
        in_candidate: tells from a person's key whether their arm is the candidate's.
        share: of the turn's ``epsilon`` and ``delta`` that this release spends.
    Raises: BudgetExceeded when nobody could be charged, InsufficientData when too few could be.
    """
    people = people_in_trial(loop_version=loop_version, since=terms.since, generation=terms.generation)
    if not Release.objects.filter(key=key).exists():
        _outcomes_check(loop_version, people)
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
        among=lambda: people,
        least=LEAST_CHARGED,
        share=share,
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
    usable_check(release, len(rows.before))
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


def _outcomes_check(loop_version: LoopVersion, people: QuerySet[Person]) -> None:
    """Raise InsufficientData, before anybody is charged, if fewer than ``LEAST_CHARGED`` people of a trial may be asked."""
    spec = loop_version.spec
    cohort = cohort_people(loop_version, spec.population, evaluation_folds(spec), people)
    consenting = consented(Purpose.EVALUATION).filter(person_id__in=cohort.values("pk"))
    if consenting[:LEAST_CHARGED].count() < LEAST_CHARGED:
        raise InsufficientData(
            f"the trial has no outcomes yet of at least {LEAST_CHARGED} people who consent to evaluation, so nobody was charged; "
            "wait for outcomes, or import decisions that were made after the trial began"
        )
