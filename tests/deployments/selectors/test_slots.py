"""The explored share is published with a release, so it follows from acts of operators and from nobody's rows."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from knox.models import AuthToken

from deployments.models import ServingSlot
from deployments.selectors.slots import explored_share
from loops.models import LoopVersion
from privacy.models import ServedDecision
from privacy.services.people.identity import people_get_or_create
from r3al_project.ops.roles import roles_sync
from tests.factories.care import care_loop
from tests.factories.decisions import serve_many
from tests.factories.users import service_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    version = care_loop()
    ServingSlot.objects.update(exploration_bp=2_500)
    return version


def test_no_row_of_a_person_moves_it(loop: LoopVersion) -> None:
    for serves, share in ((False, 1.0), (True, 0.25)):
        if serves:
            service_token()
        assert explored_share(loop) == share
        people = people_get_or_create(population=loop.spec.population, identifiers=[f"ann {serves}"])
        serve_many(loop, list(people.values()))
        assert ServedDecision.objects.exists() and explored_share(loop) == share


def test_a_role_opens_the_door_as_a_permission_does(loop: LoopVersion) -> None:
    roles_sync()
    service = User.objects.create_user("backend")
    service.groups.add(Group.objects.get(name="Service"))
    assert explored_share(loop) == 0.25
    User.objects.update(is_active=False)
    assert explored_share(loop) == 1.0


def test_a_superuser_counts_with_a_token(loop: LoopVersion) -> None:
    boss = User.objects.create_superuser("boss")
    assert explored_share(loop) == 1.0
    AuthToken.objects.create(boss)
    assert explored_share(loop) == 0.25
