"""Heads of a loop: the roles that two names have, and that all others are as the file says."""

from __future__ import annotations

import pytest

from core.errors import InputError
from tests.factories.builtin_loops import builtin
from tests.factories.loop_files import parsed

_CHANNEL = '\n[heads.channel]\nactions = ["push", "mail"]\nreference = "push"\nlogging = [0.5, 0.5]\n'
_TIMING = '\n[heads.timing]\nactions = ["now", "later"]\nreference = "now"\nlogging = [0.5, 0.5]\n'
_FIRST = ("[heads.policy]", f"{_CHANNEL}[heads.policy]")


def test_the_main_head_comes_first_wherever_the_file_declares_it() -> None:
    spec = parsed(_FIRST, more=_TIMING)
    assert spec.head_names == ("channel", "policy", "timing")
    assert [h.name for h in spec.heads_main_first] == ["policy", "channel", "timing"]
    assert spec.main_head is spec.head("policy") and [h.name for h in spec.sub_heads] == ["channel", "timing"]


def test_a_loop_may_have_its_main_head_alone() -> None:
    spec = parsed()
    assert spec.head_names == ("policy",) and spec.sub_heads == () and spec.heads_main_first == (spec.main_head,)


def test_delays_are_those_of_the_timing_head_or_else_of_the_main_head() -> None:
    assert parsed(more=_TIMING).timing_head.name == builtin("r3al").timing_head.name == "timing"
    assert parsed(_FIRST).timing_head.name == "policy"


def test_a_head_that_the_loop_lacks_is_told_those_that_it_has() -> None:
    with pytest.raises(InputError, match="loop 'small' has no head 'tone'; it has channel, policy"):
        parsed(_FIRST).head("tone")
