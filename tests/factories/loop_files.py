"""The shortest loop file, to be changed line by line, and sections that several loop files share."""

from __future__ import annotations

import pytest

from core.errors import InputError
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec

SMALL = """
name = "small"
decisions_per_day = 3
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
[features.place]
categories = ["home", "work"]
dynamics = "drift"
[heads.policy]
actions = ["wait", "speak"]
reference = "wait"
logging = [0.7, 0.3]
[reward]
scale = 0.5
"""
TIMING = """
[heads.timing]
actions = ["now", "later"]
reference = "now"
logging = [0.5, 0.5]
when = "intervening"
"""
LOGGED = """
[import.csv]
user = "who"
key = ["who", "at"]
time = "at"
next_state = "next_row_same_day"
missing = "drop"
reward = { total = "felt" }
[import.csv.heads]
policy = { action = "did", propensity = "p" }
"""


def small(*changes: tuple[str, str], more: str = "") -> str:
    """The small loop file with texts replaced and lines added at its end."""
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text + more


def parsed(*changes: tuple[str, str], more: str = "") -> LoopSpec:
    return parse_loop(small(*changes, more=more), source="small.toml")


def problems(*changes: tuple[str, str], more: str = "") -> list[str]:
    """What the file is refused for, one a line."""
    with pytest.raises(InputError) as error:
        parsed(*changes, more=more)
    first, *lines = str(error.value).splitlines()
    assert first.startswith("small.toml is not a usable loop file; nothing was written")
    return [line.strip() for line in lines]
