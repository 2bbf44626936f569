"""Write the file that lists rejected rows and the reasons. It never repeats a value of a row."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from core.atomic_files import SHARED, atomic_file
from core.csv_output import CsvWriter
from core.errors import InputError
from loops.engine.rows.cells import RowError

Reject = tuple[int, RowError]


class RejectsFile:
    """Write a rejects file atomically: it appears under its name only when complete.

    Args: never: a path that must not be overwritten. keep_empty: whether to keep a file without rejects.
    Raises: InputError when the path cannot be written.
    """

    def __init__(self, path: Path, *, never: Path, keep_empty: bool) -> None:
        self.path, self.count, self._keep_empty = path, 0, keep_empty
        self._whole = atomic_file(path, replace=True, mode=SHARED)
        if path.exists() and path.samefile(never):
            raise InputError(f"the rejects file {path} would overwrite the input file; choose another name")
        if path.is_dir():
            raise InputError(f"the rejects file {path} is a directory; give a file name")

    def __enter__(self) -> RejectsFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"the rejects file {self.path} cannot be written ({error.strerror}); choose another folder"
            ) from None
        self._rows = CsvWriter(self._whole.__enter__())
        self._rows.writerow(["line", "reason", "text"])
        return self

    def add(self, rejects: list[Reject]) -> None:
        """Write the rejected rows of one section of the file, ordered by line."""
        self.count += len(rejects)
        self._rows.writerows((line, e.reason, e.text) for line, e in sorted(rejects, key=lambda r: r[0]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._whole.__exit__(kind, error, trace)
        if kind is None and not (self.count or self._keep_empty):
            self.path.unlink()  # this also removes the rejects file of an earlier run
