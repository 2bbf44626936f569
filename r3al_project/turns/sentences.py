"""Put the result of a finished stage into words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.sentences import sentence
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import delta_text, epsilon_text
from r3al_project.turns.rollout_sentences import ACTS
from training.models import VERDICT_WORDS, version_name

StageSummary = Mapping[str, Any]


def logging_sentence(spec: LoopSpec, cost: Sequence[float] | None, without_evidence: Sequence[str] = ()) -> str:
    """State the cost of exploring while no learned policy is deployed, or why it is not known. Empty if nothing was asked.

    A release clips each person's part, so a large cost is understated. It is therefore stated as "or more".

    Args:
        cost: mean and 90% interval (mean, low, high), in units of the loop's reward scale. Negative numbers are a gain.
        without_evidence: actions that were hardly ever logged.
    """
    if without_evidence:
        return (
            f"What exploring costs is not known. Actions that were hardly ever logged: {', '.join(without_evidence)}."
        )
    if cost is None:
        return ""
    mean, low, high = (value * spec.reward.scale for value in cost)
    if low > 0:
        effect = f"costs people about {_amount(mean)} or more reward per decision (90% interval {_amount(low)} to {_amount(high)}"
    elif high < 0:
        effect = f"gains people {_amount(-mean)} reward per decision (90% interval {_amount(-high)} to {_amount(-low)}"
    else:
        effect = f"may cost people up to {_amount(high)} or gain them up to {_amount(-low)} reward per decision (90% interval"
    return f"Meanwhile, drawing every action from the logging distribution {effect}, in sampled worlds)."


def _amount(value: float) -> str:
    return f"{value:.2g}"


_TRIAL_TEXTS = {
    "started": "A trial began: half of the people have {}, and the other half keep the present policy. "
    "Both explore the share of decisions that the loop declares.",
    "continues": "The trial of {} continues, because its people do not decide it yet. Looks left: {}.",
    "passed": "The trial of {} passed, so it is deployed to everybody except the holdback.",
    "stopped": "The trial of {} failed, so everybody has the present policy again.",
    "unproven": "The trial of {} ended without evidence that it is better, so everybody has the present policy again.",
    "waiting": "The trial of {} passed. It is left to an operator to deploy the version. Until then its halves stay.",
    "gone": "The trial of {} had ended before its verdict.",
}


def trial_sentence(event: str, version: int, *, left: int = 0) -> str:
    """State what a turn did about a trial. ``left``: how many looks it has left if it continues."""
    return _TRIAL_TEXTS[event].format(version_name(version), left)


def exploration_sentence(
    spec: LoopSpec, before: float, share: float, cause: str, cost: Sequence[float] | None = None
) -> str:
    """State how the explored share changed, and why.

    Args:
        cause: tried (a trial began), or one of ``SettledExploration``: deployed, costs or undecided.
        cost: of exploring, mean and 90% interval (mean, low, high), in units of the loop's reward scale.
    """
    why = {
        "deployed": "a version was deployed", "tried": "a trial began",
        "undecided": "the declared number of turns decided nothing",
    }.get(cause)  # fmt: skip
    if why is None and cost is not None:
        mean, low, high = (_amount(value * spec.reward.scale) for value in cost)
        why = f"exploring costs people about {mean} or more reward a decision [{low}, {high}]"
    return f"Exploration {exploration_change(before, share)}, because {why}."


def exploration_change(before: float, share: float) -> str:
    """State how the explored share changes, as the end of a sentence about exploration."""
    if share == before:
        return f"stays at {share:.0%} of decisions"
    return f"{'falls' if share < before else 'rises'} from {before:.0%} to {share:.0%} of decisions"


def waiting_sentence(waiting: Mapping[str, Mapping[str, Any]]) -> str:
    """State what waits for an operator.

    Args:
        waiting: for each head its version and the strategy with which an operator may deploy it.
    """
    named = [f"{ACTS[item['strategy']]} {head} {version_name(item['version'])}" for head, item in waiting.items()]
    return f"It is left to an operator to {' and to '.join(named)}."


def collect_sentence(s: StageSummary) -> str:
    """State about how many rows of the file were added, gave a stored decision its outcome, were already stored, and rejected."""
    if "rows" not in s:
        return "No file was given, so the turn uses the records already stored."
    added = f"About {s['added']:,} of {s['rows']:,} rows added"
    joined = f", {s['joined']:,} joined to stored decisions" if s.get("joined") else ""
    counted = f"{added}{joined}, {s['unchanged']:,} already stored, {s['rejected']:,} rejected."
    override = (
        [
            "Its propensities do not fit its actions. It was imported all the same, for the reason that its import states."
        ]
        if s.get("overridden")
        else []
    )
    return " ".join([counted, *override, *s.get("warnings", [])])


def release_sentence(s: StageSummary) -> str:
    """State how many people the release covers, and its guarantee."""
    if "note" in s:
        return str(s["note"])
    return sentence(f"Covers about {s['users']:,} people: {s['guarantee']}") + _after(paid_sentence(s))


def paid_sentence(s: StageSummary) -> str:
    """State what one person can have paid for all releases of the loop so far. Empty for a first one, and for older turns."""
    account = s.get("loop")
    if account is None or account["releases"] < 2:
        return ""
    paid = f"For all {account['releases']} releases of this loop so far, one person can have paid"
    if account["epsilon"] is None:
        return f"{paid} more than any finite epsilon, because not all have a formal guarantee."
    return f"{paid} at most epsilon {epsilon_text(account['epsilon'])} at delta {delta_text(account['delta'])}."


def _after(text: str) -> str:
    return f" {text}" if text else ""


def synthesize_sentence(s: StageSummary) -> str:
    """State how many samples were drawn, and how many transitions they hold."""
    if "of_turn" in s:
        return "No samples were drawn, because no version is trained."
    if "samples" not in s:  # a turn of an older version
        return f"{s['rows']:,} synthetic transitions drawn from the released world model."
    return (
        f"{s['samples']:,} synthetic samples drawn from the released world model, each with the outcome of every action "
        f"({s['rows']:,} transitions)."
    )


def train_sentence(s: StageSummary) -> str:
    """State how often the policy candidate intervenes, and the model gates' verdicts."""
    verdict = "passed" if s["model_gate"] else "failed"
    if "of_turn" in s:
        return f"No version was trained: those of turn {s['of_turn']} were trained on the same release."
    z = f"z {s['model_gate_z']:.2f}"
    if "model_gate_z_incumbent" in s:
        z += f" against the reference, {s['model_gate_z_incumbent']:.2f} against the incumbent"
    if s.get("head", MAIN_HEAD) != MAIN_HEAD:
        return f"Only head {s['head']} was trained. Its candidate {verdict} the model gate ({z})."
    move = "" if s.get("step", 1.0) == 1.0 else " It moves only part of the way from the incumbent to the new fit."
    candidate = f"The candidate intervenes at {s['intervention_rate']:.0%} of decision points.{move}"
    others = [head for head, gate in s.get("heads", {}).items() if gate["passed"] and head != MAIN_HEAD]
    more = f" Other heads that passed: {', '.join(others)}." if others else ""
    return f"{candidate} It {verdict} the model gate ({z}).{more}"


def evaluate_sentence(s: StageSummary) -> str:
    """State the outcome gate's verdict with its reason, and what one person can have paid with the release that judged."""
    return sentence(f"{VERDICT_WORDS[s['verdict']].capitalize()}: {s['reason']}") + _after(paid_sentence(s))


def deploy_sentence(s: StageSummary) -> str:
    """Name the versions that were deployed, and state what happened to a trial."""
    trial = s.get("trial")
    if s.get("waiting"):
        return waiting_sentence(s["waiting"])
    if trial and trial["event"] != "passed":
        return trial_event(trial)
    if not s["deployed"]:
        return "No candidate was deployed. Every incumbent stays."
    named = ", ".join(f"{head} {version_name(version)}" for head, version in s["versions"].items())
    return f"Deployed to everybody except the holdback: {named}."


def trial_event(trial: Mapping[str, Any]) -> str:
    """State in one short sentence what a turn did about a trial."""
    name = version_name(trial["version"])
    return {
        "started": f"A trial of {name} began on half of the people.",
        "continues": f"The trial of {name} continues.",
        "passed": f"The trial of {name} passed. It is deployed to everybody except the holdback.",
        "waiting": f"The trial of {name} passed. It is left to an operator to deploy it.",
        "stopped": f"The trial of {name} was stopped. The incumbent stays.",
    }.get(trial["event"], f"The trial of {name} had ended before. The incumbent stays.")
