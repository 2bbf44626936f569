"""Register generators. A new one takes a file of its own and one line here."""

from __future__ import annotations

from core.variant_registry import registry, variant_named
from training.engine.generators.protocol import Generator
from training.engine.generators.world_model import WorldModel

_LONGEST_NAME = 20  # characters, as in the column of synthetic jobs
WORLD_MODEL = "world_model"


def generator_table(*generators: Generator) -> dict[str, Generator]:
    """Return generators by name. Raises ValueError for one that lacks a part of the protocol."""
    return registry("generator", *generators, longest=_LONGEST_NAME, methods=("chunks",))


GENERATORS = generator_table(
    WorldModel(),
)


def generator_named(name: str) -> Generator:
    """Return the generator with this name. Raises InputError that lists the known names."""
    return variant_named("generator", GENERATORS, name)
