"""The care loop, served: in the database with its slots, and people with device tokens."""

from __future__ import annotations

from django.contrib.auth.models import User

from deployments.services.rollouts.slots import slots_seed
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import PersonAccount, Purpose
from privacy.services.people.authentication import forget_callers
from privacy.services.people.consent import consent_grant
from privacy.services.people.identity import people_get_or_create
from tests.factories.users import token_for

TOML = """
name = "care"
version = 1
decisions_per_day = 4
exploration = 0.2

[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
[features.place]
categories = ["home", "work"]
dynamics = "drift"
[features.gap]
bounds = [0, 1]
dynamics = "since_intervention"
step = 0.25

[heads.policy]
actions = ["wait", "talk", "walk"]
reference = "wait"
logging = [0.5, 0.25, 0.25]
[heads.tone]
actions = ["warm", "calm"]
reference = "warm"
logging = [0.5, 0.5]
when = "intervening"

[reward]
scale = 0.5
deadline = "DEADLINE"
default = 0.0
harmful_labels = ["dismissed"]

[availability]
RULES

[import.csv]
user = "who"
key = ["who", "at"]
time = "at"
missing = "drop"
next_state = "next_row_same_day"
label = "label"
reward = { total = "felt" }
[import.csv.heads]
policy = { action = "did", propensity = "p" }
tone = { action = "tone", propensity = "tone_p" }
"""
CONTEXT = {"mood": 0.25, "place": "home"}


def care_loop(
    *,
    rules: str = "",
    deadline: str = "24h",
    version: int = 1,
    trial: str = "always",
    features: str = "",
    rollout: str = "",
    silence: str = "",
) -> LoopVersion:
    """The loop in the database, its slots seeded with their references."""
    clear_policy_cache()
    forget_callers()
    text = TOML.replace("RULES", rules).replace("DEADLINE", deadline).replace("version = 1", f"version = {version}")
    text = text.replace("[features.gap]", f"{features}[features.gap]")
    text = text.replace("exploration = 0.2", f'exploration = 0.2\ntrial = "{trial}"')
    text = text.replace("[availability]", f"{rollout}[availability]")
    if silence:
        text = text.replace("[reward]", f'[reward]\nsilence = "{silence}"')
    made, _ = loop_add(text=text, source="care.toml")
    slots_seed(loop_version=made)
    return made


def people_named(names: list[str], *, consents: tuple[Purpose, ...]) -> list[int]:
    """Many people registered at once, without devices: their ids, in the order of the names."""
    found = people_get_or_create(population="people", identifiers=names)
    consent_grant(person_ids=sorted(found.values()), purposes=consents, source="test")
    return [found[name] for name in names]


def person(name: str, *, consents: tuple[Purpose, ...] = tuple(Purpose)) -> tuple[int, str]:
    """Somebody registered, with a device token: id and token."""
    pk = people_get_or_create(population="people", identifiers=[name])[name]
    if consents:
        consent_grant(person_ids=[pk], purposes=consents, source="test")
    user = User.objects.create_user(f"person-{name}")
    PersonAccount.objects.create(user=user, person_id=pk)
    return pk, token_for(user)
