"""Operators by name, a loop that asks for a second one, and acts on it that wait."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group, User
from django.core.management import call_command

from deployments.models import Deployment
from loops.engine.spec import GUARDED_ACTS
from loops.models import LoopVersion
from privacy.models import Approval
from privacy.services.approvals.second_operator import OperatorAccount
from r3al_project.turns.guarded_acts import deploy_or_ask
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve
from training.models import ModelVersion

PASSWORD = "a long pass phrase"


def operator(name: str, role: str = "Operator") -> OperatorAccount:
    """Somebody with a role, who is staff and has a password."""
    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    user.set_password(PASSWORD)
    user.save()
    call_command("roles")
    user.groups.add(Group.objects.get(name=role))
    return OperatorAccount(name, user.pk)


def approvals_declared(acts: Iterable[str] = GUARDED_ACTS) -> str:
    """The section of a loop file that asks for a second operator."""
    return f"[approvals]\nsecond_operator = [{', '.join(repr(act) for act in acts)}]\n"


def guarded_loop(acts: Iterable[str] = GUARDED_ACTS, *, version: int = 1, rollout: str = "") -> LoopVersion:
    """The care loop, which asks for a second operator."""
    return care_loop(rollout=rollout + approvals_declared(acts), version=version)


def outdated_version(loop: LoopVersion) -> ModelVersion:
    """A version that passed against another policy than the one deployed now, so that deploying it overrides that."""
    made = judged(learned(loop, "policy", ALWAYS_WALK))
    serve(judged(learned(loop, "policy", TALK_IN_A_GOOD_MOOD)))
    return made


def waiting_override(version: ModelVersion, by: OperatorAccount) -> Approval:
    """The request of an operator to deploy a version all the same."""
    asked = override(version, by)
    assert isinstance(asked, Approval), asked
    return asked


def override(version: ModelVersion, by: OperatorAccount) -> Deployment | Approval:
    """What becomes of an operator's override."""
    return deploy_or_ask(
        version=version, by=by, reason="deployed by an operator", strategy="full_rollout", override="I know better"
    )
