"""Judge a trial: charge its release, read the verdict of this look, store it with the version on trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import Max

from core.errors import BudgetExceeded, InsufficientData
from core.progress import ReportProgress
from core.sentences import sentence
from loops.models import LoopVersion
from privacy.engine.evaluation.on_policy import guardrail_clips
from privacy.models import Release, ReleaseState
from privacy.selectors.trial_decisions import TrialSpan
from privacy.services.releases.reservations import reservation_end
from privacy.services.releases.trial import TRIAL_KIND, TrialTerms, trial_release
from training.engine.gates.judgements import GateResult, Judgement, combine_verdicts
from training.engine.gates.trial import TRIAL_LOOKS, trial_harms, trial_verdict
from training.models import TRIAL_GATE, GateVerdict, ModelVersion
from training.selectors.evidence import sums_before, trial_looks
from training.services.gate import metric_store
from training.services.recorded_versions import judgement_record


@dataclass(frozen=True)
class TrialArms:
    """Describe a trial in progress. in_candidate: tells from a person's key whether their arm is the candidate's.

    span: which decisions were made in it. exploration: the share of decisions that both arms explore.
    """

    version: ModelVersion
    span: TrialSpan
    exploration: float
    in_candidate: Callable[[str], bool]


def trial_judge(
    *,
    arms: TrialArms,
    loop_version: LoopVersion,
    newer: ModelVersion | None,
    latency: Judgement,
    epsilon: float,
    delta: float,
    share: Fraction,
    key: str,
    report: ReportProgress,
) -> Callable[[], dict[str, Any]]:
    """Judge the version on trial by what its people lived. Idempotent by ``key``.

    Args:
        loop_version: the one that serves.
        newer: the candidate that this turn trained, if any. It is stored and not evaluated while the trial runs.
        latency: the judgement of the decision times of the version on trial.
        share: of ``epsilon`` and ``delta``, those of a turn, that the trial's release spends.
    Returns: a function that stores the verdict, and returns a summary. ``trial`` in it holds the version's id, the look (0 if
        nobody could be charged), the looks left after it, and whether the version did harm.
    """
    version = arms.version
    look = _looks(version, key) + 1
    rate = float(version.config.get("intervention_rate", 1.0))
    decisions = float(version.config.get("decisions", 1.0))
    clips = guardrail_clips(
        loop_version.spec, intervention_rate=rate, exploration=arms.exploration, decisions=decisions
    )
    centre = float(version.config.get("rival_value", 0.0))
    terms = TrialTerms(version.pk, look, arms.span, centre, decisions, clips)
    try:
        release, sums = trial_release(
            key=key, loop_version=loop_version, terms=terms, in_candidate=arms.in_candidate,
            epsilon=epsilon, delta=delta, share=share, report=report,
        )  # fmt: skip
    except (BudgetExceeded, InsufficientData) as error:
        refusal = GateResult("insufficient", sentence(f"The trial could not be read now: {error}"), (), None)
        return lambda: _store(version, newer, None, refusal, 0, TRIAL_LOOKS - look + 1)
    result = trial_verdict(loop_version.spec, sums, look, sums_before(version))
    result = result if latency.verdict == "pass" else combine_verdicts([*result.judgements, latency])
    return lambda: _store(version, newer, release, result, look, TRIAL_LOOKS - look)


def trial_gone(
    *, version: ModelVersion, release: Release | None, newer: ModelVersion | None
) -> Callable[[], dict[str, Any]]:
    """Leave a look undecided whose trial ended while the turn ran.

    Args:
        version: the one that was on trial.
        release: the look's release, if it was begun. Without a stored round everybody in it is refunded, and it is no look.
        newer: the candidate of this turn, as in ``trial_judge``.
    Returns: what ``trial_judge`` returns.
    """
    if release is not None and release.state == ReleaseState.RESERVED:
        reservation_end(release=release)
    read = release if release is not None and release.state == ReleaseState.COMMITTED else None
    ended = GateResult("insufficient", "The trial ended while the turn ran.", (), None)
    look = 0 if read is None else int(read.parameters["look"])
    return lambda: _store(version, newer, read, ended, look, TRIAL_LOOKS - look)


def trial_waits(*, version: ModelVersion, newer: ModelVersion | None) -> Callable[[], dict[str, Any]]:
    """Leave a trial as it is whose last look passed. Nobody is charged, and it is no look.

    Args:
        newer: the candidate of this turn, as in ``trial_judge``.
    Returns: what ``trial_judge`` returns.
    """
    looks = trial_looks(version)
    before = GateResult("pass", f"Its last look passed. {looks[-1].reason}", (), None)
    return lambda: _store(version, newer, None, before, len(looks), TRIAL_LOOKS - len(looks))


def _looks(version: ModelVersion, key: str) -> int:
    """Return how many looks the trial has had before this one."""
    return version.verdicts.filter(release__parameters__kind=TRIAL_KIND).exclude(release__key=key).count()


@transaction.atomic
def _store(
    version: ModelVersion, newer: ModelVersion | None, release: Release | None, result: GateResult, look: int, left: int
) -> dict[str, Any]:
    if newer is not None:
        waits = (
            f"{version.name} is on trial, so this newer version was not evaluated. Start another turn after the trial."
        )
        _verdict_store(newer, None, GateResult("insufficient", waits, (), None))
        judgement_record(newer)
    attempt = None if release is None else _verdict_store(version, release, result)
    for judgement in result.judgements:
        metric_store(version, judgement, source=TRIAL_GATE)
    judgement_record(version)
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "needed_users": result.needed_users,
        "attempt": attempt,
        "metrics": [asdict(j) for j in result.judgements],
        "heads": {},
        "trial": {"version": version.pk, "look": look, "left": left, "harmful": trial_harms(result)},
    }


def _verdict_store(version: ModelVersion, release: Release | None, result: GateResult) -> int:
    attempt = 1 + (version.verdicts.aggregate(last=Max("attempt"))["last"] or 0)
    GateVerdict.objects.create(
        version=version,
        attempt=attempt,
        release=release,
        verdict=result.verdict,
        reason=result.reason,
        needed_users=result.needed_users,
    )
    return attempt
