"""Cards of the training dashboard about turns that ended evaluated, and wait for an operator to deploy."""

from __future__ import annotations

from typing import Any

from django.db.models import Max

from deployments.engine.rollouts.strategies import AB_TEST, APPRENTICE, CANARY, SHADOW_TEST, TRIAL
from r3al_project.turns.models import Turn
from r3al_project.turns.selectors import left_to_operators, still_waits
from training.models import ModelVersion

_LABELS = {
    TRIAL: "Begin the trial",
    CANARY: "Begin the canary",
    AB_TEST: "Begin the A/B test",
    SHADOW_TEST: "Begin the shadow test",
    APPRENTICE: "Begin the apprenticeship",
}


def waiting_cards() -> list[dict[str, Any]]:
    """Return a card for the newest waiting turn of each loop, while a version of it can still be deployed."""
    newest = Turn.objects.filter(outcome=Turn.Outcome.WAITING).values("loop").annotate(last=Max("pk")).values("last")
    turns = Turn.objects.filter(pk__in=newest).select_related("loop_version__loop").order_by("-pk")
    cards = [{"turn": turn, "items": _items(turn)} for turn in turns]
    return [card for card in cards if card["items"]]


def _items(turn: Turn) -> list[dict[str, Any]]:
    """Return the versions of a turn that wait, those of the policy head first, as the turn named them."""
    left = left_to_operators(turn).values()
    versions = ModelVersion.objects.select_related("loop_version__loop").defer("weights")
    known = versions.in_bulk([item["version"] for item in left])
    return [
        {"version": known[item["version"]], "label": _LABELS.get(item["strategy"], "Deploy")}
        for item in left
        if item["version"] in known and still_waits(known[item["version"]])
    ]
