"""Run the last stage of a turn: deploy what passed, begin or end a trial, or leave both to an operator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction

from core.errors import Conflict
from core.sentences import sentence
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment
from deployments.selectors.harm import forgotten_harm
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.exploration import exploration_settle
from deployments.services.rollouts.slots import slots_lock
from deployments.services.rollouts.start import rollout_start, strategy_wanted
from jobs.handlers import JobContext
from loops.engine.heads import MAIN_HEAD
from privacy.services.releases.moments import releases_before
from r3al_project.turns.models import Turn
from r3al_project.turns.sentences import exploration_sentence, logging_sentence, waiting_sentence
from r3al_project.turns.stage_protocol import Write, summary_of
from r3al_project.turns.trials import TrialEnd, begin_trial, conclude_trial, is_to_be_tried
from training.models import VERDICT_WORDS, ModelVersion


def deploy(turn: Turn, context: JobContext) -> Write:
    """Deploy every head whose gate passed, or begin a trial of an undecided or a first policy. Otherwise the incumbents stay.

    The policy head is deployed first, because the others act only when a learned policy intervenes. While a version is on trial,
    its verdict ends the trial or lets it go on. If the turn deploys by hand, it only says what waits for an operator. A trial
    that fails ends all the same.
    """
    gate, versions = summary_of(turn, "evaluate"), versions_of_turn(turn)

    def write() -> dict[str, Any]:
        slots_lock(turn.loop)
        before = slot_for(turn.loop, MAIN_HEAD).exploration_bp / BASIS_POINTS
        ended = conclude_trial(turn, gate) if "trial" in gate else _end(turn, gate, versions)
        return ended | _explored(turn, before, ended)

    return write


def versions_of_turn(turn: Turn) -> dict[str, ModelVersion]:
    """Return the versions that the turn trained or took over, by head."""
    ids = summary_of(turn, "train")["versions"]
    found = ModelVersion.objects.select_related("loop_version__loop").in_bulk(ids.values())
    return {head: found[pk] for head, pk in ids.items()}


def _end(turn: Turn, gate: dict[str, Any], versions: dict[str, ModelVersion]) -> dict[str, Any]:
    verdicts = {_lead(versions): gate, **gate.get("heads", {})}
    passed = _passed(turn, verdicts, versions)
    main = versions.get(MAIN_HEAD) if turn.parameters.get("head") in (None, MAIN_HEAD) else None
    is_tried = main is not None and is_to_be_tried(main)
    if turn.deploys_by_hand and (passed or is_tried):
        strategies = ({MAIN_HEAD: strategy_wanted(main)} if main and is_tried else {}) | dict.fromkeys(
            passed, FULL_ROLLOUT
        )
        ended = _wait(turn, verdicts, versions, strategies)
        chosen = list(strategies)
    else:
        ended = _deploy(turn, verdicts, {head: versions[head] for head in passed}, main)
        chosen = [*ended["versions"], *([MAIN_HEAD] if "trial" in ended else [])]
    forgotten = [note for head in chosen for note in forgotten_harm(versions[head])]
    return ended | {"reason": " ".join([ended["reason"], *map(sentence, forgotten)])}


def _passed(turn: Turn, verdicts: Mapping[str, Any], versions: Mapping[str, ModelVersion]) -> list[str]:
    """Return the heads to deploy, the policy head first. A policy that is to be tried is not one of them."""
    wanted, spec = turn.parameters.get("head"), turn.loop_version.spec
    passed = [h for h in versions if verdicts[h]["verdict"] == "pass" and wanted in (None, h)]
    if MAIN_HEAD in passed and is_to_be_tried(versions[MAIN_HEAD]):  # the other heads follow once it serves
        passed = [h for h in passed if h != MAIN_HEAD and spec.head(h).when == "always"]
    return [head.name for head in spec.heads_main_first if head.name in passed]


def _wait(
    turn: Turn, verdicts: dict[str, Any], versions: Mapping[str, ModelVersion], strategies: Mapping[str, str]
) -> dict[str, Any]:
    """Return the summary of a turn that leaves it to an operator to deploy or to try its versions.

    strategies: for each head whose version waits, how it would be deployed.
    """
    waiting = {head: {"version": versions[head].pk, "strategy": strategy} for head, strategy in strategies.items()}
    reason = f"{_reason(turn, verdicts, list(waiting))} {waiting_sentence(waiting)}"
    return {"deployed": False, "deployments": {}, "versions": {}, "waiting": waiting, "reason": reason}


def _deploy(
    turn: Turn, verdicts: dict[str, Any], passed: Mapping[str, ModelVersion], main: ModelVersion | None
) -> dict[str, Any]:
    """Deploy the heads that passed, and begin a trial of the policy candidate ``main`` if it is to be tried (None: not asked)."""
    deployed, refusals = dict[str, Deployment](), list[str]()
    for head, version in passed.items():
        try:
            with transaction.atomic():
                deployed[head] = rollout_start(
                    strategy=FULL_ROLLOUT, version=version, actor=f"turn {turn.pk}", reason=verdicts[head]["reason"]
                )
        except Conflict as error:
            refusals.append(sentence(f"Not deployed: {error}"))
    trial = TrialEnd() if main is None else begin_trial(turn, main)
    return {
        "deployed": bool(deployed),
        "deployments": {h: d.pk for h, d in deployed.items()},
        "versions": {h: d.version_id for h, d in deployed.items()},
        "reason": " ".join(filter(None, [_reason(turn, verdicts, list(deployed)), *refusals, trial.text])),
    } | trial.summary()


def _lead(heads: Iterable[str]) -> str:
    """Return the head that the turn's verdict is about: policy, or the only head that was trained."""
    named = list(heads)
    return MAIN_HEAD if MAIN_HEAD in named else named[0]


def _reason(turn: Turn, verdicts: dict[str, Any], chosen: list[str]) -> str:
    """Return the reason of the turn's outcome. If the policy head did not pass, add the cost of exploring.

    chosen: the heads that are deployed, or that wait for an operator.
    """
    main = verdicts[_lead(verdicts)]
    if chosen:
        return sentence(f"{', '.join(chosen)}: {verdicts[chosen[0]]['reason']}")
    reason = sentence(f"{VERDICT_WORDS[main['verdict']]}: {main['reason']}")
    if main["verdict"] == "pass":
        return reason
    train = summary_of(turn, "train")
    told = logging_sentence(turn.loop_version.spec, train.get("logging_cost"), train.get("without_evidence", ()))
    return f"{reason} {told}".rstrip()


def _explored(turn: Turn, before: float, ended: dict[str, Any]) -> dict[str, Any]:
    """Settle the explored share, and say if the turn changed it. A deployment or a trial that begins may change it too."""
    spec, cost = turn.loop_version.spec, summary_of(turn, "train").get("logging_cost")
    undecided = len(releases_before(loop_version=turn.loop_version))  # each turn that read new outcomes made one
    settled = exploration_settle(loop_version=turn.loop_version, undecided=undecided, cost=cost)
    if settled.share == before:
        return {"exploration": settled.share}
    is_trial = ended.get("trial", {}).get("event") == "started"
    cause = settled.cause or ("tried" if is_trial else "deployed")
    text = exploration_sentence(spec, before, settled.share, cause, cost)
    fell = {"exploration_fell": cause} if settled.share < before else {}
    return {"exploration": settled.share, "reason": f"{ended['reason']} {text}"} | fell
