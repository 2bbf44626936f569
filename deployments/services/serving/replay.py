"""Replay served decisions: recompute each from its row, and compare it bit for bit with the stored choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from deployments.engine.action_selection import select_actions
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.services.serving.policy_cache import stored_head_policies
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from privacy.engine.head_choice import OWN_CHOICE, HeadChoice
from privacy.engine.sealing import CannotOpen, Cipher
from privacy.models import Choice, ServedDecision
from privacy.selectors.keys import ciphers_known, state_of

_CHUNK = 1_000


@dataclass(frozen=True)
class ReplayResult:
    """Hold the result of one replay. ``difference`` describes the first difference, or is empty."""

    decision_id: int
    difference: str


def decisions_replay(*, loop: str | None = None, last: int | None = None) -> Iterator[ReplayResult]:
    """Replay the ``last`` served decisions (None: all), newest first, in bounded memory."""
    decisions = ServedDecision.objects.select_related("decision__loop_version__loop").order_by("-decision_id")
    decisions = decisions.prefetch_related("decision__choices")
    if loop is not None:
        decisions = decisions.filter(decision__loop_version__loop__name=loop)
    rows = (decisions if last is None else decisions[:last]).iterator(chunk_size=_CHUNK)
    while chunk := list(islice(rows, _CHUNK)):
        keys = ciphers_known({served.person_id for served in chunk})
        for served in chunk:
            if served.person_id in keys:  # otherwise the person was erased during the replay
                yield ReplayResult(served.pk, difference_of(served, keys[served.person_id]))


def difference_of(served: ServedDecision, cipher: Cipher) -> str:
    """Describe the first difference between a decision and its replay, or return an empty text.

    ``cipher`` is the person's and opens the stored state.
    """
    try:
        state = state_of(served.decision, cipher).tolist()
    except CannotOpen:
        return "its state cannot be opened"
    choices = {c.head: c for c in served.decision.choices.all()}
    if served.unavailable:
        return "the person was unavailable, but there are choices" if choices or served.decision.available else ""
    if MAIN_HEAD not in choices:
        return f"head {MAIN_HEAD} has no stored choice"
    replayed = replayed_choices(served, choices, state)
    acting = acting_heads(served.decision.loop_version.spec, replayed[0])
    if not acting == {choice.head for choice in replayed} == set(choices):
        return f"heads {sorted(acting)} must have choices, but those of {sorted(choices)} are stored"
    return next((text for choice in replayed if (text := _difference(choice, choices[choice.head]))), "")


def acting_heads(spec: LoopSpec, main: HeadChoice) -> set[str]:
    """Return the heads that must have a choice, given the policy head's. Some act only when it intervenes."""
    return {h.name for h in spec.heads if h.name == MAIN_HEAD or h.when == "always" or main.intervenes}


def replayed_choices(served: ServedDecision, choices: dict[str, Choice], state: Sequence[float]) -> list[HeadChoice]:
    """Recompute the arbiter's choices from the state and the stored seed, versions and masks."""
    return select_actions(
        stored_head_policies(served.decision.loop_version, choices),
        state,
        seed=bytes(served.seed),
        exploration=served.exploration_bp / BASIS_POINTS,
        eligible={h: c.eligible for h, c in choices.items() if c.eligible is not None},
        own={h: c.action for h, c in choices.items() if c.fallback == OWN_CHOICE},
    )


def _difference(replayed: HeadChoice, choice: Choice) -> str:
    for name in ("action", "explored", "propensity", "marginal_propensity", "learnable"):
        computed, stored = getattr(replayed, name), getattr(choice, name)
        if computed != stored:
            return f"{replayed.head}: {name.replace('_', ' ')} is {computed!r}, stored {stored!r}"
    return ""
