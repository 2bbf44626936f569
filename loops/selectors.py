"""Read loops from the database and from the bundled files."""

from __future__ import annotations

from pathlib import Path

from core.errors import NotFound
from loops.models import LoopVersion

SPECS = Path(__file__).parent / "specs"


def loop_version_current(name: str) -> LoopVersion:
    """Return the latest version of a loop.

    Raises: NotFound, which lists the known names and how to add a loop.
    """
    named = LoopVersion.objects.select_related("loop").filter(loop__name=name)
    version = (
        None if "\0" in name else named.order_by("-version").first()
    )  # PostgreSQL rejects a NUL even in a query value
    if version is None:
        known = ", ".join(LoopVersion.objects.values_list("loop__name", flat=True).distinct().order_by("loop__name"))
        raise NotFound(
            f"there is no loop {name!r} (known: {known or 'none yet'}); add one with `manage.py loop add FILE`"
        )
    return version


def loop_specs_builtin() -> dict[str, Path]:
    """Return the paths of the bundled loop files, by loop name."""
    return {path.stem: path for path in sorted(SPECS.glob("*.toml"))}
