"""What a version is a function of: its release, the rounds pooled with it, and what its parent had learned."""

from __future__ import annotations

import pytest

from privacy.models import Release
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned
from training.services.train import TrainedHead, source_releases


@pytest.mark.django_db
@pytest.mark.parametrize(("head", "parent_counts"), [("policy", True), ("tone", False)])
def test_policy_is_a_function_of_what_served_and_the_other_heads_are_not(head: str, parent_counts: bool) -> None:
    loop = care_loop()
    before, pooled, made = (
        Release.objects.create(
            key=key, loop_version=loop, purpose="training", technique="differential_privacy", mechanism="m", policy_cost=1,
            guarantee="g",
        )
        for key in ("before", "pooled", "made")
    )  # fmt: skip
    made.parameters = {"earlier": [pooled.pk]}
    parent = learned(loop, "policy", ALWAYS_WALK)
    parent.releases.set([before])
    trained = TrainedHead(head=head, arrays={}, config={}, gates={})
    expected = {made.pk, pooled.pk} | ({before.pk} if parent_counts else set())
    assert source_releases(made, trained, parent) == expected
    assert source_releases(made, trained, None) == {made.pk, pooled.pk}
