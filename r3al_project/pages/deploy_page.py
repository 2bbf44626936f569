"""The page that deploys a version or begins to try it, after a confirmation that names what speaks against it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from core.errors import Conflict
from core.sentences import sentence
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.selectors.harm import HarmReview, harm_review
from deployments.services.rollouts.exploration import exploration_with
from deployments.services.rollouts.full_rollout import Proposal, outdated, proposal_of
from deployments.services.rollouts.start import RolloutOptions, rollout_options
from privacy.models import Approval
from privacy.selectors.approvals import asks_sentences, waits_sentence
from privacy.services.approvals.accounts import operator_of
from r3al_project.pages.operator_views import Question, confirm, dashboard_view, done, require
from r3al_project.permissions import DEPLOY_VERSION, OVERRIDE_COMPARISON
from r3al_project.turns.guarded_acts import deploy_or_ask
from r3al_project.turns.rollout_sentences import CHOICES, begun_sentence
from r3al_project.turns.sentences import exploration_change
from training.models import ModelVersion
from training.selectors.versions import version_get


@dashboard_view
def deploy_version(request: HttpRequest, version: int) -> HttpResponse:
    """Ask how to deploy a version, then deploy it or begin to try it."""
    require(request, DEPLOY_VERSION)
    found = version_get(version)
    if request.method == "POST":
        return done(request, lambda: _deploy(request, found))
    proposal = proposal_of(found)
    options, harm = rollout_options(proposal), harm_review(found)
    against = [] if options.on_trial else [outdated(proposal), harm.objection]
    objections = [sentence(text) for text in against if text]

    def check() -> None:
        if options.refused:
            raise Conflict(options.refused)
        if objections and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Conflict(f"{' '.join(objections)} Your role does not allow to override this; start a new turn")

    return confirm(request, _question(proposal, options, harm, objections), check=check)


def _deploy(request: HttpRequest, version: ModelVersion) -> str:
    override = request.POST.get("override", "")
    if override:
        require(request, OVERRIDE_COMPARISON)
    made = deploy_or_ask(
        strategy=request.POST.get("strategy") or None,
        version=version,
        by=operator_of(request.user),
        reason="deployed from the dashboard",
        override=override,
    )
    if isinstance(made, Approval):
        return waits_sentence(made)
    return f"{begun_sentence(made)} From now on {made.slot.exploration_bp / BASIS_POINTS:.0%} of decisions explore."


def _question(proposal: Proposal, options: RolloutOptions, harm: HarmReview, objections: list[str]) -> Question:
    version, slot = proposal.version, proposal.slot
    explored = slot.exploration_bp if options.on_trial else exploration_with(slot=slot, version=version)
    change = exploration_change(slot.exploration_bp / BASIS_POINTS, explored / BASIS_POINTS)
    text = "If this version is proven harmful, it is taken back automatically."
    return Question(
        title=f"Deploy {version}?",
        text=f"Its trial passed. Its half of the people becomes everybody. {text}" if options.on_trial else text,
        button="Deploy",
        objections=objections,
        choices=[_choice(strategy, at) for at, strategy in enumerate(options.strategies)],
        notes=[
            f"Exploration {change}.",
            *map(sentence, harm.forgotten),
            *(asks_sentences(version.loop_version.loop, "override") if objections else []),
        ],
    )


def _choice(strategy: str, at: int) -> dict[str, Any]:
    label, text = CHOICES[strategy]
    return {"value": strategy, "label": label, "text": text, "checked": at == 0}
