"""Write files atomically: a reader sees the whole file or none of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from core.errors import Conflict, InputError

PRIVATE, SHARED = 0o600, 0o644


def output_check(option: str, target: Path, *, source: Path | None = None, replace: bool) -> None:
    """Refuse an unusable output file before anything is done, so that a typing error costs neither time nor a file.

    Args: option: of the command, such as ``--output``. source: the input file. replace: whether ``--force`` was given.
    Raises: InputError when the target is the input, a folder, an existing file without ``--force``, or in no folder.
    """
    if source is not None and source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"{option} {target} is the input itself and would overwrite it; choose another {option}")
    if target.is_dir():
        raise InputError(f"{option} {target} is a folder; give the path of a file")
    if not replace and (target.exists() or target.is_symlink()):
        raise InputError(f"{option} {target} exists already; choose another {option}, or overwrite it with --force")
    if not target.absolute().parent.is_dir():
        raise InputError(
            f"there is no folder {target.absolute().parent} for {option}; create it, or choose another {option}"
        )


@contextmanager
def atomic_file(path: Path, *, replace: bool = False, mode: int = PRIVATE) -> Iterator[TextIO]:
    """Open a temporary text file in the folder of ``path`` and rename it to ``path`` once it is complete.

    After an error the temporary file is deleted and ``path`` is unchanged.
    Args: replace: whether an existing file may be overwritten. mode: the permissions of the file.
    Raises: InputError on entry when the name is taken or the folder is not writable, before the caller does any work.
    Conflict on exit when another process took the name meanwhile.
    """
    if not replace and (path.exists() or path.is_symlink()):
        raise InputError(f"{path} exists already; name another file")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name a file in a writable folder") from None
    temporary = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as out:  # noqa: PTH123  (a descriptor, not a path)
            yield out
        temporary.chmod(mode)
        if replace:
            temporary.replace(path)
        else:
            _rename_without_overwriting(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_without_overwriting(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise Conflict(f"another process created {path} meanwhile; name another file") from None
    except OSError:  # a file system without hard links
        temporary.replace(path)


def bytes_write(path: Path, content: bytes) -> None:
    """Write a private file, and return once it is on the disk. An existing one is replaced. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def line_append(path: Path, line: str) -> None:
    """Append one line to a private file, and return once it is on the disk. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE), "w") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())
