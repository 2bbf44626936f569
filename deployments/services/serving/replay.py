"""Replaying served decisions: from its row alone each is computed again, and must come out bit for bit as it was stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from deployments.engine.arbiter import arbitrate
from deployments.engine.shares import BASIS_POINTS
from deployments.services.serving.policy_cache import head_policies_stored
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from privacy.engine.head_choice import HeadChoice
from privacy.engine.sealing import CannotOpen, Cipher
from privacy.models import Choice, ServedDecision
from privacy.selectors.keys import ciphers_known, state_of

_CHUNK = 1_000


@dataclass(frozen=True)
class ReplayResult:
    """One decision: how its replay differs from what is stored; empty when it does not."""

    decision_id: int
    difference: str


def decisions_replay(*, loop: str | None = None, last: int | None = None) -> Iterator[ReplayResult]:
    """Replay served decisions, the newest first; ``last`` of them (None: all), in bounded memory."""
    found = ServedDecision.objects.select_related("decision__loop_version__loop").order_by("-decision_id")
    found = found.prefetch_related("decision__choices")
    if loop is not None:
        found = found.filter(decision__loop_version__loop__name=loop)
    rows = (found if last is None else found[:last]).iterator(chunk_size=_CHUNK)
    while chunk := list(islice(rows, _CHUNK)):
        keys = ciphers_known({served.person_id for served in chunk})
        for served in chunk:
            if served.person_id in keys:  # else the person was erased meanwhile
                yield ReplayResult(served.pk, difference_of(served, keys[served.person_id]))


def difference_of(served: ServedDecision, cipher: Cipher) -> str:
    """What a replay of one decision finds to differ, in one phrase. ``cipher``: the person's, with which its state is opened."""
    try:
        state = state_of(served.decision, cipher).tolist()
    except CannotOpen:
        return "its state cannot be opened"
    choices = {c.head: c for c in served.decision.choices.all()}
    if served.unavailable:
        return "it was unavailable but has choices" if choices or served.decision.available else ""
    if MAIN_HEAD not in choices:
        return f"{MAIN_HEAD} has no choice"
    again = replayed_choices(served, choices, state)
    speak = heads_that_speak(served.decision.loop_version.spec, again[0])
    if not speak == {choice.head for choice in again} == set(choices):
        return f"heads {sorted(speak)} speak, stored are {sorted(choices)}"
    return next((said for choice in again if (said := _differs(choice, choices[choice.head]))), "")


def heads_that_speak(spec: LoopSpec, main: HeadChoice) -> set[str]:
    """Those that must have a choice, given what policy did: some speak only when it intervenes."""
    return {h.name for h in spec.heads if h.name == MAIN_HEAD or h.when == "always" or main.intervenes}


def replayed_choices(served: ServedDecision, choices: dict[str, Choice], state: Sequence[float]) -> list[HeadChoice]:
    """The arbiter's choices from the state and the stored seed, versions and masks."""
    return arbitrate(
        head_policies_stored(served.decision.loop_version, choices),
        state,
        seed=bytes(served.seed),
        exploration=served.exploration_bp / BASIS_POINTS,
        eligible={h: c.eligible for h, c in choices.items() if c.eligible is not None},
    )


def _differs(again: HeadChoice, choice: Choice) -> str:
    for name in ("action", "explored", "propensity", "marginal_propensity", "learnable"):
        computed, stored = getattr(again, name), getattr(choice, name)
        if computed != stored:
            return f"{again.head}: {name.replace('_', ' ')} is {computed!r}, stored {stored!r}"
    return ""
