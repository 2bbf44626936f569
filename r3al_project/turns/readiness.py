"""Tell whether a turn has anything to do: whether its charge would take somebody, and whether training would make news."""

from __future__ import annotations

from typing import Any

from deployments.selectors.slots import incumbents_of, rollouts_now, slot_on_trial, trial_of, trial_span
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from privacy.models import Release
from privacy.services.releases.moments import moments_ready
from privacy.services.releases.trial import trial_ready
from training.models import ModelVersion
from training.selectors.evidence import trial_has_passed
from training.services.gate import EvaluationPlan


def turn_is_ready(*, loop_version: LoopVersion, parameters: dict[str, Any]) -> bool:
    """Return whether a turn could charge somebody now: for its trial, if a version is on trial, or else for training.

    While a rollout of the policy head goes on that turns do not judge, or a trial is paused, no turn is ready. A trial that
    passed waits for an operator, and nobody is charged for it again.

    Raises InputError for an epsilon or delta above the platform's limits.
    """
    budget = {"epsilon": parameters["epsilon"], "delta": parameters["delta"]}
    slot = slot_on_trial(loop_version.loop)
    if slot is None and rollouts_now().filter(slot__loop=loop_version.loop, slot__head=MAIN_HEAD).exists():
        return False  # what it would train could not be deployed, and what serves is about to change
    trial = None if slot is None else trial_of(slot)
    if slot is None or trial is None:
        return moments_ready(loop_version=loop_version, **budget)
    if trial_has_passed(trial.version):
        return False
    return trial_ready(loop_version=loop_version, span=trial_span(trial, slot.generation), **budget)


def nothing_to_train(*, release: Release, head: str | None) -> bool:
    """Return whether training again on a release would only repeat what was trained on it and judged.

    That holds for a head whose incumbent was trained on the release. It holds as well if the newest version that was trained on
    it was to beat the present incumbent, and waits for no evaluation.

    Args:
        head: the only head that the turn trains (None: all).
    """
    incumbents = incumbents_of(release.loop_version)
    heads = release.loop_version.spec.head_names if head is None else (head,)
    newest = {name: _newest(release, name) for name in heads}
    return all(_settled(release, version, incumbents, name) for name, version in newest.items())


def _newest(release: Release, head: str) -> ModelVersion | None:
    made = ModelVersion.objects.learned().filter(loop_version=release.loop_version, head=head, releases=release)
    return made.order_by("-number").first()


def _settled(release: Release, newest: ModelVersion | None, incumbents: dict[str, ModelVersion], head: str) -> bool:
    incumbent = incumbents.get(head)
    if incumbent is not None and incumbent.releases.filter(pk=release.pk).exists():
        return True
    if newest is None or newest.parent != incumbent:
        return False
    waits = EvaluationPlan({head: newest}, incumbents, 1.0).heads_to_evaluate()
    return not waits or newest.verdicts.filter(release__isnull=False).exists()
