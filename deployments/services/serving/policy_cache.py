"""What serves a loop, as each process has it in memory: slots re-read at most once a second, policies by version for ever.

Weights never change under a version's id, so a policy is loaded once, its SHA-256 checked, and kept. A slot that was swapped
or taken back is followed by every process within ``SLOT_SECONDS``.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.errors import Conflict, NotFound, R3alError
from deployments.engine.arbiter import HeadPolicy
from deployments.engine.shares import BASIS_POINTS
from deployments.models import ServingSlot
from deployments.selectors.slots import is_made_for
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import Head, LoopSpec
from loops.engine.state.scalar import ScalarDynamics
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from training.models import ModelVersion, version_name
from training.selectors.versions import version_get, version_policy

log = logging.getLogger(__name__)
SLOT_SECONDS = 1.0
_TWO_64 = 2.0**64


@dataclass(frozen=True)
class SlotFacts:
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
class SlotArms:
    """Who answers for a head: the stable version, and for some people a candidate or what served before."""

    slot: SlotFacts
    stable: HeadPolicy
    candidate: HeadPolicy | None
    holdback: HeadPolicy | None

    def of(self, person_key: str) -> HeadPolicy:
        """The person's arm."""
        if self.candidate is None and self.holdback is None:
            return self.stable
        u = assignment(self.slot.salt, person_key)
        if self.candidate is not None and u < self.slot.weight_bp / BASIS_POINTS:
            return self.candidate
        if self.holdback is not None and u >= 1.0 - self.slot.holdback_bp / BASIS_POINTS:
            return self.holdback
        return self.stable


@dataclass(frozen=True)
class ServedLoop:
    """A loop's current version, and who answers for its heads, the main head first."""

    loop_version: LoopVersion
    spec: LoopSpec
    points: ScalarDynamics
    arms: tuple[SlotArms, ...]

    @property
    def main(self) -> SlotFacts:
        """The slot of the policy head, whose share of exploration holds for all heads."""
        return self.arms[0].slot

    @property
    def exploration(self) -> float:
        """Share of decisions drawn from the logging distribution."""
        return self.main.exploration_bp / BASIS_POINTS


_loops: dict[str, tuple[float, ServedLoop]] = {}
_policies: dict[tuple[int, int], LinearPolicy | None] = {}


def served_loop(loop: str) -> ServedLoop:
    """What serves the loop, at most a second old. Raises NotFound."""
    found, now = _loops.get(loop), time.monotonic()
    if found is not None and found[0] > now:
        return found[1]
    serving = _read(loop, found[1] if found else None)
    _loops[loop] = (now + SLOT_SECONDS, serving)
    return serving


def clear_policy_cache() -> None:
    """Drop what this process has in memory (tests, replay)."""
    _loops.clear()
    _policies.clear()


def _read(loop: str, before: ServedLoop | None) -> ServedLoop:
    version = loop_version_current(loop)
    points = None
    if before is not None and before.loop_version.pk == version.pk:
        version, points = before.loop_version, before.points  # its parsed spec with it
    return _serving(version, points or ScalarDynamics(version.spec), _slots(version))


def served_loop_with(loop_version: LoopVersion, versions: Mapping[str, ModelVersion]) -> ServedLoop:
    """What would serve the loop if ``versions`` (by head) served everybody, and the other heads as they do now."""
    slots = _slots(loop_version)
    for head, version in versions.items():
        slots[head] = replace(slots[head], stable=version.pk, candidate=None, weight_bp=0, holdback=None, holdback_bp=0)
    return _serving(loop_version, ScalarDynamics(loop_version.spec), slots)


def _slots(version: LoopVersion) -> dict[str, SlotFacts]:
    fields = (
        "head", "stable_id", "candidate_id", "weight_bp", "holdback_id", "holdback_bp", "exploration_bp", "salt", "generation",
    )  # fmt: skip
    slots = {
        row[0]: SlotFacts(*row) for row in ServingSlot.objects.filter(loop_id=version.loop_id).values_list(*fields)
    }
    missing = [h.name for h in version.spec.heads if h.name not in slots]
    if missing:
        raise NotFound(
            f"loop {version.loop.name!r} has no slot for {', '.join(missing)}; add the loop with `manage.py loop add FILE`"
        )
    return slots


def _serving(version: LoopVersion, points: ScalarDynamics, slots: Mapping[str, SlotFacts]) -> ServedLoop:
    arms = tuple(_arms(version, slots[h.name]) for h in version.spec.heads_main_first)
    return ServedLoop(version, version.spec, points, arms)


def servers_for(serving: ServedLoop, person_key: str) -> list[HeadPolicy]:
    """Who answers for each head for this person: their arm of the slot, or the next rung that works."""
    return [arms.of(person_key) for arms in serving.arms]


def _arms(version: LoopVersion, slot: SlotFacts) -> SlotArms:
    stable = _server(version, slot, slot.stable)
    if stable is None:
        policy = reference_policy(version.spec, slot.head)
        stable = server_of(version.spec.head(slot.head), policy, slot.stable, slot.generation, "reference")
    fallback = stable if stable.fallback else replace(stable, fallback="stable")
    candidate = holdback = None
    if slot.candidate is not None:
        candidate = _server(version, slot, slot.candidate) or fallback
    if slot.holdback is not None:
        holdback = _server(version, slot, slot.holdback) or fallback
    return SlotArms(slot, stable, candidate, holdback)


def _server(version: LoopVersion, slot: SlotFacts, model: int) -> HeadPolicy | None:
    policy = policy_of(model, version)
    if policy is None:
        return None
    return server_of(version.spec.head(slot.head), policy, model, slot.generation, "")


def server_of(head: Head, policy: LinearPolicy, version: int, generation: int, fallback: str) -> HeadPolicy:
    """What answers for a head by a policy."""
    return HeadPolicy(
        head.name, head.actions, head.logging, head.when == "always", policy, version, generation, fallback
    )


def assignment(salt: str, person_key: str) -> float:
    """A person's fixed place in [0, 1) under a slot's salt: a ramp of the candidate's traffic only adds people."""
    return int.from_bytes(hashlib.blake2b((salt + person_key).encode(), digest_size=8).digest(), "big") / _TWO_64


def policy_of(version_id: int, loop_version: LoopVersion) -> LinearPolicy | None:
    """The policy of a version under a loop version; None where it cannot serve (broken, or of other features or actions)."""
    key = (version_id, loop_version.pk)
    if key not in _policies:
        try:
            _policies[key] = policy_read(version_id, loop_version)
        except Conflict as error:
            log.warning("it is passed over: %s", error)
            _policies[key] = None
    return _policies[key]


def policy_read(version_id: int, loop_version: LoopVersion) -> LinearPolicy:
    """The same, read anew. Raises Conflict that says why the version cannot serve."""
    try:
        version = version_get(version_id)
        if not is_made_for(version, loop_version.spec):
            raise NotFound(f"{version} was made for other features or actions than {loop_version} has")
        if not version.is_learned:
            return reference_policy(loop_version.spec, version.head)
        return version_policy(version)
    except (R3alError, ValueError, KeyError) as error:
        raise Conflict(f"{version_name(version_id)} cannot serve {loop_version}: {error}") from None
