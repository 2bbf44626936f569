"""The kinds of notices: how each is said, how loud it is, and which facts it holds. The table is checked when it is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.variant_registry import registry, variant_named

Fact = str | int | float | bool
INFO, WARNING, URGENT = "info", "warning", "urgent"
NOTICE_LEVELS = (INFO, WARNING, URGENT)  # from the quietest
LONGEST_KIND, LONGEST_FACT, LONGEST_SENTENCE = 30, 200, 500
_SUBJECT = "subject"
_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class NoticeKind:
    """One kind of notice.

    Args: name: as it is stored. type: as a webhook names it. words: as pages name it. level: one of NOTICE_LEVELS. sentence: a
    template that names ``subject`` and every fact. announced: whether it is sent, besides standing on the page.
    """

    name: str
    type: str
    words: str
    level: str
    sentence: str
    announced: bool = True

    @property
    def facts(self) -> frozenset[str]:
        """Return the names of the facts, which are those in the sentence."""
        return frozenset(_FIELD.findall(self.sentence)) - {_SUBJECT}

    def said(self, subject: str, facts: Mapping[str, Fact]) -> str:
        """Return the sentence of one notice."""
        return self.sentence.format(subject=subject, **facts)


NOTICE_KINDS = registry(
    "kind of notice",
    NoticeKind(
        "rollout_started", "rollout.started", "Rollout started", INFO,
        "{version} began its {strategy} in {subject}, for {share} of the people.",
    ),
    NoticeKind(
        "rollout_stage", "rollout.stage", "Next stage", INFO,
        "{version} now serves {share} of the people in {subject}: the {strategy} reached stage {stage}.",
    ),
    NoticeKind(
        "rollout_waiting", "rollout.waiting", "Waiting for approval", WARNING,
        "The {strategy} of {version} in {subject} waits for an operator: {cause}.",
    ),
    NoticeKind(
        "rollout_paused", "rollout.paused", "Rollout paused", WARNING,
        "The {strategy} of {version} in {subject} is paused: {cause}.",
    ),
    NoticeKind(
        "rollout_resumed", "rollout.resumed", "Rollout resumed", INFO,
        "The {strategy} of {version} in {subject} goes on.",
    ),
    NoticeKind(
        "rollout_ended", "rollout.ended", "Rollout ended", INFO,
        "The {strategy} of {version} in {subject} ended: {outcome}.",
    ),
    NoticeKind(
        "incident", "incident", "Incident", URGENT,
        "{version} was taken back in {subject}: {cause}. {serving} serves now.",
    ),
    NoticeKind(
        "turn_failed", "turn.failed", "Turn failed", WARNING,
        "Turn {turn} of {subject} failed at its stage {stage}.",
    ),
    NoticeKind(
        "turn_waiting", "turn.waiting", "Waiting for an operator", WARNING,
        "Turn {turn} of {subject} ended with a version that waits for an operator.",
    ),
    NoticeKind(
        "vault_broken", "vault.broken", "Trust Vault broken", URGENT,
        "{subject} does not hold: the verification stopped after {events} events, or found changed rows.",
    ),
    NoticeKind(
        "key_old", "key.old", "Old key", WARNING,
        "{subject} has been in use for {days} days, longer than the declared {declared}. Add a new one and rotate the keys.",
    ),
    NoticeKind(
        "worker_late", "worker.late", "Work is late", URGENT,
        "Work is late ({subject}): {cause}.",
    ),
    NoticeKind(
        "delivery_given_up", "delivery.given_up", "Delivery given up", WARNING,
        "Notices did not reach {subject}, after {attempts} attempts: {cause}.",
        announced=False,  # a notice about an address that fails would fail there too, and be told again
    ),
    longest=LONGEST_KIND,
)  # fmt: skip


def notice_kinds_check(kinds: Mapping[str, NoticeKind]) -> None:
    """Check every kind. Raises ValueError, which names the kind and what is wrong with it."""
    types = [kind.type for kind in kinds.values()]
    for kind in kinds.values():
        if kind.level not in NOTICE_LEVELS:
            raise ValueError(
                f"the notice {kind.name} has the level {kind.level!r}; use one of {', '.join(NOTICE_LEVELS)}"
            )
        if _SUBJECT not in _FIELD.findall(kind.sentence) or re.search("[{}]", _FIELD.sub("", kind.sentence)):
            raise ValueError(f"the sentence of the notice {kind.name} must name {{subject}}, and facts by plain names")
        if types.count(kind.type) > 1 or not kind.words:
            raise ValueError(f"the notice {kind.name} needs a type of its own and words")


notice_kinds_check(NOTICE_KINDS)


def notice_kind_named(name: str) -> NoticeKind:
    """Find a kind by name. Raises InputError that lists the names."""
    return variant_named("kind of notice", NOTICE_KINDS, name)


def levels_from(level: str) -> tuple[str, ...]:
    """Return a level and all that are louder."""
    return NOTICE_LEVELS[NOTICE_LEVELS.index(level) :]
