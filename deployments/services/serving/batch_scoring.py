"""Score a file of states: write the actions that would be chosen, and log nothing.

Without a named version each person gets the policy of their arm, as in a served decision: while a version is on trial, half of
the people get it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from core import clock
from core.arrays import Floats, Ints
from core.atomic_files import SHARED, atomic_file, output_check
from core.csv_output import CsvWriter
from core.errors import InputError
from deployments.services.serving.policy_cache import head_arms_now
from loops.engine.policies.linear import LinearPolicy
from loops.engine.rows.cells import RowError
from loops.engine.rows.reader import RowMoment, RowReader
from loops.engine.spec import LoopSpec
from loops.engine.state.history import StateHistory
from loops.intake.files import FileRecord, open_source, read_records
from loops.models import LoopVersion
from privacy.services.people.identity import person_key
from training.models import ModelVersion
from training.selectors.versions import version_get, version_named, version_policy

_T = TypeVar("_T")


@dataclass(frozen=True)
class Scored:
    """Summarise a batch run: the rows by version, how often each action was chosen, and a warning (empty: none)."""

    versions: dict[str, int]
    chosen: dict[str, int]
    warning: str = ""

    @property
    def rows(self) -> int:
        return sum(self.versions.values())


@dataclass(frozen=True)
class _Policies:
    """Hold each row's policy: ``index`` (n,) into the models and their policies."""

    models: list[ModelVersion]
    policies: list[LinearPolicy]
    index: Ints
    warning: str = ""


def states_decide(
    *, loop_version: LoopVersion, head: str, version_name: str | None, source: Path, target: Path, replace: bool
) -> Scored:
    """Score every row of ``source`` into the CSV file ``target``, which is written whole or not at all.

    The target has the columns ``row`` (from 1), ``action``, ``p_ACTION`` for each action of the head, and ``version``.

    Args:
        version_name: the version to score everybody with. None takes each person's arm.
        source: states, with columns as in the loop's import section. Its user column tells the arm.
    Raises: InputError for a row that cannot be read, and for a target that is the source or cannot be written.
    """
    output_check("--output", target, source=source, replace=replace)
    named = None if version_name is None else _named(loop_version, head, version_name)
    spec = loop_version.spec if named is None else named.loop_version.spec
    records, states = _states(spec, source)
    served = _by_arm(loop_version, head, source, records) if named is None else _by_version(named, len(records))
    chosen = np.zeros(len(states), dtype=np.int64)
    for i, policy in enumerate(served.policies):
        mine = served.index == i
        chosen[mine] = policy.actions(states[mine])
    actions = spec.head(head).actions
    try:
        with atomic_file(target, replace=replace, mode=SHARED) as out:
            writer = CsvWriter(out)
            writer.writerow(["row", "action", *(f"p_{a}" for a in actions), "version"])
            for number, (action, which) in enumerate(zip(chosen, served.index, strict=True), start=1):
                shares = ["1" if a == action else "0" for a in range(len(actions))]
                writer.writerow([number, actions[action], *shares, served.models[which].name])
    except OSError as error:
        raise InputError(f"the file {target} cannot be written ({error.strerror}); choose another --output") from None
    rows = np.bincount(served.index, minlength=len(served.models)).tolist()
    counts = np.bincount(chosen, minlength=len(actions)).tolist()
    by_version = {str(m): n for m, n in zip(served.models, rows, strict=True) if n}
    return Scored(by_version, dict(zip(actions, counts, strict=True)), served.warning)


def _by_version(version: ModelVersion, rows: int) -> _Policies:
    return _Policies([version], [version_policy(version)], np.zeros(rows, dtype=np.int64))


def _by_arm(loop_version: LoopVersion, head: str, source: Path, records: Sequence[FileRecord]) -> _Policies:
    """Return the policy of each row's person, at this time."""
    arms = head_arms_now(loop_version, head)
    served = [p for p in (arms.stable, arms.candidate, arms.holdback) if p is not None]
    order = list(dict.fromkeys(p.version for p in served))
    policies = {p.version: p.policy for p in served}
    models = [version_get(version) for version in order]
    spec, index, warning = loop_version.spec, np.zeros(len(records), dtype=np.int64), ""
    reader = RowReader(spec, list(records[0].cells), need="state")
    if len(order) > 1 and spec.imports.user not in records[0].cells:
        others = ", ".join(m.name for m in models[1:])
        warning = (
            f"some people have {others} now, but the file has no column {spec.imports.user!r} that names them, so everybody was "
            f"scored with {models[0].name}; add the column to score each person by their arm"
        )
    elif len(order) > 1:
        now = clock.now()
        for i, record in enumerate(records):
            user = _read(record, source, reader.user)
            key = person_key(population=spec.population, identifier=user)
            index[i] = order.index(arms.of(key, now).version)
    return _Policies(models, [policies[version] for version in order], index, warning)


def _states(spec: LoopSpec, path: Path) -> tuple[list[FileRecord], Floats]:
    """Read records and states (n, F) in the order of the file. Features that it lacks are computed along each person's rows."""
    source = open_source(path, of="states")
    reader = RowReader(spec, source.columns, need="state")
    records = list(read_records(source))
    if not records:
        raise InputError(f"{path} has a header but no rows, so there is nothing to score; add a row for each state")
    states = np.empty((len(records), len(spec.features)))
    compute = _MissingFeatures(spec, reader.computed).compute if reader.computed else None
    for i in _reading_order(records, reader, path):
        states[i] = _read(records[i], path, lambda cells: reader.read(cells, compute).state)
    return records, states


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


def _named(loop_version: LoopVersion, head: str, version_name: str) -> ModelVersion:
    loop_version.spec.head(head)
    version = version_named(version_name)
    if version.loop_version.loop_id != loop_version.loop_id or version.head != head:
        raise InputError(
            f"{version.name} belongs to {version.loop_version.loop.name}/{version.head}, "
            f"not to {loop_version.loop.name}/{head}"
        )
    return version
