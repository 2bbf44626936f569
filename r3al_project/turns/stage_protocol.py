"""What a stage of a turn is: its parts, the write that ends it, and how it reads what an earlier stage did.

A stage in a file of its own imports this module, and the table in ``r3al_project.turns.stages`` imports that file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from core.errors import Conflict
from jobs.handlers import JobContext
from r3al_project.turns.models import Turn
from r3al_project.turns.sentences import StageSummary

Write = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """One stage of a turn, whole. Raises ValueError for a queue that no worker serves, and for a part that is missing.

    run: computes, and returns the write that ends the job with the stage's summary. The last stage's summary holds
    ``deployed`` and ``reason``, which become the turn's.
    sentence: says a summary to people. brief: the summary's keys that fit on a line of the report.
    in_reason: whether the turn's reason repeats the sentence, so that a page which shows the one leaves out the other.
    """

    name: str
    queue: str
    run: Callable[[Turn, JobContext], Write]
    sentence: Callable[[StageSummary], str]
    brief: tuple[str, ...]
    in_reason: bool = False

    def __post_init__(self) -> None:
        if self.queue not in settings.QUEUES:
            raise ValueError(f"stage {self.name!r} has the queue {self.queue!r}; take one of {settings.QUEUES}")
        if not callable(self.run) or not callable(self.sentence) or not self.brief:
            raise ValueError(
                f"stage {self.name!r} needs something to run, a sentence, and keys for a line of the report"
            )

    @property
    def job_kind(self) -> str:
        """What its jobs are called."""
        return f"turn.{self.name}"


def summary_of(turn: Turn, stage: str) -> dict[str, Any]:
    """Read what an earlier stage of this turn did. Raises Conflict for a stage that has not finished."""
    found = turn.stages.filter(name=stage).first()
    if found is None or not found.summary:
        raise Conflict(f"{turn} has no finished stage {stage!r}; run a new turn")
    return dict(found.summary)
