"""Apprenticeships in the care loop, and apps that live decisions through the API with a choice of their own."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from django.utils import timezone

from deployments.models import Deployment
from deployments.services.rollouts.start import rollout_start
from deployments.services.serving.policy_cache import clear_policy_cache
from privacy.models import Purpose, ServedDecision
from privacy.services.records.close_outcomes import outcomes_close
from tests.factories.care import people_named
from tests.factories.users import service_token
from tests.r3al_project.api.api_calls import ask, post
from training.models import ModelVersion

App = Callable[[float, int], str | None]  # mood and number of a decision -> the app's own choice, None: it sends none


def apprentice(version: ModelVersion, **more: Any) -> Deployment:
    """The version beside the app, whose own choices are served from now on."""
    made = rollout_start(strategy="apprentice", version=version, actor="ann", reason="look at the app first", **more)
    clear_policy_cache()
    return made


def people_live(
    app: App, *, people: int = 12, each: int = 10, token: str = "", first: str = "r"
) -> list[dict[str, Any]]:
    """Answers to an app that asks for people in turning moods. A walk is what pleases them. All outcomes close."""
    token, answers = token or service_token(), []
    people_named([f"p{i}" for i in range(people)], consents=(Purpose.PERSONALIZATION,))
    for i in range(people):
        for n in range(each):
            mood = ((7 * n + 3 * i) % 20) / 10 - 0.95
            own = app(mood, each * i + n)
            more = {} if own is None else {"ownChoice": {"policy": own}}
            told = ask(token, f"{first}{i}-{n}", context={"mood": mood, "place": "home"}, userId=f"p{i}", **more).told
            felt = 0.8 if told["actions"]["policy"]["action"] == "walk" else 0.0
            said = {"rewardId": "w", "userId": f"p{i}", "components": {"sentiment": felt}}
            post(f"/api/v1/optima/decisions/{told['decisionId']}/rewards", token, said)
            answers.append(told)
    ServedDecision.objects.filter(closed_at__isnull=True).update(closes_at=timezone.now())
    outcomes_close()
    return answers


def walks_in_a_good_mood(mood: float, number: int) -> str:
    """An app with a rule: it walks in a good mood and waits otherwise."""
    return "walk" if mood > 0 else "wait"


def walks_by_chance(mood: float, number: int) -> str:
    """An app that varies by itself: two of five times it walks, whatever the mood."""
    return "walk" if Random(number).random() < 0.4 else "wait"
