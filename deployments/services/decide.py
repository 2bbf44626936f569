"""Scoring a file of states in batch: what a version would choose, logging nothing."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deployments.selectors import slot_for
from loops.engine.rows import RowError, RowReader
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from r3al_project.common.errors import InputError
from training.models import ModelVersion
from training.selectors import version_get, version_policy

_BATCH = 4_096


@dataclass(frozen=True)
class Scored:
    """What a batch run did."""

    version: ModelVersion
    rows: int
    chosen: dict[str, int]


def states_decide(
    *, loop_version: LoopVersion, head: str, version_id: int | None, source: Path, target: Path
) -> Scored:
    """Score every row of ``source`` (columns as in the loop's import section) into ``target``.

    Out: ``row`` (1-based), ``action``, and ``p_ACTION`` for each action of the head. A row that cannot be read stops the run
    and says where; ``target`` is written whole or not at all.
    """
    version = _version(loop_version, head, version_id)
    spec = version.loop_version.spec
    policy, actions = version_policy(version), spec.head(head).actions
    chosen = dict.fromkeys(actions, 0)
    rows = 0
    with _written_whole(target) as out:
        writer = csv.writer(out)
        writer.writerow(["row", "action", *(f"p_{a}" for a in actions)])
        for states in _batches(spec, source):
            picked = policy.actions(states)
            for action, probabilities in zip(picked, policy.probabilities(states), strict=True):
                rows += 1
                chosen[actions[action]] += 1
                writer.writerow([rows, actions[action], *(f"{p:g}" for p in probabilities)])
        if not rows:
            raise InputError(f"{source} has a header but no rows; nothing to decide")
    return Scored(version, rows, chosen)


def _version(loop_version: LoopVersion, head: str, version_id: int | None) -> ModelVersion:
    if head not in [h.name for h in loop_version.spec.heads]:
        known = ", ".join(h.name for h in loop_version.spec.heads)
        raise InputError(f"loop {loop_version.loop.name!r} has no head {head!r}; it has {known}")
    if version_id is None:
        return slot_for(loop_version.loop, head).stable
    version = version_get(version_id)
    if version.loop_version.loop_id != loop_version.loop_id or version.head != head:
        raise InputError(
            f"version {version_id} belongs to {version.loop_version.loop.name}/{version.head}, "
            f"not to {loop_version.loop.name}/{head}"
        )
    return version
