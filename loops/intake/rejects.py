"""The file that says which rows were rejected and why; it never repeats a value of a row."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

from core.atomic_files import SHARED, atomic_file
from core.errors import InputError
from loops.engine.rows.cells import RowError

Reject = tuple[int, RowError]


class RejectsFile:
    """Written beside its name and put in place when done, so that there is never half of one.

    ``never`` is a path it must not overwrite. Without ``keep_empty`` a file without rejects is not left behind. Raises
    InputError when the place cannot be written.
    """

    def __init__(self, path: Path, *, never: Path, keep_empty: bool) -> None:
        self.path, self.count, self._keep_empty = path, 0, keep_empty
        self._whole = atomic_file(path, replace=True, mode=SHARED)
        if path.exists() and path.samefile(never):
            raise InputError(f"the rejects file {path} would overwrite the file that is read; choose another name")
        if path.is_dir():
            raise InputError(f"the rejects file {path} is a directory; give a file name")

    def __enter__(self) -> RejectsFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the rejects file {self.path} cannot be written ({error.strerror})") from None
        self._rows = csv.writer(self._whole.__enter__())
        self._rows.writerow(["line", "reason", "text"])
        return self

    def add(self, rejects: list[Reject]) -> None:
        """Rejected rows of one stretch of the file, put in the order of lines."""
        self.count += len(rejects)
        self._rows.writerows((line, e.reason, e.text) for line, e in sorted(rejects, key=lambda r: r[0]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._whole.__exit__(kind, error, trace)
        if kind is None and not (self.count or self._keep_empty):
            self.path.unlink()  # also what an earlier reading rejected
