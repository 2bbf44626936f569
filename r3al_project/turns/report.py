"""Report an ended turn, as one JSON object or as tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from core.errors import Conflict
from core.html_format import number_text
from core.json_safe import json_safe
from core.sentences import sentence
from deployments.selectors.slots import serving_now
from loops.engine.heads import MAIN_HEAD
from privacy.engine.dp.accounting import epsilon_text
from privacy.models import Release, ReleaseState
from privacy.services.releases.moments import MOMENTS_KIND, moments_load
from privacy.services.releases.trial import TRIAL_KIND
from r3al_project.turns.models import Turn
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.sentences import paid_sentence, trial_event, waiting_sentence
from r3al_project.turns.stages import stage_brief
from training.models import VERDICT_WORDS, ModelVersion, version_name
from training.selectors.metric_words import estimate_words, metric_words
from training.selectors.versions import version_arrays

TrueValues = Callable[
    [ModelVersion], Mapping[str, float]
]  # value, reference, random and best_known, for simulated people


def turn_report_write(
    turn: Turn,
    *,
    seconds: float,
    as_json: bool,
    out: IO[str],
    true_values: TrueValues | None = None,
) -> None:
    """Write an ended turn's report to ``out``. Raises Conflict, after the report, when the turn failed or was cancelled."""
    report = turn_report(turn, seconds=seconds, true_values=true_values)
    if as_json:
        out.write(json.dumps(report) + "\n")
    else:
        print_report(report, out)
    if turn.outcome == Turn.Outcome.FAILED:
        raise Conflict(f"the turn failed: {turn.reason}")
    if turn.outcome == Turn.Outcome.CANCELLED:
        raise Conflict(f"the turn was cancelled: {turn.reason}")


def turn_report(turn: Turn, *, seconds: float, true_values: TrueValues | None = None) -> dict[str, Any]:
    """Summarise a turn as JSON-ready data; NaN and infinity become null."""
    stages = {s.name: s for s in turn.stages.order_by("id")}
    summaries = {name: s.summary for name, s in stages.items()}
    version = ModelVersion.objects.filter(pk=summaries.get("train", {}).get("version")).first()
    serving = serving_now(turn.loop_version)
    released = summaries.get("release", {})
    report: dict[str, Any] = json_safe(
        {
            "loop": str(turn.loop_version),
            "outcome": turn.outcome,
            "reason": turn.reason,
            "seconds": round(seconds, 2),
            "stages": [{"name": n, "seconds": s.seconds, "did": _brief(n, s.summary)} for n, s in stages.items()],
            "release": {k: released.get(k) for k in ("epsilon", "delta", "unit", "users", "guarantee")},
            "charged": charged_by(turn),
            "paid": summaries.get("evaluate", {}).get("loop") or released.get("loop"),
            "policy": policy_value(turn, version, summaries, true_values),
            "gate": summaries.get("evaluate") or {"verdict": "insufficient", "reason": turn.reason, "metrics": []},
            "over_incumbent": _over_incumbent(version, summaries),
            "version": version.pk if version else None,
            "versions": summaries.get("train", {}).get("versions", {}),
            "deployed": {h: v.pk if v.is_learned else None for h, v in serving.items()},
            "waiting": summaries.get("deploy", {}).get("waiting", {}),
            "trial": summaries.get("deploy", {}).get("trial"),
            "exploration": summaries.get("deploy", {}).get("exploration"),
        }
    )
    return report


def _over_incumbent(version: ModelVersion | None, summaries: dict[str, Any]) -> bool:
    """Tell whether the judged version was to beat an incumbent: the candidate, or the version on trial."""
    tried = summaries.get("evaluate", {}).get("trial")
    judged = version if tried is None else ModelVersion.objects.filter(pk=tried["version"]).first()
    return judged is not None and judged.parent_id is not None


def charged_by(turn: Turn) -> list[dict[str, Any]]:
    """Return what the turn itself released, in order: of what, about how many people it read, and its guarantee."""
    made = Release.objects.filter(key__in=release_keys(turn), state=ReleaseState.COMMITTED).order_by("pk")
    return [
        {
            "of": _of_what(release), "epsilon": release.formal_epsilon, "delta": release.formal_delta,
            "users": round(release.noisy_users or 0.0), "guarantee": release.guarantee,
        }
        for release in made
    ]  # fmt: skip


def _of_what(release: Release) -> str:
    known = {MOMENTS_KIND: "the moments for training", TRIAL_KIND: "the trial"}
    return known.get(release.parameters.get("kind", ""), "the evaluation")


def policy_value(
    turn: Turn, version: ModelVersion | None, summaries: dict[str, Any], true_values: TrueValues | None
) -> dict[str, Any]:
    """Return mean rewards per decision point: true values where they are known, otherwise labelled off-policy estimates."""
    if version is None or version.head != MAIN_HEAD or _repeats(summaries):
        return {"kind": "none", "value": None, "random": None, "reference": None, "best_known": None, "share": None}
    if true_values is not None:
        return _with_share(true_values(version))
    return _estimates(turn, version, summaries)


def _repeats(summaries: dict[str, Any]) -> bool:
    """Tell whether the turn read a trial and trained nothing, so that its candidate's numbers are those of an earlier turn."""
    return "of_turn" in summaries.get("train", {}) and "trial" in summaries.get("evaluate", {})


def _estimates(turn: Turn, version: ModelVersion, summaries: dict[str, Any]) -> dict[str, Any]:
    """Estimate values for real people: immediate rewards from the release, the candidate's from the off-policy gate."""
    spec = turn.loop_version.spec
    reference = float(version.config["rival_value"]) * spec.reward.scale
    evaluated = summaries.get("evaluate", {})
    on_trial = "trial" in evaluated  # its metrics are of the version on trial
    gains = {} if on_trial else {m["name"]: m["value"] for m in evaluated.get("metrics", [])}
    gain = gains.get("improvement")
    candidate = "the candidate was not evaluated, because another version is on trial"
    return {
        "kind": "immediate reward from the release; "
        + (candidate if on_trial else "the candidate's by off-policy evaluation"),
        "value": None if gain is None else reference + gain,
        "random": _released_random(version),
        "reference": reference,
        "best_known": None,
        "share": None,
    }


def _released_random(version: ModelVersion) -> float | None:
    """Return the immediate reward of a uniformly random action, at the released mean features."""
    release = version.releases.order_by("id").last()
    if release is None:
        return None
    moments = moments_load(release=release)
    by_action = version_arrays(version)["reward"] @ moments.gram[0]
    return float(by_action.mean()) * version.loop_version.spec.reward.scale


def _with_share(values: Mapping[str, float]) -> dict[str, Any]:
    floor = max(values["random"], values["reference"])
    best = values["best_known"] - floor
    return dict(values) | {
        "kind": "true value in the simulator",
        "share": (values["value"] - floor) / best if best > 0 else None,
    }


def _brief(name: str, summary: dict[str, Any]) -> dict[str, Any]:
    """Return a stage's summary without the gate's metrics, which the report lists elsewhere."""
    return {k: v for k, v in summary.items() if k not in ("metrics", "heads")}


def print_report(report: dict[str, Any], out: IO[str]) -> None:
    """Print a report for people."""
    console = Console(file=out)
    policy, gate = report["policy"], report["gate"]
    console.print(f"\n[bold]{report['loop']}[/bold] in {report['seconds']:.1f} s")
    stages = Table(box=None, show_header=False, padding=(0, 1))
    for stage in report["stages"]:
        stages.add_row(stage["name"], f"{_number(stage['seconds'], 2)} s", _brief_text(stage["name"], stage["did"]))
    console.print(stages)
    _print_charges(report, console)
    if policy.get("reference") is not None:
        console.print(
            "Policy value ("
            + policy["kind"]
            + "): "
            + ", ".join(
                f"{k} {number_text(policy[k])}"
                for k in ("value", "reference", "random", "best_known")
                if policy[k] is not None
            )
            + (f"; share of the attainable gain {policy['share']:.2f}" if policy["share"] is not None else "")
        )
    table = Table("metric", box=None)
    for column in ("value", "interval", "threshold", "verdict"):
        table.add_column(column, no_wrap=column != "verdict")
    for metric in gate["metrics"]:
        value, interval = estimate_words(metric["name"], metric["value"], metric["low"], metric["high"])
        name = metric_words(
            metric["name"], on_trial="trial" in gate, over_incumbent=report.get("over_incumbent", False)
        )
        table.add_row(name, value, interval, number_text(metric["bar"]), VERDICT_WORDS[metric["verdict"]])
    if gate["metrics"]:
        console.print(table)
    console.print(f"{_judged_by(gate)}: [bold]{VERDICT_WORDS[gate['verdict']]}[/bold]. {sentence(gate['reason'])}")
    serving = ", ".join(f"{h}: {version_name(v) if v else 'the reference'}" for h, v in report["deployed"].items())
    console.print(f"Deployed now: {serving}.")
    if report.get("trial"):
        console.print(trial_event(report["trial"]))
    if report.get("waiting"):
        console.print(waiting_sentence(report["waiting"]))
        for item in report["waiting"].values():
            console.print(f"To do so: manage.py deploy {version_name(item['version'])}", soft_wrap=True)


def _print_charges(report: dict[str, Any], console: Console) -> None:
    for made in report["charged"]:
        console.print(f"Released {made['of']} of about {made['users']:,} people: {sentence(made['guarantee'])}")
    if not report["charged"]:
        console.print("Nobody was charged.")
    elif paid := paid_sentence({"loop": report.get("paid")}):
        console.print(paid)


def _judged_by(gate: dict[str, Any]) -> str:
    """Return who gave the verdict: the gate, or the trial of a version."""
    trial = gate.get("trial")
    return "Gate" if trial is None else f"Trial of {version_name(trial['version'])}"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _brief_text(name: str, did: dict[str, Any]) -> str:
    """Return the few facts of a stage that fit on one line."""
    return ", ".join(f"{key.replace('_', ' ')} {_fact(key, value)}" for key, value in stage_brief(name, did).items())


def _fact(key: str, value: Any) -> str:
    if key == "epsilon":
        return epsilon_text(value)
    if key == "exploration":
        return f"{value:.0%}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
