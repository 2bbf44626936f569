"""Adding loops: a text is parsed, compared with what is known, and kept as a version."""

from __future__ import annotations

from django.db import transaction

from core.checksums import sha256_hex
from core.errors import Conflict
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from loops.models import Loop, LoopVersion


def loop_add(*, text: str, source: str) -> tuple[LoopVersion, bool]:
    """Keep a loop's text as a version; returns it and whether it is new. The same text again changes nothing.

    Raises InputError for an unusable file, Conflict for a changed text under a version number that is taken or outdated,
    or for a version that moves the loop to other people.
    """
    spec = parse_loop(text, source=source)
    return _keep(spec, text, source)


@transaction.atomic
def _keep(spec: LoopSpec, text: str, source: str) -> tuple[LoopVersion, bool]:
    sha256 = sha256_hex(text.encode())
    Loop.objects.get_or_create(name=spec.name)
    loop = Loop.objects.select_for_update().get(name=spec.name)  # two who add at once take turns
    last = loop.versions.order_by("-version").first()
    if last is not None and last.sha256 == sha256:
        return last, False
    if last is not None:
        _check_succeeds(spec, last, source)
    return LoopVersion.objects.create(loop=loop, version=spec.version, source=text, sha256=sha256), True


def _check_succeeds(spec: LoopSpec, last: LoopVersion, source: str) -> None:
    if spec.version <= last.version:
        raise Conflict(
            f"loop {spec.name!r} has version {last.version} with another text; set version = {last.version + 1} in {source}"
        )
    if last.spec.population != spec.population:
        raise Conflict(
            f"loop {spec.name!r} works with population {last.spec.population!r}; "
            f"{source} names {spec.population!r}: keep it, or give the loop a new name"
        )
