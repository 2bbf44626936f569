"""Add a loop: its record, and one slot per head that serves the declared reference."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from core.errors import NotFound
from deployments.services.rollouts.slots import slots_seed
from loops.models import Loop, LoopVersion
from loops.selectors import loop_specs_builtin, loop_version_current
from loops.services import loop_add


def loop_add_file(path: Path) -> tuple[LoopVersion, bool]:
    """Store the file as a loop version and seed its slots.

    Returns the version, and whether it is new.
    """
    return loop_add_text(loop_text(path), str(path))


@transaction.atomic
def loop_add_text(text: str, source: str) -> tuple[LoopVersion, bool]:
    """Store the text of a loop file as a loop version and seed its slots. ``source``: the file's name, for error messages.

    Returns the version, and whether it is new.
    """
    version, new = loop_add(text=text, source=source)
    slots_seed(loop_version=version)
    return version, new


@transaction.atomic
def loop_builtin_add(name: str) -> bool:
    """Add a loop that comes with the project, unless a loop of that name exists, so that an operator's own version stays.

    Returns: whether it was added.
    """
    if Loop.objects.filter(name=name).exists():
        return False
    loop_add_file(loop_specs_builtin()[name])
    return True


def loop_text(path: Path) -> str:
    """Return the text of a loop file. Raises NotFound when the file cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}; give a TOML file (loops/specs/ has examples)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(
            f"the loop file {path} cannot be read as text ({type(error).__name__}); give a TOML file"
        ) from None


def loop_named(name_or_file: str) -> LoopVersion:
    """Return the current version of a loop, given its name or a TOML file, and seed its slots if it is new."""
    if name_or_file.endswith(".toml"):
        return loop_add_file(Path(name_or_file))[0]
    builtin = loop_specs_builtin()
    return loop_add_file(builtin[name_or_file])[0] if name_or_file in builtin else loop_version_current(name_or_file)
