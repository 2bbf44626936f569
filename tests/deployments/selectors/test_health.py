"""What a health check reads of people's weeks: sums within the loop's bounds, also those that were stored without one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments.models import Deployment, EvidenceUnit, EvidenceWeek
from deployments.selectors.health import epoch_number, evidence_of
from deployments.selectors.slots import slot_for
from loops.engine.reward import largest_total
from privacy.services.people.data_keys import ciphers
from tests.factories.care import care_loop, person
from tests.factories.versions import ALWAYS_WALK, learned, serve

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("total", [1e300, -1e300])
def test_a_stored_sum_beyond_the_bound_of_its_totals_counts_as_that_bound(total: float) -> None:
    loop = care_loop()
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    Deployment.objects.update(created_at=timezone.now() - timedelta(weeks=2))
    slot, deployment = slot_for(loop.loop, "policy"), Deployment.objects.get()
    people = [person(f"w{i}")[0] for i in range(2)]
    ciphers(people)  # they have keys
    for who, reward in zip(people, (total, 0.5), strict=True):
        EvidenceUnit.objects.create(
            slot=slot, version=version, data_key_id=who, epoch=epoch_number(deployment, 1), decisions=4, interventions=2,
            rewarded=4, reward_sum=reward, first_exposed_at=deployment.created_at, closes_at=deployment.created_at,
        )  # fmt: skip
    EvidenceWeek.objects.create(deployment=deployment, week=1)
    means = evidence_of(slot, loop.spec).weeks.reward.person_means(ours=True)
    largest = largest_total(loop.spec)
    assert sorted(means.tolist()) == sorted([largest if total > 0 else -largest, 0.125])
