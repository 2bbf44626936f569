"""Register trainers. A new one takes a file of its own and one line here."""

from __future__ import annotations

from core.variant_registry import registry, variant_named
from training.engine.trainers.conservative_update import best_update
from training.engine.trainers.contextual_bandits import learn_sub_head
from training.engine.trainers.fitted_q import GAMMAS, best_candidate, train_candidates
from training.engine.trainers.protocol import HeadTrainer, PolicyTrainer

_LONGEST_NAME = 40  # characters
FITTED_Q, CONTEXTUAL_BANDITS = "fitted_q", "contextual_bandits"
LINEAR_Q = "linear_q"  # the kind of version that both make: a linear function of the features for each action


def policy_trainer_table(*trainers: PolicyTrainer) -> dict[str, PolicyTrainer]:
    """Return trainers of the policy head by name. Raises ValueError for one that lacks a part."""
    table = registry("trainer of policy", *trainers, longest=_LONGEST_NAME, methods=("train", "choose", "update"))
    if idle := [name for name, trainer in table.items() if not trainer.gammas]:
        raise ValueError(f"trainer of policy {', '.join(idle)} tries no discount; give gammas at least one")
    return table


def head_trainer_table(*trainers: HeadTrainer) -> dict[str, HeadTrainer]:
    """Return trainers of the other heads by name. Raises ValueError for one that lacks a part."""
    return registry("trainer of heads", *trainers, longest=_LONGEST_NAME, methods=("train",))


POLICY_TRAINERS = policy_trainer_table(
    PolicyTrainer(
        FITTED_Q, kind=LINEAR_Q, gammas=GAMMAS, train=train_candidates, choose=best_candidate, update=best_update
    ),
)
HEAD_TRAINERS = head_trainer_table(
    HeadTrainer(CONTEXTUAL_BANDITS, kind=LINEAR_Q, train=learn_sub_head),
)


def policy_trainer_named(name: str) -> PolicyTrainer:
    """Return the policy head's trainer with this name. Raises InputError that lists the known names."""
    return variant_named("trainer of policy", POLICY_TRAINERS, name)


def head_trainer_named(name: str) -> HeadTrainer:
    """Return the trainer of the other heads with this name. Raises InputError that lists the known names."""
    return variant_named("trainer of heads", HEAD_TRAINERS, name)
