"""Files that are there whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from core.errors import Conflict, InputError

PRIVATE, SHARED = 0o600, 0o644


@contextmanager
def atomic_file(path: Path, *, replace: bool = False, mode: int = PRIVATE) -> Iterator[TextIO]:
    """Open a text file beside ``path`` that takes its name when all is written; a fault leaves what was there.

    Without ``replace`` it never takes the place of another file. ``mode``: the permissions of the file.
    Raises InputError at once where the name is taken or the folder cannot be written, so nothing need be done in vain; Conflict
    at the end when the name was taken meanwhile.
    """
    if not replace and (path.exists() or path.is_symlink()):
        raise InputError(f"{path} exists already; name another file")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name a file in a folder that can") from None
    made = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as out:  # noqa: PTH123  (a descriptor, not a path)
            yield out
        made.chmod(mode)
        if replace:
            made.replace(path)
        else:
            _take_name(made, path)
    finally:
        made.unlink(missing_ok=True)


def _take_name(made: Path, path: Path) -> None:
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise Conflict(f"{path} was made by somebody else meanwhile; name another file") from None
    except OSError:  # a file system without hard links
        made.replace(path)
