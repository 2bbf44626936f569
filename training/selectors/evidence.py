"""Read what a version was trained and judged on: its pool's states, its releases, and whether its evidence leaves it open."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np

from core.arrays import Floats, unpack_arrays
from loops.models import LoopVersion
from privacy.engine.dp.accounting import sigma_of_rho
from privacy.engine.evaluation.centred_sums import read_centred
from privacy.engine.turn_shares import judging_share
from privacy.models import Release
from privacy.selectors.releases import evaluation_sums
from training.engine.gates.decision_rule import VerdictWord
from training.engine.gates.judgements import GateResult, Judgement
from training.engine.gates.trial import hides_losses, people_for_trial, trial_first, trial_wanted
from training.models import OUTCOME_GATE, GateVerdict, ModelMetric, ModelVersion, SyntheticJob
from training.selectors.versions import last_verdict, model_gate_metrics

_NULL_DECISIONS = 20  # of each person of the null population, whose states stand in for a pool that has expired


def training_states(version: ModelVersion) -> Floats:
    """Return the states (n, F) of the version's training pool; if its rows have expired, those of the loop's null population."""
    jobs = SyntheticJob.objects.filter(release__in=version.releases.all()).order_by("-pk")
    for job in jobs:
        chunks = [unpack_arrays(bytes(c.data), c.data_sha256) for c in job.chunks.order_by("index")]
        if chunks:
            return np.concatenate([np.asarray(c["state"], dtype=np.float64) for c in chunks])
    return _null_states(version.loop_version)


def _null_states(loop_version: LoopVersion) -> Floats:
    from privacy.engine.moments.null_population import null_rows

    return null_rows(loop_version.spec, decisions=_NULL_DECISIONS).state


def evidence_around(version: ModelVersion, moment: datetime) -> tuple[float, float]:
    """Return the usable evidence of a version's releases before and after ``moment``, in noised people times explored share.

    A release reads the outcomes since the release before it. One that spans the moment counts in proportion to its time on either
    side. The first release of a loop counts with the time at which it was made.
    """
    before = after = 0.0
    since: datetime | None = None
    releases = Release.objects.filter(
        loop_version__loop=version.loop_version.loop, pk__in=version.releases.values("pk"), noisy_users__isnull=False
    )
    for release in releases.order_by("pk"):
        usable = (release.noisy_users or 0.0) * float(release.parameters.get("explored_share", 1.0))
        share = _share_after(since, release.created_at, moment)
        before, after, since = before + usable * (1 - share), after + usable * share, release.created_at
    return before, after


def _share_after(since: datetime | None, until: datetime, moment: datetime) -> float:
    if since is None or until <= moment:
        return float(until > moment)
    return min(1.0, (until - moment) / (until - since)) if until > since else 1.0


def trial_is_wanted(version: ModelVersion, verdict: GateVerdict | None = None) -> bool:
    """Tell whether a version is to be tried: its evidence leaves it open (``trial_wanted``), or it is a loop's first policy.

    A first policy that passed is tried as well, unless the loop says otherwise (``trial_first``).

    Args:
        verdict: the version's latest one, if it was read already.
    """
    verdict = verdict or last_verdict(version)
    if verdict is None or people_lacking(version) is not None:
        return False
    if verdict.verdict == "pass":
        return trial_first(version.loop_version.spec, incumbent=version.parent_id is not None)
    gates = [(m.value or 0.0, m.threshold or 0.0) for m in model_gate_metrics(version)]
    if verdict.release_id is None:
        return trial_wanted(gates, None)
    metrics = tuple(_judgement(m) for m in version.metrics.filter(source=OUTCOME_GATE))
    result = GateResult(_word(verdict.verdict), verdict.reason, metrics, verdict.needed_users)
    return trial_wanted(gates, result, sums_before(version))


def trial_looks(version: ModelVersion) -> list[GateVerdict]:
    """Return the verdicts of the looks at the version's trial, oldest first. A turn that could charge nobody was no look."""
    looks = version.verdicts.filter(release__parameters__has_key="look").select_related("release")
    return list(looks.order_by("attempt"))


def trial_has_passed(version: ModelVersion) -> bool:
    """Tell whether the last look at the version's trial passed."""
    looks = trial_looks(version)
    return bool(looks) and looks[-1].verdict == "pass"


def people_behind(version: ModelVersion) -> float | None:
    """Return the noised number of people in the newest release about a version, None without one."""
    verdicts = version.verdicts.filter(release__noisy_users__isnull=False).select_related("release")
    newest = verdicts.order_by("-attempt").first()
    if newest is not None and newest.release is not None:
        return newest.release.noisy_users
    trained = version.releases.filter(noisy_users__isnull=False).order_by("-pk").first()
    return None if trained is None else trained.noisy_users


def people_lacking(version: ModelVersion) -> float | None:
    """Return how many people a trial would need, if fewer took part in the version's last evaluation. None: enough did."""
    last = _evaluated(version)
    if last is None or last.rho is None:
        return None
    needed = people_for_trial(sigma_of_rho(last.rho) * math.sqrt(judging_share(version.loop_version.spec)))
    sums = evaluation_sums(last)
    if sums is None or "improvement" not in sums:  # it judged other heads alone
        return None
    return needed if read_centred(sums, "improvement").people < needed else None


def losses_are_hidden(version: ModelVersion) -> bool:
    """Tell whether more people lie below the clip of the version's evaluation than noise explains (``hides_losses``)."""
    earlier = sums_before(version)
    return earlier is not None and hides_losses(earlier)


def sums_before(version: ModelVersion) -> dict[str, np.ndarray] | None:
    """Return the noised sums of the version's last evaluation on logged decisions, or None without one."""
    last = _evaluated(version)
    return None if last is None else evaluation_sums(last)


def _evaluated(version: ModelVersion) -> Release | None:
    """Return the release of the version's last evaluation on logged decisions, or None without one."""
    last = version.verdicts.filter(release__parameters__has_key="metrics").order_by("-attempt").first()
    return None if last is None else last.release


def _judgement(metric: ModelMetric) -> Judgement:
    """Read a stored metric. A bound that is not stored was infinite."""
    low = -np.inf if metric.low is None else metric.low
    high = np.inf if metric.high is None else metric.high
    return Judgement(
        metric.name, metric.value or 0.0, float(low), float(high), metric.threshold or 0.0, metric.users,
        _word(metric.verdict), metric.reason, metric.needed_users,
    )  # fmt: skip


def _word(stored: str) -> VerdictWord:
    """Return a stored verdict. A metric that is only reported decides nothing, as an undecided one."""
    return "pass" if stored == "pass" else "fail" if stored == "fail" else "insufficient"
