"""What is remembered of a person, whatever the order in which it was heard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from core.arrays import Floats
from privacy.engine.serving_state import KnownValues, merge_known_values

NOON = datetime(2025, 6, 3, 12, tzinfo=UTC)
HOUR, NAN = timedelta(hours=1), float("nan")
NOTHING = KnownValues(np.array([NAN, NAN]))


def hear(*words: tuple[datetime, list[float]], keeps: float = 7200.0) -> KnownValues:
    memory = NOTHING
    for at, values in words:
        memory = merge_known_values(memory, np.array(values), at, keeps=keeps)
    return memory


def known(memory: KnownValues) -> list[float | None]:
    values: Floats = memory.values
    return [None if np.isnan(v) else float(v) for v in values]


def test_the_first_word_is_what_is_known() -> None:
    memory = hear((NOON, [0.5, NAN]))
    assert known(memory) == [0.5, None] and memory.at == NOON


def test_a_newer_word_goes_over_an_older_one_and_keeps_what_it_does_not_speak_of() -> None:
    memory = hear((NOON, [0.5, 0.1]), (NOON + HOUR, [0.7, NAN]))
    assert known(memory) == [0.7, 0.1] and memory.at == NOON + HOUR


def test_of_two_words_of_one_moment_the_later_heard_counts() -> None:
    assert known(hear((NOON, [0.5, NAN]), (NOON, [0.6, NAN]))) == [0.6, None]


def test_an_older_word_fills_gaps_only() -> None:
    memory = hear((NOON, [0.5, NAN]), (NOON - HOUR, [0.1, 0.2]))
    assert known(memory) == [0.5, 0.2] and memory.at == NOON


def test_what_is_too_old_is_forgotten_from_either_side() -> None:
    later = NOON + 3 * HOUR
    assert known(hear((NOON, [0.5, 0.1]), (later, [0.7, NAN]))) == [0.7, None], "not revived by a newer word"
    assert known(hear((later, [0.7, NAN]), (NOON, [0.5, 0.1]))) == [0.7, None], "nor filled in afterwards"
