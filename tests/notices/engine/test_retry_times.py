"""Ten attempts over three days, as Standard Webhooks recommends, each pause a little longer by chance."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notices.engine.retry_times import ATTEMPTS, JITTER, PAUSES, pause_after


def test_the_pauses_are_those_of_the_recommendation() -> None:
    assert PAUSES == (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert ATTEMPTS == 10 and all(a < b for a, b in pairwise(PAUSES))
    assert 3 * 86_400 < sum(PAUSES) < 4 * 86_400


@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True))
def test_chance_makes_a_pause_longer_by_a_fifth_at_most(attempts: int, chance: float) -> None:
    pause = pause_after(attempts, chance)
    assert pause is not None and PAUSES[attempts - 1] <= pause <= PAUSES[attempts - 1] * (1 + JITTER)


def test_after_the_last_attempt_there_is_no_other() -> None:
    assert pause_after(ATTEMPTS, 0.5) is None and pause_after(ATTEMPTS + 3, 0.5) is None
