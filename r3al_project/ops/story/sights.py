"""Name five things to look at after the story. Each page is opened once before its address is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from core.errors import NotFound
from deployments.models import AbExperiment, Incident
from deployments.selectors.slots import slot_for
from loops.engine.heads import MAIN_HEAD
from loops.models import Loop

_HTTP_OK = 200


@dataclass(frozen=True)
class Sight:
    """A page with something to show, and what that is."""

    what: str
    path: str


def sights_of(loop: Loop) -> list[Sight]:
    """Return what there is to look at. What did not happen is not shown."""
    slot = slot_for(loop, MAIN_HEAD)
    return [
        Sight("the timeline: which version served when, why, and by whom", reverse("timeline", args=[slot.pk])),
        *_incident(),
        *_comparison(),
        Sight("what people paid in privacy, and what they still may", reverse("privacy-page")),
        Sight("the Trust Vault, where every act is recorded", reverse("admin:privacy_vaultevent_changelist")),
    ]


def _incident() -> Iterator[Sight]:
    incident = Incident.objects.order_by("-harmful", "-pk").first()
    if incident is not None:
        what = "the incident: what was taken back by itself" if incident.harmful else "why a rollout was stopped"
        yield Sight(what, reverse("admin:deployments_incident_change", args=[incident.pk]))


def _comparison() -> Iterator[Sight]:
    test = AbExperiment.objects.order_by("-pk").first()
    if test is not None:
        page = reverse("admin:deployments_abexperiment_change", args=[test.pk])
        yield Sight("the A/B test: two versions side by side", page)


def sights_check(sights: list[Sight], operator: str) -> None:
    """Open each page as the operator. Raises NotFound for one that does not open."""
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(get_user_model().objects.get(username=operator))
    for sight in sights:
        status = client.get(sight.path).status_code
        if status != _HTTP_OK:
            raise NotFound(f"{sight.path} ({sight.what}) answers {status}; please report this with the lines above")
    client.logout()
