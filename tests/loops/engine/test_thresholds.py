"""The blueprint's thresholds and the other numbers that several floors need are stated once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from loops.engine import thresholds
from loops.engine.parse.loop import parse_loop
from loops.engine.thresholds import smallest_effect, stability_margin
from tests.factories.builtin_loops import FOLDER, builtin
from tests.system import ROOT
from tests.walls.source import modules
from training.engine.gates.gate_terms import GateTerms

ONCE = {
    r"\b(86_?400|3_?600)\b": {"core/durations.py"},
    r"timedelta\(days=90\)\s*(#.*)?$": {"core/durations.py"},
    r"_bp\w* ?[-/<=]+ ?10_000|BASIS_POINTS = ": {"deployments/engine/traffic_shares.py"},
    r"^\w*(EMPATHY_BAR|INTERVENTION_BAR|BAR_MS|SLOW_SHARE|BAR_REFERENCE|BAR_INCUMBENT)\b.* = ": {
        "loops/engine/thresholds.py"
    },
    r"\.weekday\(\)|replace\(day=1\)": {"privacy/engine/budget_windows.py"},
}


@pytest.mark.parametrize(("said", "homes"), ONCE.items(), ids=lambda x: x if isinstance(x, str) else "")
def test_a_number_has_one_home(said: str, homes: set[str]) -> None:
    pattern = re.compile(said, re.MULTILINE)
    assert {str(p.relative_to(ROOT)) for _, p in modules(ROOT) if pattern.search(p.read_text())} == homes


def test_the_blueprints_bars() -> None:
    assert (thresholds.EMPATHY_BAR, thresholds.FALSE_INTERVENTION_BAR) == (0.75, 0.10)
    assert (thresholds.LATENCY_BAR_MS, thresholds.SLOWER_MS, 1 - thresholds.SLOW_SHARE) == (200, 250, 0.95)


@pytest.mark.parametrize("name", ["r3al", "heartsteps"])
def test_the_gate_and_health_allow_the_same_drift(name: str) -> None:
    loop = builtin(name)
    silent = replace(loop, reward=replace(loop.reward, stability_margin=None), minimum_effect=None)
    assert stability_margin(silent) == 0.5 * loop.reward.scale and GateTerms(silent, 0.0).stability_margin == 0.5
    declared = replace(loop, reward=replace(loop.reward, stability_margin=0.3), minimum_effect=0.2)
    assert stability_margin(declared) == 0.3 and GateTerms(declared, 0.0).stability_margin == 0.3 / loop.reward.scale
    assert (smallest_effect(silent), smallest_effect(declared)) == (0.1, 0.2 / loop.reward.scale)


def test_what_a_file_leaves_out_is_what_the_record_leaves_out() -> None:
    """The parser takes its defaults from the record, so both say the same."""
    text = (FOLDER / "r3al.toml").read_text(encoding="utf-8")
    names = ("exploration", "exploration_before", "evaluation_share", "logging_rounds", "memory", "deadline")
    bare = "\n".join(line for line in text.splitlines() if line.partition(" =")[0] not in names)
    loop = parse_loop(bare, source="bare.toml")
    record = replace(loop, reward=type(loop.reward)(scale=1.0), availability=type(loop.availability)())
    fresh = type(loop)
    assert (loop.exploration, loop.exploration_before) == (fresh.exploration, fresh.exploration_before) == (0.1, 1.0)
    assert (loop.evaluation_share, loop.logging_rounds) == (fresh.evaluation_share, fresh.logging_rounds) == (0.0, 2)
    assert loop.availability.memory_seconds == record.availability.memory_seconds == 604_800
    assert loop.reward.deadline_seconds == record.reward.deadline_seconds == 86_400
