"""Score a file of states: write the actions that a version would choose, and log nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.arrays import Floats
from core.atomic_files import SHARED, atomic_file
from core.csv_output import CsvWriter
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
    """Summarise a batch run: the version, the number of rows, and how often each action was chosen."""

    version: ModelVersion
    rows: int
    chosen: dict[str, int]


def states_decide(
    *, loop_version: LoopVersion, head: str, version_name: str | None, source: Path, target: Path
) -> Scored:
    """Score every row of ``source`` into the CSV file ``target``, which is written whole or not at all.

    The target has the columns ``row`` (from 1), ``action``, and ``p_ACTION`` for each action of the head.

    Args:
        version_name: the version to score with. None takes the deployed one.
        source: states, with columns as in the loop's import section.
    Raises: InputError for a row that cannot be read, and for a target that is the source or cannot be written.
    """
    _target_check(source, target)
    version = _version(loop_version, head, version_name)
    spec = version.loop_version.spec
    states = _states(spec, source)
    policy, actions = version_policy(version), spec.head(head).actions
    chosen, probabilities = policy.actions(states), policy.probabilities(states)
    try:
        with atomic_file(target, replace=True, mode=SHARED) as out:
            writer = CsvWriter(out)
            writer.writerow(["row", "action", *(f"p_{a}" for a in actions)])
            for number, (action, row) in enumerate(zip(chosen, probabilities, strict=True), start=1):
                writer.writerow([number, actions[action], *(f"{p:g}" for p in row)])
    except OSError as error:
        raise InputError(f"the file {target} cannot be written ({error.strerror}); choose another --output") from None
    counts = np.bincount(chosen, minlength=len(actions))
    return Scored(version, len(states), dict(zip(actions, counts.tolist(), strict=True)))


def _target_check(source: Path, target: Path) -> None:
    """Refuse an unusable target before anything is computed, so that a typing error costs neither time nor the source file."""
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"--output {target} is the input itself and would overwrite it; choose another --output")
    if target.is_dir():
        raise InputError(f"--output {target} is a folder; give the path of a file")
    if not target.absolute().parent.is_dir():
        raise InputError(
            f"there is no folder {target.absolute().parent} for --output; create it, or choose another --output"
        )


def _states(spec: LoopSpec, path: Path) -> Floats:
    """Read states (n, F) in the order of the file. Features that it lacks are computed along each person's rows."""
    source = open_source(path, of="states")
    reader = RowReader(spec, source.columns, need="state")
    records = list(read_records(source))
    if not records:
        raise InputError(f"{path} has a header but no rows, so there is nothing to score; add a row for each state")
    states = np.empty((len(records), len(spec.features)))
    compute = _MissingFeatures(spec, reader.computed).compute if reader.computed else None
    for i in _reading_order(records, reader, path):
        states[i] = _read(records[i], path, lambda cells: reader.read(cells, compute).state)
    return states


def _reading_order(records: list[FileRecord], reader: RowReader, path: Path) -> list[int]:
    """Return row indices in the order of the file, or of person and time if features are computed along each person's rows."""
    if not reader.computed:
        return list(range(len(records)))
    moments = [_read(record, path, reader.order) for record in records]
    return sorted(range(len(records)), key=moments.__getitem__)


def _read(record: FileRecord, path: Path, read: Callable[[dict[str, str]], _T]) -> _T:
    try:
        if record.error is not None:
            raise record.error
        return read(record.cells)
    except RowError as error:
        raise InputError(f"{path}, line {record.line}: {error}; correct the row and score the file again") from None


class _MissingFeatures:
    """Compute the features that the file lacks, row by row in order of person and time."""

    def __init__(self, spec: LoopSpec, columns: tuple[int, ...]) -> None:
        self._history, self._user = StateHistory(spec, columns), ""

    def compute(self, moment: RowMoment) -> Floats:
        if moment.user != self._user:
            self._history.begin()
            self._user = moment.user
        return self._history.step(moment.time, moment.intervened)


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
