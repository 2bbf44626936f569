"""What a finished stage did, in one sentence for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from training.models import VERDICT_WORDS, version_name

StageSummary = Mapping[str, Any]


def logging_sentence(spec: LoopSpec, cost: Sequence[float]) -> str:
    """What exploring costs people while nothing is deployed, from ``logging_cost`` (mean, low, high; reward scales)."""
    mean, low, high = (value * spec.reward.scale for value in cost)
    if low > 0:
        said = f"costs {_amount(mean)} (90% interval {_amount(low)} to {_amount(high)}"
    elif high < 0:
        said = f"does people good, by {_amount(-mean)} (90% interval {_amount(-high)} to {_amount(-low)}"
    else:
        said = f"may cost up to {_amount(high)} or do people good by up to {_amount(-low)} (90% interval"
    return (
        f"Meanwhile, drawing every action from the logging distribution {said}, in reward a decision, in drawn worlds)."
    )


def _amount(value: float) -> str:
    return f"{value:.2g}"


def collect_sentence(s: StageSummary) -> str:
    """Say how many rows of the file were added, known and rejected."""
    if "rows" not in s:
        return "No file: it uses what the vault holds."
    changed = f"{s['added']:,} of {s['rows']:,} rows added"
    return f"{changed}, {s['unchanged']:,} known already, {s['rejected']:,} rejected."


def release_sentence(s: StageSummary) -> str:
    """Say how many people were released from, under which guarantee."""
    if "note" in s:
        return "Nothing new since the last release: nobody was charged."
    rounds = s.get("rounds", 1)
    composed = f" With the {rounds - 1} before it: epsilon {s['composed_epsilon']:.3g}." if rounds > 1 else ""
    return f"About {s['users']:,} people: {s['guarantee']}.{composed}"


def synthesize_sentence(s: StageSummary) -> str:
    """Say how many transitions were drawn."""
    return f"{s['rows']:,} synthetic transitions drawn from the released world model."


def train_sentence(s: StageSummary) -> str:
    """Say how often the candidate intervenes and what its model gates answered."""
    said = "lets it pass" if s["model_gate"] else "holds it back"
    z = f"z {s['model_gate_z']:.2f}"
    if "model_gate_z_incumbent" in s:
        z += f" against the reference, {s['model_gate_z_incumbent']:.2f} against what serves"
    way = "" if s.get("step", 1.0) == 1.0 else ", a part of the way from what serves,"
    candidate = f"A candidate{way} that intervenes at {s['intervention_rate']:.0%} of decision points"
    others = [head for head, summary in s.get("heads", {}).items() if summary["passed"] and head != MAIN_HEAD]
    more = f" Let pass too: {', '.join(others)}." if others else ""
    return f"{candidate}; the model gate {said} ({z}).{more}"


def evaluate_sentence(s: StageSummary) -> str:
    """Say the outcome gate's verdict with its reason."""
    return f"{VERDICT_WORDS[s['verdict']].capitalize()}: {s['reason']}"


def deploy_sentence(s: StageSummary) -> str:
    """Name the versions that serve from now on."""
    if not s["deployed"]:
        return "What served before goes on serving."
    named = ", ".join(f"{head} {version_name(version)}" for head, version in s["versions"].items())
    return f"Serving now, but for the holdback: {named}."
