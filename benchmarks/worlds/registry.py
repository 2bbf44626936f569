"""List all worlds by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.worlds.dismissers import dismissers_world
from benchmarks.worlds.few_hurt import few_hurt_world
from benchmarks.worlds.hidden_states import HiddenStatesWorld
from benchmarks.worlds.leavers import leavers_world
from benchmarks.worlds.near_linear import NearLinearWorld
from benchmarks.worlds.never_logged import never_logged_without_column, never_logged_world, rarely_logged_world
from benchmarks.worlds.never_tried import never_tried_world
from benchmarks.worlds.newcomer_harm import newcomer_cost_world, newcomer_harm_world
from benchmarks.worlds.night_harm import night_cost_world, night_harm_world
from benchmarks.worlds.null import null_world
from benchmarks.worlds.protocol import World
from benchmarks.worlds.return_harm import return_cost_world, return_driven_world, return_harm_world
from benchmarks.worlds.sign_flips import SignFlipsWorld
from benchmarks.worlds.silent_harm import silent_harm_among_silent, silent_harm_world
from benchmarks.worlds.trap import TrapWorld
from benchmarks.worlds.wrong_propensities import wrong_propensities_world

FAMILIES: dict[str, Callable[[], World]] = {
    "near_linear": NearLinearWorld,
    "hidden_states": HiddenStatesWorld,
    "sign_flips": SignFlipsWorld,
}
PLANTED: dict[str, Callable[[], World]] = {
    "null": null_world,
    "trap": TrapWorld,
    "never_tried": never_tried_world,
    "never_logged": never_logged_world,
    "never_logged_no_column": never_logged_without_column,
    "rarely_logged": rarely_logged_world,
    "few_hurt_2": partial(few_hurt_world, 2),
    "few_hurt_5": partial(few_hurt_world, 5),
    "few_hurt_10": partial(few_hurt_world, 10),
    "dismissers": dismissers_world,
    "leavers": leavers_world,
    "night_harm": night_harm_world,
    "newcomer_harm": newcomer_harm_world,
    "return_harm": return_harm_world,
    "return_driven": return_driven_world,
    "silent_harm": silent_harm_world,
    "silent_harm_benign": silent_harm_among_silent,
    "wrong_propensities": wrong_propensities_world,
}
OUTWEIGHED: dict[str, Callable[[], World]] = {  # a part of life is hurt, and everybody ends better: deploying is right
    "night_cost": night_cost_world,
    "newcomer_cost": newcomer_cost_world,
    "return_cost": return_cost_world,
}


def world_named(name: str) -> World:
    """Build the world with this name."""
    return (FAMILIES | PLANTED | OUTWEIGHED)[name]()
