"""Register generators. A new one takes a file of its own and one line here."""

from __future__ import annotations

from core.variant_registry import registry, variant_named
from training.engine.generators.autoregressive import Autoregressive
from training.engine.generators.diffusion import Diffusion
from training.engine.generators.gan import Gan
from training.engine.generators.mixture import Mixture
from training.engine.generators.of_transitions import OfTransitions
from training.engine.generators.protocol import Generator, TransitionSource
from training.engine.generators.rule_based import RuleBased
from training.engine.generators.vae import Vae
from training.engine.generators.world_model import WorldModel

_LONGEST_NAME = 20  # characters, as in the column of synthetic jobs
WORLD_MODEL = "world_model"


def table_generator_table(*generators: Generator) -> dict[str, Generator]:
    """Return generators of tables by name. Raises ValueError for one that lacks a part of the protocol."""
    return registry("generator", *generators, longest=_LONGEST_NAME, methods=("fit", "load"))


def generator_table(*generators: TransitionSource) -> dict[str, TransitionSource]:
    """Return generators of transitions by name. Raises ValueError for one that lacks a part of the protocol."""
    return registry("generator", *generators, longest=_LONGEST_NAME, methods=("chunks",))


TABLE_GENERATORS = table_generator_table(
    RuleBased(),
    Mixture(),
    Vae(),
    Diffusion(),
    Autoregressive(),
    Gan(),
)
GENERATORS = generator_table(
    WorldModel(),
    *(OfTransitions(generator) for generator in TABLE_GENERATORS.values()),
)


def table_generator_named(name: str) -> Generator:
    """Return the generator of tables with this name. Raises InputError that lists the known names."""
    return variant_named("generator", TABLE_GENERATORS, name)


def generator_named(name: str) -> TransitionSource:
    """Return the generator of transitions with this name. Raises InputError that lists the known names."""
    return variant_named("generator", GENERATORS, name)
