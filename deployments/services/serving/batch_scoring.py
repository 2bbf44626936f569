"""Scoring a file of states in batch: what a version would choose, logging nothing."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.arrays import Floats
from core.atomic_files import SHARED, atomic_file
from core.errors import InputError
from deployments.selectors.slots import slot_for
from loops.engine.rows.cells import RowError
from loops.engine.rows.reader import RowMoment, RowReader
from loops.engine.spec import LoopSpec
from loops.engine.state.history import StateHistory
from loops.intake.files import FileRecord, open_source, read_records
from loops.models import LoopVersion
from training.models import ModelVersion
from training.selectors.versions import version_named, version_policy

_T = TypeVar("_T")


@dataclass(frozen=True)
class Scored:
    """What a batch run did."""

    version: ModelVersion
    rows: int
    chosen: dict[str, int]


def states_decide(
    *, loop_version: LoopVersion, head: str, version_name: str | None, source: Path, target: Path
) -> Scored:
    """Score every row of ``source`` (columns as in the loop's import section) into ``target``.

    Out: ``row`` (1-based), ``action``, and ``p_ACTION`` for each action of the head. A row that cannot be read stops the run
    and says where; ``target`` is written whole or not at all. Raises InputError where ``target`` is ``source`` itself, or lies
    in no folder.
    """
    _target_check(source, target)
    version = _version(loop_version, head, version_name)
    spec = version.loop_version.spec
    states = _states(spec, source)
    policy, actions = version_policy(version), spec.head(head).actions
    picked, probabilities = policy.actions(states), policy.probabilities(states)
    try:
        with atomic_file(target, replace=True, mode=SHARED) as out:
            writer = csv.writer(out)
            writer.writerow(["row", "action", *(f"p_{a}" for a in actions)])
            for number, (action, row) in enumerate(zip(picked, probabilities, strict=True), start=1):
                writer.writerow([number, actions[action], *(f"{p:g}" for p in row)])
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}); choose another --output") from None
    counts = np.bincount(picked, minlength=len(actions))
    return Scored(version, len(states), dict(zip(actions, counts.tolist(), strict=True)))


def _target_check(source: Path, target: Path) -> None:
    """Before anything is computed, so that a slip of the pen costs neither time nor the states."""
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"--output {target} is the input itself, which would be lost; choose another --output")
    if target.is_dir():
        raise InputError(f"--output {target} is a folder; name a file in it")
    if not target.absolute().parent.is_dir():
        raise InputError(
            f"there is no folder {target.absolute().parent} for --output; make it, or choose another --output"
        )


def _states(spec: LoopSpec, path: Path) -> Floats:
    """(n, F) states of a file, in its order. Features that the file lacks are computed along each person's rows."""
    source = open_source(path, of="states")
    reader = RowReader(spec, source.columns, need="state")
    found = list(read_records(source))
    if not found:
        raise InputError(f"{path} has a header but no rows; nothing to decide")
    states = np.empty((len(found), len(spec.features)))
    place = _Placing(spec, reader.computed).place if reader.computed else None
    for i in _reading_order(found, reader, path):
        states[i] = _read(found[i], path, lambda cells: reader.read(cells, place).state)
    return states


def _reading_order(found: list[FileRecord], reader: RowReader, path: Path) -> list[int]:
    """In the order of the file, or of person and time where features are computed along it."""
    if not reader.computed:
        return list(range(len(found)))
    moments = [_read(record, path, reader.order) for record in found]
    return sorted(range(len(found)), key=moments.__getitem__)


def _read(record: FileRecord, path: Path, read: Callable[[dict[str, str]], _T]) -> _T:
    try:
        if record.error is not None:
            raise record.error
        return read(record.cells)
    except RowError as error:
        raise InputError(f"{path}, line {record.line}: {error}; mend the row and decide again") from None


class _Placing:
    """Walks the file's rows in order of person and time and gives the features that the file lacks."""

    def __init__(self, spec: LoopSpec, columns: tuple[int, ...]) -> None:
        self._timeline, self._user = StateHistory(spec, columns), ""

    def place(self, moment: RowMoment) -> Floats:
        if moment.user != self._user:
            self._timeline.begin()
            self._user = moment.user
        return self._timeline.step(moment.time, moment.intervened)


def _version(loop_version: LoopVersion, head: str, version_name: str | None) -> ModelVersion:
    loop_version.spec.head(head)
    if version_name is None:
        return slot_for(loop_version.loop, head).stable
    version = version_named(version_name)
    if version.loop_version.loop_id != loop_version.loop_id or version.head != head:
        raise InputError(
            f"{version.name} belongs to {version.loop_version.loop.name}/{version.head}, "
            f"not to {loop_version.loop.name}/{head}"
        )
    return version
