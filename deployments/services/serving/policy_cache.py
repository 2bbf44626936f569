"""Cache in each process the slots and policies that serve a loop.

Slots are re-read at most once in ``SLOT_SECONDS``, so every process follows a deployment or a rollback within that time. The
weights of a version never change, so each policy is loaded once, checked against its SHA-256 and kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.db.models import Case, DateTimeField, OuterRef, Subquery, When

from core.errors import Conflict, NotFound, R3alError
from deployments.engine.action_selection import HeadPolicy
from deployments.engine.arm_assignment import SlotArms, SlotFacts
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import is_made_for
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import Head, LoopSpec
from loops.engine.state.scalar import ScalarDynamics
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from privacy.engine.head_choice import OWN_CHOICE
from privacy.models import Choice
from training.models import ModelVersion
from training.selectors.versions import version_get, version_policy

log = logging.getLogger(__name__)
SLOT_SECONDS = 1.0
# Of a slot whose holdback rotates: when its last deployment began. Slots and this are read in one query.
_ROTATES_SINCE = Case(
    When(
        rotates=True,
        then=Subquery(
            Deployment.objects.of_people().filter(slot=OuterRef("pk")).order_by("-pk").values("created_at")[:1]
        ),
    ),
    output_field=DateTimeField(),
)


@dataclass(frozen=True)
class ShadowPolicy:
    """Hold a shadow beside the stable policy of its head. ``policy`` None: the version cannot serve the loop.

    ``is_apprentice``: it is compared with the app's own choices, not with the stable version's.
    """

    head: str
    version: int
    policy: HeadPolicy | None
    stable: HeadPolicy
    is_apprentice: bool = False


@dataclass(frozen=True)
class ServedLoop:
    """Hold a loop's current version with the policies that serve its heads, the main head first.

    ``main``: the slot of the main head. ``exploration``: share of decisions drawn from the logging distribution, for all heads.
    ``shadows``: versions that decide beside the served ones. ``app_chooses``: heads for which the app's own choices are served.
    """

    loop_version: LoopVersion
    spec: LoopSpec
    dynamics: ScalarDynamics
    arms: tuple[SlotArms, ...]
    main: SlotFacts
    exploration: float
    shadows: tuple[ShadowPolicy, ...] = ()
    app_chooses: tuple[str, ...] = ()


_loops: dict[str, tuple[float, ServedLoop]] = {}
_policies: dict[tuple[int, int], LinearPolicy | None] = {}


def served_loop(loop: str) -> ServedLoop:
    """Return the policies that serve the loop, at most a second old. Raises NotFound."""
    cached, now = _loops.get(loop), time.monotonic()
    if cached is not None and cached[0] > now:
        return cached[1]
    serving = _read(loop, cached[1] if cached else None)
    _loops[loop] = (now + SLOT_SECONDS, serving)
    return serving


def clear_policy_cache() -> None:
    """Empty this process's cache (tests, replay)."""
    _loops.clear()
    _policies.clear()


def _read(loop: str, before: ServedLoop | None) -> ServedLoop:
    version = loop_version_current(loop)
    dynamics = None
    if before is not None and before.loop_version.pk == version.pk:
        version, dynamics = before.loop_version, before.dynamics  # keeps its parsed spec
    return _serving(version, dynamics or ScalarDynamics(version.spec), _slots(version))


def head_arms_now(loop_version: LoopVersion, head: str) -> SlotArms:
    """Return the arms of one head's slot with their policies, as they are in the database now. Raises NotFound."""
    return _arms(loop_version, loop_version.spec.head(head), _slots(loop_version)[head])


def served_loop_with(loop_version: LoopVersion, versions: Mapping[str, ModelVersion]) -> ServedLoop:
    """Return the policies of the loop as if ``versions`` (by head) were deployed to everybody. Other heads stay as they are."""
    slots = _slots(loop_version)
    for head, version in versions.items():
        slots[head] = replace(
            slots[head],
            stable=version.pk,
            candidate=None,
            weight_bp=0,
            holdback=None,
            holdback_bp=0,
            rotates_since=None,
            shadow=None,
            app_chooses=False,
        )
    return _serving(loop_version, ScalarDynamics(loop_version.spec), slots)


def _slots(version: LoopVersion) -> dict[str, SlotFacts]:
    fields = (
        "head", "stable_id", "candidate_id", "weight_bp", "holdback_id", "holdback_bp", "exploration_bp", "salt", "generation",
        "rotates_since", "shadow_id", "app_chooses",
    )  # fmt: skip
    rows = ServingSlot.objects.filter(loop_id=version.loop_id).annotate(rotates_since=_ROTATES_SINCE)
    slots = {row[0]: SlotFacts(*row) for row in rows.values_list(*fields)}
    missing = [h.name for h in version.spec.heads if h.name not in slots]
    if missing:
        raise NotFound(
            f"loop {version.loop.name!r} has no slot for {', '.join(missing)}; add the loop again with 'manage.py loop add FILE'"
        )
    return slots


def _serving(version: LoopVersion, dynamics: ScalarDynamics, slots: Mapping[str, SlotFacts]) -> ServedLoop:
    arms = tuple(_arms(version, head, slots[head.name]) for head in version.spec.heads_main_first)
    main = arms[0].slot
    shadows = tuple(_shadow(version, arm, arm.slot.shadow) for arm in arms if arm.slot.shadow is not None)
    app_chooses = tuple(shadow.head for shadow in shadows if shadow.is_apprentice)
    return ServedLoop(
        version, version.spec, dynamics, arms, main, main.exploration_bp / BASIS_POINTS, shadows, app_chooses
    )


def _shadow(version: LoopVersion, arms: SlotArms, shadow: int) -> ShadowPolicy:
    slot = arms.slot
    policy = _loaded_head_policy(version, version.spec.head(slot.head), slot, shadow)
    return ShadowPolicy(slot.head, shadow, policy, arms.stable, slot.app_chooses)


def _arms(version: LoopVersion, head: Head, slot: SlotFacts) -> SlotArms:
    stable = _loaded_head_policy(version, head, slot, slot.stable)
    if stable is None:
        policy = reference_policy(version.spec, slot.head)
        stable = _head_policy(head, policy, slot.stable, slot.generation, "reference")
    fallback = stable if stable.fallback else replace(stable, fallback="stable")
    candidate = holdback = None
    if slot.candidate is not None:
        candidate = _loaded_head_policy(version, head, slot, slot.candidate) or fallback
    if slot.holdback is not None:
        holdback = _loaded_head_policy(version, head, slot, slot.holdback) or fallback
    return SlotArms(slot, stable, candidate, holdback)


def _loaded_head_policy(version: LoopVersion, head: Head, slot: SlotFacts, model: int) -> HeadPolicy | None:
    policy = policy_of(model, version)
    return None if policy is None else _head_policy(head, policy, model, slot.generation, "")


def stored_head_policies(version: LoopVersion, choices: Mapping[str, Choice]) -> list[HeadPolicy]:
    """Return the policies that made stored choices (by head), the policy head first, then in the order of the loop file.

    The reference stands in for a version that can no longer be read, and for the app where it chose itself.
    """
    return [
        _stored_head_policy(version, h, choices[h.name]) for h in version.spec.heads_main_first if h.name in choices
    ]


def _stored_head_policy(version: LoopVersion, head: Head, choice: Choice) -> HeadPolicy:
    model = choice.version or 0
    policy = None if choice.fallback in ("reference", OWN_CHOICE) else policy_of(model, version)
    policy = policy or reference_policy(version.spec, choice.head)
    return _head_policy(head, policy, model, choice.generation or 0, choice.fallback)


def _head_policy(head: Head, policy: LinearPolicy, version: int, generation: int, fallback: str) -> HeadPolicy:
    return HeadPolicy(
        head.name, head.actions, head.logging, head.when == "always", policy, version, generation, fallback
    )


def policy_of(version_id: int, loop_version: LoopVersion) -> LinearPolicy | None:
    """Return the policy of a version under a loop version.

    Returns: None if it cannot serve, because it is broken or has other features or actions than the loop.
    """
    key = (version_id, loop_version.pk)
    if key not in _policies:
        try:
            _policies[key] = policy_of_version(version_get(version_id), loop_version)
        except (Conflict, NotFound) as error:
            log.warning("a version is skipped: %s", error)
            _policies[key] = None
    return _policies[key]


def policy_of_version(version: ModelVersion, loop_version: LoopVersion) -> LinearPolicy:
    """Load the policy of a version under a loop version. Raises Conflict with the reason why it cannot serve."""
    try:
        if not is_made_for(version.with_loop_version(loop_version), loop_version.spec):
            raise NotFound(f"{version} was trained for other features or actions than {loop_version} has")
        if not version.is_learned:
            return reference_policy(loop_version.spec, version.head)
        return version_policy(version)
    except (R3alError, ValueError, KeyError) as error:
        raise Conflict(f"{version.name} cannot serve {loop_version}: {error}") from None
