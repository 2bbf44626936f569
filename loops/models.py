"""Define the tables of loops and their versions. A version stores its TOML source unchanged and parses it on demand."""

from __future__ import annotations

from functools import cached_property

from django.db import models

from core.model_base import Created
from loops.engine.spec import LoopSpec


class Loop(Created):
    """Store one learning problem by name."""

    name = models.CharField(max_length=80, unique=True)

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
        """Return the validated specification, parsed once per instance."""
        from loops.engine.parse.loop import parse_loop

        return parse_loop(self.source, source=str(self))
