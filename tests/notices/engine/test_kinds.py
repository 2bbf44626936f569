"""Each kind of notice has a level, a sentence and the facts in it; a wrong entry of the table stops the start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import InputError
from notices.engine.kinds import NOTICE_KINDS, Fact, levels_from, notice_kind_named, notice_kinds_check

STAGE = NOTICE_KINDS["rollout_stage"]


def test_what_happens_to_a_rollout_a_turn_the_vault_and_the_keys_has_a_kind() -> None:
    assert list(NOTICE_KINDS) == [
        "rollout_started", "rollout_stage", "rollout_waiting", "rollout_paused", "rollout_resumed", "rollout_ended", "incident",
        "approval_waiting", "approval_decided",
        "turn_failed", "turn_waiting", "vault_broken", "key_old", "worker_late", "delivery_given_up",
    ]  # fmt: skip


def test_what_needs_somebody_now_is_urgent() -> None:
    assert {k.name for k in NOTICE_KINDS.values() if k.level == "urgent"} == {"incident", "vault_broken", "worker_late"}


def test_the_facts_of_a_kind_are_the_names_in_its_sentence() -> None:
    assert STAGE.facts == {"version", "share", "strategy", "stage"}
    facts: dict[str, Fact] = {"version": "v7", "share": "50%", "strategy": "canary", "stage": 2}
    assert STAGE.said("r3al/policy", facts) == (
        "v7 now serves 50% of the people in r3al/policy: the canary reached stage 2."
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level": "loud"}, "level 'loud'"),
        ({"sentence": "It happened."}, "must name {subject}"),
        ({"sentence": "{subject} {0}"}, "plain names"),
        ({"sentence": "{subject} {x!r}"}, "plain names"),
        ({"type": "rollout.ended"}, "a type of its own"),
        ({"words": ""}, "words"),
    ],
)
def test_a_wrong_kind_stops_the_start(change: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        notice_kinds_check({**NOTICE_KINDS, "rollout_stage": replace(STAGE, **change)})  # type: ignore[arg-type]


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="rollout_started, rollout_stage"):
        notice_kind_named("gossip")


def test_a_level_is_heard_with_all_louder_ones() -> None:
    assert levels_from("warning") == ("warning", "urgent")
