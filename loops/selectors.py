"""Read loops from the database and from the bundled files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from django.db.models import Exists, OuterRef

from core.errors import NotFound
from loops.models import Loop, LoopVersion

DEFAULT_LOOP = "r3al"  # the one that is meant where no other is named
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
            f"there is no loop {name[:80]!r} (known: {known or 'none yet'}); add one with 'manage.py loop add FILE'"
        )
    return version


def loop_version_latest(loop: Loop) -> int:
    """Return the id of a loop's latest version."""
    return loop.versions.order_by("-version").values_list("pk", flat=True)[0]


def loop_versions_with(pks: Collection[int], *, at_hand: LoopVersion) -> dict[int, LoopVersion]:
    """Return versions of one loop by id, without reading ``at_hand`` or its loop from the database again."""
    versions = LoopVersion.objects.in_bulk(set(pks) - {at_hand.pk})
    for version in versions.values():
        version.loop = at_hand.loop
    return versions | {at_hand.pk: at_hand}


def loop_versions_current() -> list[LoopVersion]:
    """Return the latest version of every loop, ordered by name."""
    newer = LoopVersion.objects.filter(loop=OuterRef("loop"), version__gt=OuterRef("version"))
    return list(LoopVersion.objects.select_related("loop").filter(~Exists(newer)).order_by("loop__name"))


def loop_specs_builtin() -> dict[str, Path]:
    """Return the paths of the bundled loop files, by loop name."""
    return {path.stem: path for path in sorted(SPECS.glob("*.toml"))}
