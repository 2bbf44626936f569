"""Read rollouts for those who watch them: how far each one is, what its last verdict said, and who did what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, OuterRef, QuerySet, Subquery

from core import clock
from core.errors import NotFound
from deployments.engine.arm_assignment import EPOCH, week_of
from deployments.engine.health.metrics import LEAST_SHOWN
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, TRIAL
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, DeploymentState, EvidenceWeek, RolloutAct, RolloutCheck
from deployments.selectors.slots import rollouts_now
from training.models import ModelVersion

_RELATED = ("slot__loop", "version__loop_version__loop", "previous__loop_version__loop")
_LARGEST_ID = 2**63 - 1


def rollouts_all() -> QuerySet[Deployment]:
    """Return all rollouts, newest first. What a rollback returned to is no rollout."""
    found = Deployment.objects.filter(rollback_of__isnull=True).select_related(*_RELATED)
    return found.defer("version__weights", "previous__weights").order_by("-pk")


def rollouts_watched() -> list[Deployment]:
    """Return the rollouts in progress, oldest first, without the arrays of their versions."""
    arrays = ("version__weights", "previous__weights", "slot__stable__weights")
    return list(rollouts_now().defer(*arrays))


def with_rollouts(versions: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """Add to each version which rollout tries it now: ``tried_in``, ``tried_by``, ``tried_state`` and ``tried_bp``, or None.

    ``tried_in``: id of the rollout. ``tried_by``: its strategy. ``tried_bp``: the people who have the version, in basis points.
    """
    active = Deployment.objects.filter(version=OuterRef("pk"), state__in=ACTIVE_STATES)
    columns = {"tried_in": "pk", "tried_by": "strategy", "tried_state": "state", "tried_bp": "slot__weight_bp"}
    return versions.annotate(**{name: Subquery(active.values(column)[:1]) for name, column in columns.items()})


def rollout_get(pk: int) -> Deployment:
    """Return one rollout by id. Raises NotFound."""
    found = rollouts_all().filter(pk=pk).first() if pk <= _LARGEST_ID else None
    if found is None:
        raise NotFound(f"there is no rollout {str(pk)[:20]}; the list of rollouts says which there are")
    return found


def rollout_newest(version: ModelVersion) -> Deployment:
    """Return the newest rollout of a version that tried it on some people, or else its newest. Raises NotFound."""
    found = rollouts_all().filter(version=version)
    newest = found.exclude(strategy=FULL_ROLLOUT).first() or found.first()
    if newest is None:
        raise NotFound(f"{version} has no rollout yet; start one with 'manage.py deploy {version.name}'")
    return newest


def last_checks(rollouts: Iterable[Deployment]) -> dict[int, RolloutCheck]:
    """Return the newest stored verdict of each rollout that has one, by the rollout's id."""
    checks = RolloutCheck.objects.filter(deployment__in=[rollout.pk for rollout in rollouts])
    newest = checks.values("deployment").annotate(last=Max("pk")).values("last")
    return {check.deployment_id: check for check in RolloutCheck.objects.filter(pk__in=newest)}


def last_pause(rollout: Deployment) -> RolloutAct | None:
    """Return who paused a rollout and why, or None when it is not paused."""
    if rollout.state != DeploymentState.PAUSED:
        return None
    return rollout.acts.filter(act=RolloutAct.Act.PAUSE).order_by("-pk").first()


def shows_figures(check: RolloutCheck) -> bool:
    """Tell whether both arms have enough people for figures about them to be shown."""
    return all(int(check.facts.get(arm, {}).get("people", 0)) >= LEAST_SHOWN for arm in ("candidate", "stable"))


@dataclass(frozen=True)
class RolloutProgress:
    """Hold how far a rollout is.

    ``stages``: shares of the people. ``share``: of the people who have the version now, None once the rollout has ended.
    ``first_week``, ``week``: the present stage's first whole week, and the present week, both counted from the rollout's start.
    ``closed``, ``due``: whole weeks of the stage of which every outcome is closed, and how many it lasts; 0 due for none.
    """

    stages: tuple[float, ...]
    share: float | None
    first_week: int
    week: int
    closed: int
    due: int
    began: datetime

    @property
    def week_of_stage(self) -> int:
        """Return the number of the present week in its stage: 1 for the first whole one, 0 before it."""
        return max(0, self.week - self.first_week + 1)

    @property
    def week_ends(self) -> datetime:
        """Return when the present week ends."""
        return self.began + self.week * EPOCH


def progress_of(rollout: Deployment) -> RolloutProgress:
    """Return how far a rollout is. Its weeks are those that ticks have closed."""
    terms, is_active = rollout.frozen_policy, rollout.state in ACTIVE_STATES
    first = (rollout.stage_starts or [1])[-1]
    weeks = 0 if rollout.strategy == TRIAL else int(terms.get("dwell_weeks") or terms.get("weeks") or 0)
    return RolloutProgress(
        stages=_stages(rollout),
        share=_share_now(rollout) if is_active else None,
        first_week=first,
        week=week_of(rollout.created_at, rollout.finished_at or clock.now()),
        closed=_closed_since(rollout, first),
        due=_weeks_of_stage(rollout, weeks) + weeks * rollout.extended,
        began=rollout.created_at,
    )


def _weeks_of_stage(rollout: Deployment, usual: int) -> int:
    """Return how many weeks the present stage was to last. The last one may be longer than the ``usual``."""
    last = int(rollout.frozen_policy.get("last_weeks") or 0)
    return last if last and rollout.stage >= len(_stages(rollout)) - 1 else usual


def _stages(rollout: Deployment) -> tuple[float, ...]:
    terms = rollout.frozen_policy
    if "stages" in terms:
        return tuple(terms["stages"])
    return (terms["share_bp"] / BASIS_POINTS,) if "share_bp" in terms else ()


def _share_now(rollout: Deployment) -> float:
    slot = rollout.slot
    return slot.weight_bp / BASIS_POINTS if slot.candidate_id == rollout.version_id else 0.0


def _closed_since(rollout: Deployment, first: int) -> int:
    """Return how many weeks from ``first`` on are closed without a gap."""
    weeks = EvidenceWeek.objects.filter(deployment=rollout, week__gte=first).values_list("week", flat=True)
    marked, closed = set(weeks), 0
    while first + closed in marked:
        closed += 1
    return closed
