"""Add loops: parse the TOML source, compare it with the latest version, and store it as a new version."""

from __future__ import annotations

import tomllib

from django.db import transaction
from django.dispatch import Signal

from core.checksums import sha256_hex
from core.errors import Conflict
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import DEFAULT_POPULATION, LoopSpec
from loops.models import Loop, LoopVersion

# Sent with ``version`` in the transaction that stores it, last. Floors above record it: this floor knows none of them.
loop_version_added = Signal()


def loop_add(*, text: str, source: str) -> tuple[LoopVersion, bool]:
    """Store a loop's TOML source as a version. Adding an unchanged source again changes nothing.

    A new loop that declares no population gets the installation's: that of its first loop, or ``people`` for the first loop.

    Args: text: the TOML source. source: the name of the file, for error messages.
    Returns: the version, and whether it is new.
    Raises: InputError for an unusable file. Conflict for a changed text under a version number that is taken or outdated,
    or for a version that changes the loop's population.
    """
    spec = parse_loop(text, source=source)
    return _store(spec, text, source, tomllib.loads(text).get("population"))


@transaction.atomic
def _store(spec: LoopSpec, text: str, source: str, declared: str | None) -> tuple[LoopVersion, bool]:
    sha256 = sha256_hex(text.encode())
    Loop.objects.get_or_create(name=spec.name, defaults={"population": declared or _installation_population()})
    loop = Loop.objects.select_for_update().get(name=spec.name)  # serialises concurrent additions
    last = loop.versions.order_by("-version").first()
    if last is not None and last.sha256 == sha256:
        return last, False
    if last is not None:
        _check_succeeds(spec, last, source, declared)
    version = LoopVersion.objects.create(loop=loop, version=spec.version, source=text, sha256=sha256)
    loop_version_added.send(LoopVersion, version=version)
    return version, True


def _installation_population() -> str:
    first = Loop.objects.order_by("pk").first()
    return DEFAULT_POPULATION if first is None else first.population


def _check_succeeds(spec: LoopSpec, last: LoopVersion, source: str, declared: str | None) -> None:
    if spec.version <= last.version:
        raise Conflict(
            f"loop {spec.name!r} already has version {last.version} with another text; "
            f"set version = {last.version + 1} in {source}"
        )
    if declared not in (None, last.loop.population):
        raise Conflict(
            f"loop {spec.name!r} has population {last.loop.population!r}, but {source} declares {declared!r}; "
            "keep the population, or give the loop a new name"
        )
