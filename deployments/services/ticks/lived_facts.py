"""Read what both arms of a rollout lived, when its next look needs to know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deployments.engine.rollouts.lived_conditions import (
    CandidateFigures,
    LivedFinding,
    even_arms,
    lived_findings,
    lived_of,
)
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, RolloutCheck, ServingSlot
from deployments.selectors.slots import candidate_arm
from loops.engine.spec import LoopSpec
from loops.selectors import loop_version_current
from privacy.selectors.trial_decisions import TrialSpan, people_in_trial, trial_rows
from training.models import ModelVersion

_MOST_PEOPLE = 20_000  # of both arms; more would be read for minutes, and would say no more


def lived_facts(
    rollout: Deployment, slot: ServingSlot, closed_weeks: int, last: RolloutCheck | None
) -> tuple[LivedFinding, ...]:
    """Return what a private trial would say of the people of both arms in the present stage.

    It is read once a closed week, because every outcome is opened for it.

    Args: last: the rollout's last check.
    """
    if last is not None and _is_of_same_look(last, rollout, slot, closed_weeks):
        read = lived_of(last.facts)
        if read is not None:
            return read
    return _read(rollout, slot)


def _is_of_same_look(last: RolloutCheck, rollout: Deployment, slot: ServingSlot, closed_weeks: int) -> bool:
    seen = (last.generation, last.stage, last.closed_weeks, last.facts.get("extended"))
    return seen == (slot.generation, rollout.stage, closed_weeks, rollout.extended)


def _read(rollout: Deployment, slot: ServingSlot) -> tuple[LivedFinding, ...]:
    loop_version = loop_version_current(slot.loop.name)
    span = TrialSpan(rollout.created_at, slot.generation, None)
    people = people_in_trial(loop_version=loop_version, span=span)
    is_ours = candidate_arm(slot)
    found = [(pk, is_ours(key)) for pk, key in people.values_list("pk", "key")]
    ids, ours = np.array([pk for pk, _ in found], dtype=np.int64), np.array([arm for _, arm in found], dtype=np.bool_)
    rows = trial_rows(
        loop_version=loop_version, person_ids=even_arms(ids, ours, _MOST_PEOPLE), span=span, in_candidate=is_ours
    )
    return lived_findings(
        _with_frozen_silence(loop_version.spec, rollout),
        rows,
        _figures(rollout.version),
        exploration=slot.exploration_bp / BASIS_POINTS,
        look=rollout.extended + 1,
    )


def _with_frozen_silence(spec: LoopSpec, rollout: Deployment) -> LoopSpec:
    """Return a loop in which silence means what it meant when the rollout began."""
    silence = rollout.frozen_policy.get("silence", spec.reward.silence)
    return replace(spec, reward=replace(spec.reward, silence=silence))


def _figures(version: ModelVersion) -> CandidateFigures:
    """Return the figures that a version's training stored. One that lacks them is taken to speak always."""
    known = {name: version.config[name] for name in CandidateFigures.__dataclass_fields__ if name in version.config}
    return CandidateFigures(**{name: float(value) for name, value in known.items()})
