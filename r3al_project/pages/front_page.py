"""The admin's front page: turns, deployed versions, gate verdicts with their reasons, and guarantees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Case, Count, Max, Prefetch, When, Window
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.html_format import NOT_ENOUGH_PEOPLE, duration_text, interval_plot, number_text
from core.sentences import sentence
from deployments.selectors.rollouts import with_rollouts
from deployments.selectors.slots import slots_in_use
from jobs.models import Job, JobState
from jobs.periodic_runs import runs_late
from loops.engine.heads import MAIN_HEAD
from privacy.models import Release, ReleaseState
from privacy.services.releases.moments import MOMENTS_KIND
from r3al_project.pages.operator_views import require
from r3al_project.permissions import VIEW_VERSIONS
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.rollout_progress import tried_words
from r3al_project.turns.sentences import paid_sentence
from r3al_project.turns.stage_protocol import Stage
from r3al_project.turns.stages import STAGES, stage_sentence
from training.models import LIVED, VERDICT_WORDS, GateVerdict, ModelMetric, ModelVersion, says_nothing
from training.selectors.metric_words import words_of_metric

_VERSIONS = 6
_TURNS = 3
_WAITING = 5
_VERDICTS = 2
# A sign stands beside each state's word, so that no state is shown by colour alone.
SIGNS = {
    "done": "✓", "deployed": "✓", "pass": "✓", "running": "●", "training": "●", "evaluating": "◐", "queued": "○",
    "waiting": "○", "kept": "=", "nothing_new": "=", "insufficient": "?", "archived": "–", "fail": "✕", "failed": "✕",
    "cancelled": "–", "not asked": "–",
}  # fmt: skip


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the template's context. Unfold calls this for the admin's index page. Only operators who may see models get it."""
    require(request, VIEW_VERSIONS)
    return context | {"title": "Front page"} | page_state()


def front_page_fragment(request: HttpRequest) -> HttpResponse:
    """Render the live part of the front page, which the page fetches every two seconds."""
    require(request, VIEW_VERSIONS)
    return render(request, "admin/front_page.html", page_state())


def page_state() -> dict[str, Any]:
    """Return the template context, in a bounded number of queries. It holds no data about a person and loads no array."""
    turns = turn_rows()
    slots = _slots()
    return {
        "turns": turns,
        "headline": _headline(turns),
        "late": runs_late(),
        "slots": slots,
        "versions": _versions(),
        "verdicts": _verdicts(),
        "waiting": Job.objects.filter(state=JobState.QUEUED).order_by("id")[:_WAITING],
    } | release_context()


def release_context() -> dict[str, Any]:
    """Return the latest release that policies learn from, and the count and latest of exports without a formal guarantee."""
    committed = Release.objects.filter(state=ReleaseState.COMMITTED).select_related("loop_version__loop")
    exports = committed.filter(formal_epsilon__isnull=True)
    last_export = exports.annotate(exports=Window(Count("pk"))).order_by("-id").first()
    return {
        "release": committed.filter(formal_epsilon__isnull=False, parameters__kind=MOMENTS_KIND)
        .order_by("-id")
        .first(),
        "exports": last_export.exports if last_export is not None else 0,
        "last_export": sentence(last_export.guarantee) if last_export is not None else "",
    }


def turn_rows() -> list[dict[str, Any]]:
    """Return the latest turn of each loop with all its stages, running turns first."""
    newest = Turn.objects.values("loop").annotate(last=Max("pk")).values("last")
    stages = Prefetch("stages", TurnStage.objects.select_related("job").order_by("id"))
    found = Turn.objects.filter(pk__in=newest).select_related("loop_version__loop").prefetch_related(stages)
    ordered = sorted(found, key=lambda t: (t.outcome != "running", -t.pk))[:_TURNS]
    return [
        {"turn": turn, "chip": chip_of(turn.outcome, turn.outcome_text), "stages": _stage_rows(turn)}
        for turn in ordered
    ]


def _stage_rows(turn: Turn) -> list[dict[str, Any]]:
    """Return every stage of the turn in order, including stages that have not begun."""
    begun = {stage.name: stage for stage in turn.stages.all()}
    return [_stage_row(stage, begun.get(name)) for name, stage in STAGES.items()]


def _stage_row(declared: Stage, stage: TurnStage | None) -> dict[str, Any]:
    row = {"name": declared.name, "in_reason": declared.in_reason}
    if stage is None:
        return row | {"state": "waiting", "sign": SIGNS["waiting"], "percent": 0, "text": "", "job": None}
    job = stage.job
    return row | {
        "state": job.state,
        "sign": SIGNS[job.state],
        "percent": 100 if job.state == JobState.DONE else round(100 * job.progress),
        "took": duration_text(stage.seconds) if stage.seconds is not None else "",
        "text": stage_sentence(stage.name, stage.summary) or job.error or job.message,
        "paid": paid_sentence(stage.summary),
        "job": job,
    }


def _headline(turns: list[dict[str, Any]]) -> str:
    """Return one sentence about current activity. Screen readers announce only this part when it changes."""
    for row in turns:
        for stage in row["stages"]:
            if row["turn"].outcome == "running" and stage["state"] in ("running", "queued"):
                return f"{row['turn'].loop_version.loop.name}: {stage['name']} is {stage['state']}."
    return "Nothing is running." if turns else "No turn has run yet."


def _slots() -> list[dict[str, Any]]:
    found = slots_in_use().select_related("loop", "stable", "candidate").defer("stable__weights", "candidate__weights")
    return [
        {"slot": slot, "learned": slot.stable.is_learned, "percent": f"{slot.weight_bp / 100:g}%"}
        for slot in found.order_by("loop__name", "id")
    ]


def _versions() -> list[dict[str, Any]]:
    verdicts = Prefetch("verdicts", GateVerdict.objects.order_by("attempt"))
    learned = with_rollouts(ModelVersion.objects.learned().select_related("loop_version__loop"))
    rows = []
    for version in main_first(learned.defer("weights").prefetch_related(verdicts).order_by("-id")[:_VERSIONS]):
        last = next(reversed(version.verdicts.all()), None)
        answer = last.verdict if last else "not asked"
        state = state_chip(version)
        rows.append({"version": version, "state": state, "gate": chip_of(answer, VERDICT_WORDS[answer])})
    return rows


def main_first(versions: Iterable[ModelVersion]) -> list[ModelVersion]:
    """Sort the policy head's versions first, because the other heads act only when the policy intervenes."""
    return sorted(versions, key=lambda version: version.head != MAIN_HEAD)


def _verdicts() -> list[dict[str, Any]]:
    """Return the latest verdicts with their metrics. The policy head comes first, because a turn's outcome depends on it."""
    judged_versions = Prefetch("version", ModelVersion.objects.select_related("loop_version__loop").defer("weights"))
    metrics = Prefetch("version__metrics", ModelMetric.objects.exclude(source=LIVED).order_by("id"))
    heads = GateVerdict.objects.values("version__loop_version__loop", "version__head").annotate(last=Max("pk"))
    main = Case(When(version__head=MAIN_HEAD, then=0), default=1)
    found = GateVerdict.objects.filter(pk__in=heads.values("last")).order_by(main, "-pk")[:_VERDICTS]
    return [
        {
            "verdict": verdict,
            "chip": chip_of(verdict.verdict, VERDICT_WORDS[verdict.verdict]),
            "metrics": [metric_row(metric) for metric in verdict.version.metrics.all()],
        }
        for verdict in found.prefetch_related(judged_versions, metrics)
    ]


def metric_row(metric: ModelMetric) -> dict[str, Any]:
    """Return one metric of a gate, as the pages list it."""
    return {
        "name": words_of_metric(metric, over_incumbent=metric.version.parent_id is not None),
        "estimate": estimate(metric.name, metric.value, metric.low, metric.high),
        "threshold": number_text(metric.threshold),
        "plot": interval_plot(None if metric.too_few else metric.value, metric.low, metric.high, metric.threshold),
        "chip": chip_of(metric.verdict, VERDICT_WORDS[metric.verdict]),
    }


def estimate(name: str, value: float | None, low: float | None, high: float | None) -> str:
    """Return a metric's value with its interval, or a note that too few people contributed."""
    if value is None or says_nothing(name, low, high):
        return NOT_ENOUGH_PEOPLE
    return (
        f"{number_text(value)} ({number_text(low)} to {number_text(high)})" if low is not None else number_text(value)
    )


def state_chip(version: Any) -> dict[str, str]:
    """Return the chip of the state of a version that ``with_rollouts`` read."""
    if version.tried_by:
        return chip_of("running", tried_words(version.tried_by, version.tried_state, version.tried_bp))
    return chip_of(version.state, version.get_state_display())


def chip_of(state: str, words: str) -> dict[str, str]:
    """Return the chip of a state, with its sign and words."""
    return {"state": state.replace(" ", "-"), "sign": SIGNS.get(state, "•"), "words": words}
