"""What a finished stage did, in one sentence for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Summary = Mapping[str, Any]


def stage_sentence(name: str, summary: Summary) -> str:
    """One sentence from a stage's summary; empty when the stage has not ended."""
    if not summary:
        return ""
    return _SENTENCES[name](summary) if name in _SENTENCES else ""


def _collect(s: Summary) -> str:
    if "rows" not in s:
        return "No file: it uses what the vault holds."
    changed = f"{s['added']:,} of {s['rows']:,} rows added"
    return f"{changed}, {s['unchanged']:,} known already, {s['rejected']:,} rejected."


def _release(s: Summary) -> str:
    return f"About {s['users']:,} people: {s['guarantee']}."


def _synthesize(s: Summary) -> str:
    return f"{s['rows']:,} synthetic transitions drawn from the released world model."


def _train(s: Summary) -> str:
    said = "lets it pass" if s["model_gate"] else "holds it back"
    candidate = f"A candidate that intervenes at {s['intervention_rate']:.0%} of decision points"
    return f"{candidate}; the model gate {said} (z {s['model_gate_z']:.2f})."


def _evaluate(s: Summary) -> str:
    needed = f" It would take about {s['needed_users']:,.0f} people." if s.get("needed_users") else ""
    return f"{_VERDICTS.get(s['verdict'], s['verdict'])}: {s['reason']}{needed}"


def _deploy(s: Summary) -> str:
    return "The candidate serves everybody now." if s["deployed"] else "What served before goes on serving."


_VERDICTS = {"pass": "Pass", "fail": "Fail", "insufficient": "Insufficient evidence"}
_SENTENCES: dict[str, Callable[[Summary], str]] = {
    "collect": _collect,
    "release": _release,
    "synthesize": _synthesize,
    "train": _train,
    "evaluate": _evaluate,
    "deploy": _deploy,
}
