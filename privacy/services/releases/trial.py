"""Release what a trial shows, charged: noised sums of one on-policy number a person, in one round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from core.errors import InsufficientData
from core.progress import ReportProgress
from loops.models import LoopVersion
from privacy.engine.evaluation.centred_sums import ValueClips
from privacy.engine.evaluation.on_policy import IMPROVEMENT_COLUMNS, release_trial
from privacy.models import Person, PrivacyBudget, Purpose, Release, ReleaseState
from privacy.selectors.consents import consented
from privacy.selectors.decisions import evaluation_folds
from privacy.selectors.payable import cohort_people
from privacy.selectors.releases import consenting_person_ids
from privacy.selectors.trial_decisions import (
    TrialSpan,
    people_in_trial,
    people_judging_trial,
    trial_has_news,
    trial_rows,
)
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

TRIAL_KIND = "trial"
_USERS = list(IMPROVEMENT_COLUMNS).index("users")


@dataclass(frozen=True)
class TrialTerms:
    """Hold the public terms of one look at a trial.

    version: id of the version on trial. look: 1, 2, ... span: which decisions were made in the trial. centre: mean reward
    (reward scales) that people are compared with. decisions: usual number of a person's. clips: of the guardrails.
    """

    version: int
    look: int
    span: TrialSpan
    centre: float
    decisions: float
    clips: Mapping[str, ValueClips]

    def parameters(self) -> dict[str, Any]:
        """Return what the log of releases states about the look."""
        return {
            "kind": TRIAL_KIND,
            "version": self.version,
            "look": self.look,
            "centre": self.centre,
            "decisions": self.decisions,
            "clips": {metric: asdict(clip) for metric, clip in self.clips.items()},
        }


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

    The people are those of an evaluation who have a decision in the trial: who consented to it and has budget.

    Args:
        in_candidate: tells from a person's key whether their arm is the candidate's.
        share: of the turn's ``epsilon`` and ``delta`` that this release spends.
    Raises: BudgetExceeded when nobody could be charged. InsufficientData when too few could be, or when everybody was refunded
        because too few had a reward: a retry then finds that this key's release is over.
    """
    unended_check(key)
    release = _reserved(key, loop_version, terms, epsilon, delta, share)
    stored = round_load(release=release, index=0)
    if stored is not None and release.state == ReleaseState.COMMITTED:
        return release, stored
    sums = _noised(release, loop_version, terms, in_candidate, report)
    with transaction.atomic():
        stored = round_store(release=release, index=0, arrays=sums)
        release_commit(release=release, noisy_users=max(0.0, float(stored["improvement"][_USERS])))
    release.refresh_from_db()
    return release, stored


def trial_ready(*, loop_version: LoopVersion, span: TrialSpan, epsilon: float, delta: float) -> bool:
    """Return whether a look could be charged now with the whole budget of a turn (``epsilon``, ``delta``).

    Enough people have an outcome in the trial, consent to evaluation and have budget. Raises InputError as for a release.
    """
    return enough_payable(
        among=people_judging_trial(loop_version=loop_version, span=span),
        loop_version=loop_version,
        purpose=Purpose.EVALUATION,
        folds=evaluation_folds(loop_version.spec),
        charge=calibration_asked(epsilon=epsilon, delta=delta),
        least=LEAST_CHARGED,
    )


def _reserved(
    key: str, loop_version: LoopVersion, terms: TrialTerms, epsilon: float, delta: float, share: Fraction
) -> Release:
    """Charge the people with a decision in the trial, or return the release that did."""
    people = people_in_trial(loop_version=loop_version, span=terms.span)
    if not Release.objects.filter(key=key).exists():
        _news_check(loop_version, terms)
        _outcomes_check(loop_version, people_judging_trial(loop_version=loop_version, span=terms.span))
    return release_reserve(
        key=key,
        loop_version=loop_version,
        purpose=Purpose.EVALUATION,
        folds=evaluation_folds(loop_version.spec),
        epsilon=epsilon,
        delta=delta,
        mechanism="trial: discrete Gaussian on clipped user-level means",
        parameters=terms.parameters(),
        among=lambda: people,
        least=LEAST_CHARGED,
        share=share,
    )


def _noised(
    release: Release,
    loop_version: LoopVersion,
    terms: TrialTerms,
    in_candidate: Callable[[str], bool],
    report: ReportProgress,
) -> dict[str, np.ndarray]:
    """Read the charged people's decisions. Returns their noised sums."""
    report(0.2, "reading the trial's decisions")
    rows = trial_rows(
        loop_version=loop_version,
        person_ids=consenting_person_ids(release=release),
        span=terms.span,
        in_candidate=in_candidate,
    )
    usable_check(release, int(np.unique(rows.person).size))
    report(0.7, "noisy sums")
    return release_trial(
        loop_version.spec, rows, centre=terms.centre, decisions=terms.decisions, clips=terms.clips,
        sigma=release_sigma(release),
    )  # fmt: skip


def _news_check(loop_version: LoopVersion, terms: TrialTerms) -> None:
    """Raise InsufficientData, before anybody is charged, if a look would read again what the look before it read."""
    looks = Release.objects.filter(
        parameters__kind=TRIAL_KIND, parameters__version=terms.version, state=ReleaseState.COMMITTED
    )
    last = looks.order_by("-pk").first()
    among = _consenting(loop_version, people_judging_trial(loop_version=loop_version, span=terms.span))
    if last is not None and not trial_has_news(
        loop_version=loop_version, span=terms.span, since=last.created_at, among=among
    ):
        raise InsufficientData(
            "no outcome of the trial is new since its last look, so nobody was charged; wait for outcomes, or import decisions"
        )


def _outcomes_check(loop_version: LoopVersion, people: QuerySet[Person]) -> None:
    """Raise InsufficientData, before anybody is charged, if fewer than ``LEAST_CHARGED`` people of a trial may be asked."""
    if _consenting(loop_version, people)[:LEAST_CHARGED].count() < LEAST_CHARGED:
        raise InsufficientData(
            f"the trial has no outcomes yet of at least {LEAST_CHARGED} people who consent to evaluation, so nobody was charged; "
            "wait for outcomes, or import decisions that were made after the trial began"
        )


def _consenting(loop_version: LoopVersion, people: QuerySet[Person]) -> QuerySet[PrivacyBudget]:
    """Return the budgets of those people who consent to evaluation and may be in a release."""
    spec = loop_version.spec
    cohort = cohort_people(loop_version, spec.population, evaluation_folds(spec), people)
    return consented(Purpose.EVALUATION).filter(person_id__in=cohort.values("pk"))
