"""Define the tables of loops and their versions. A version stores its TOML source unchanged and parses it on demand."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache

from django.db import models

from core.model_base import Created
from loops.engine.spec import DEFAULT_POPULATION, LoopSpec


class Loop(Created):
    """Store one learning problem by name. Loops of one ``population`` share people, budgets and lifetimes."""

    name = models.CharField(max_length=80, unique=True)
    population = models.CharField(max_length=80, default=DEFAULT_POPULATION, db_default=DEFAULT_POPULATION)

    class Meta:
        db_table = "loops"

    def __str__(self) -> str:
        return self.name


class LoopVersion(Created):
    """Store one accepted TOML source of a loop. Versions are immutable: a change is a new version."""

    loop = models.ForeignKey(Loop, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    source = models.TextField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        db_table = "loop_versions"
        constraints = [
            models.UniqueConstraint(fields=["loop", "version"], name="loop_version_unique"),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="loop_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.loop.name} v{self.version}"

    @cached_property
    def spec(self) -> LoopSpec:
        """Return the validated specification. Instances of one version share it, because parsing takes milliseconds."""
        return _parsed(self.source, str(self), self.loop.population)


@lru_cache(maxsize=32)
def _parsed(source: str, name: str, population: str) -> LoopSpec:
    from loops.engine.parse.loop import parse_loop

    return replace(parse_loop(source, source=name), population=population)
