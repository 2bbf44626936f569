"""Eighty people whose records are to be anonymised, and a request for each technique."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from loops.models import LoopVersion
from loops.services import loop_add
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Decision, Person, PrivacyBudget, Release
from privacy.selectors.decisions import training_folds
from privacy.services.anonymize.run import anonymize
from tests.factories.decisions import decision
from tests.factories.loop_files import LOGGED
from tests.factories.people import UNIT, add_people

TOML = (
    """
name = "rows"
version = 1
decisions_per_day = 4
evaluation_share = 0.3

[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
bins = 4
[features.place]
categories = ["home", "office", "street"]
dynamics = "drift"
parents = { home = "indoors", office = "indoors", street = "outdoors" }

[heads.policy]
actions = ["wait", "talk"]
reference = "wait"
logging = [0.5, 0.5]

[reward]
scale = 0.5
deadline = "24h"
"""
    + LOGGED
)
PEOPLE, CAPS = 80, {"cap_day": 9 * UNIT, "cap_week": 9 * UNIT, "cap_month": 9 * UNIT}
CENTRAL = AnonymizeRequest("pulse", "differential_privacy", epsilon=1.0)
LOCAL = replace(CENTRAL, mode="local")
GROUPS = AnonymizeRequest("pulse", "k_anonymity", options={"k": 5})
TOO_MANY = replace(GROUPS, options={"k": PEOPLE + 1})
NAMES = AnonymizeRequest("interaction", "pseudonymization", options={"epoch": "spring"})
MARGINALS = replace(CENTRAL, mode="marginals")
COARSE = AnonymizeRequest("categorical", "generalization")
ALL = [CENTRAL, LOCAL, MARGINALS, GROUPS, NAMES, COARSE]


def make_world(*, declared: str = "") -> LoopVersion:
    """Eighty people of the training folds, each with two whole states: mood by person, place in turn."""
    version, _ = loop_add(text=TOML + declared, source="rows.toml")
    low, _ = training_folds(version.spec)
    ids = add_people(version, PEOPLE, first=low, decided=False, **CAPS)
    Person.objects.filter(pk__in=ids).update(population=version.spec.population)
    now = timezone.now()
    Decision.objects.bulk_create(
        decision(
            version, pk, [i / PEOPLE * 2 - 1, float((i + n) % 3)], now - timedelta(days=n), row_key=f"{pk}-{n}".encode()
        )
        for i, pk in enumerate(ids)
        for n in range(2)
    )
    return version


def run(version: LoopVersion, wanted: AnonymizeRequest, key: str = "one") -> Release:
    return anonymize(key=key, loop_version=version, request=wanted)


def spent() -> tuple[int, int]:
    budgets = PrivacyBudget.objects.values_list("spent_lifetime", "rho_spent")
    return sum(s for s, _ in budgets), sum(r for _, r in budgets)
