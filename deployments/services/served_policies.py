"""What serves a loop, as each process has it in memory: slots re-read at most once a second, policies by version for ever.

Weights never change under a version's id, so a policy is loaded once, its SHA-256 checked, and kept. A slot that was swapped
or taken back is followed by every process within ``SLOT_SECONDS``.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from deployments.engine.arbiter import Server
from deployments.models import ServingSlot
from loops.engine.policy import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from privacy.engine.layout import MAIN_HEAD
from r3al_project.common.errors import NotFound, R3alError
from training.models import ModelVersion, VersionKind
from training.selectors import version_get, version_policy

log = logging.getLogger(__name__)
SLOT_SECONDS = 1.0
BASIS_POINTS = 10_000
_TWO_64 = 2.0**64


@dataclass(frozen=True)
class Slot:
    """A serving slot as it was read."""

    head: str
    stable: int
    candidate: int | None
    weight_bp: int
    holdback: int | None
    holdback_bp: int
    exploration_bp: int
    salt: str
    generation: int


@dataclass(frozen=True)
class Serving:
    """A loop's current version with its slots, policy first."""

    loop_version: LoopVersion
    spec: LoopSpec
    slots: tuple[Slot, ...]

    @property
    def exploration(self) -> float:
        """Share of decisions drawn from the logging distribution."""
        return self.slots[0].exploration_bp / BASIS_POINTS


_loops: dict[str, tuple[float, Serving]] = {}
_policies: dict[tuple[int, int], LinearPolicy | None] = {}


def serving_of(loop: str) -> Serving:
    """What serves the loop, at most a second old. Raises NotFound."""
    found, now = _loops.get(loop), time.monotonic()
    if found is not None and found[0] > now:
        return found[1]
    serving = _read(loop, found[1] if found else None)
    _loops[loop] = (now + SLOT_SECONDS, serving)
    return serving


def forget_serving() -> None:
    """Drop what this process has in memory (tests, replay)."""
    _loops.clear()
    _policies.clear()


def _read(loop: str, before: Serving | None) -> Serving:
    version = loop_version_current(loop)
    if before is not None and before.loop_version.pk == version.pk:
        version = before.loop_version  # its parsed spec with it
    fields = (
        "head", "stable_id", "candidate_id", "weight_bp", "holdback_id", "holdback_bp", "exploration_bp", "salt", "generation",
    )  # fmt: skip
    slots = {row[0]: Slot(*row) for row in ServingSlot.objects.filter(loop_id=version.loop_id).values_list(*fields)}
    missing = [h.name for h in version.spec.heads if h.name not in slots]
    if missing:
        raise NotFound(
            f"loop {loop!r} has no slot for {', '.join(missing)}; add the loop with `manage.py loop add FILE`"
        )
    order = sorted(version.spec.heads, key=lambda h: h.name != MAIN_HEAD)
    return Serving(version, version.spec, tuple(slots[h.name] for h in order))


def servers_for(serving: Serving, person_key: str) -> list[Server]:
    """Who answers for each head for this person: their arm of the slot, or the next rung that works."""
    return [_server(serving, slot, person_key) for slot in serving.slots]


def _server(serving: Serving, slot: Slot, person_key: str) -> Server:
    head = serving.spec.head(slot.head)
    for version, fallback in _rungs(slot, assignment(slot.salt, person_key)):
        policy = policy_of(version, serving.loop_version)
        if policy is not None:
            return Server(slot.head, head.logging, head.when == "always", policy, version, slot.generation, fallback)
    policy = reference_policy(serving.spec, slot.head)
    return Server(slot.head, head.logging, head.when == "always", policy, slot.stable, slot.generation, "reference")


def _rungs(slot: Slot, u: float) -> Iterator[tuple[int, str]]:
    """Versions to try with what a choice by them is flagged as: the person's arm, then the stable one."""
    arm = slot.stable
    if slot.candidate is not None and u < slot.weight_bp / BASIS_POINTS:
        arm = slot.candidate
    elif slot.holdback is not None and u >= 1.0 - slot.holdback_bp / BASIS_POINTS:
        arm = slot.holdback
    yield arm, ""
    if arm != slot.stable:
        yield slot.stable, "stable"


def assignment(salt: str, person_key: str) -> float:
    """A person's fixed place in [0, 1) under a slot's salt: a ramp of the candidate's traffic only adds people."""
    return int.from_bytes(hashlib.blake2b((salt + person_key).encode(), digest_size=8).digest(), "big") / _TWO_64


def policy_of(version_id: int, loop_version: LoopVersion) -> LinearPolicy | None:
    """The policy of a version under a loop version; None where it cannot serve (broken, or of other features or actions)."""
    key = (version_id, loop_version.pk)
    if key not in _policies:
        _policies[key] = _loaded(version_id, loop_version)
    return _policies[key]


def _loaded(version_id: int, loop_version: LoopVersion) -> LinearPolicy | None:
    try:
        version = version_get(version_id)
        if version.kind == VersionKind.REFERENCE and _same_actions(version, loop_version.spec):
            return reference_policy(loop_version.spec, version.head)  # it reads no feature, so it fits any
        if not _fits(version, loop_version.spec):
            raise NotFound(f"{version} was made for other features or actions than {loop_version} has")
        return version_policy(version)
    except (R3alError, ValueError, KeyError) as error:
        log.warning("version %s cannot serve %s and is passed over: %s", version_id, loop_version, error)
        return None


def _fits(version: ModelVersion, spec: LoopSpec) -> bool:
    return version.loop_version.spec.features == spec.features and _same_actions(version, spec)


def _same_actions(version: ModelVersion, spec: LoopSpec) -> bool:
    made, now = version.loop_version.spec.head(version.head), spec.head(version.head)
    return (made.actions, made.reference) == (now.actions, now.reference)
