"""A registry is whole when it is imported: what cannot be used is refused before anybody could be charged for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from core.errors import InputError
from core.variant_registry import registry, variant_named
from training.engine.trainers.registry import FITTED_Q, POLICY_TRAINERS, policy_trainer_table


@dataclass(frozen=True)
class Variant:
    name: str = "plain"

    def run(self) -> int:
        return 1


def test_variants_are_found_by_name() -> None:
    table = registry("kind", Variant(), Variant("other"), longest=10, methods=("run",))
    assert list(table) == ["plain", "other"] and variant_named("kind", table, "other").run() == 1
    with pytest.raises(InputError, match="there is no kind 'none'; choose one of: plain, other"):
        variant_named("kind", table, "none")


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ((Variant,), "Variant is a class; register an instance"),
        ((Variant(), Variant()), "two entries are registered as kind 'plain'"),
        ((Variant("No"),), "needs a name"),
        ((Variant("x" * 11),), "needs a name of at most 10"),
    ],
)
def test_what_cannot_be_used_is_refused(variants: tuple[Variant, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        registry("kind", *variants, longest=10)


def test_a_variant_that_lacks_a_method_is_refused() -> None:
    with pytest.raises(ValueError, match="has no method fly"):
        registry("kind", Variant(), longest=10, methods=("run", "fly"))


def test_a_trainer_that_tries_no_discount_is_refused() -> None:
    with pytest.raises(ValueError, match="tries no discount"):
        policy_trainer_table(replace(POLICY_TRAINERS[FITTED_Q], gammas=()))
