"""Define a stage of a turn: its parts, the write that ends it, and how it reads the summary of an earlier stage.

A stage in a file of its own imports this module, and the table in ``r3al_project.turns.stages`` imports that file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import Conflict
from jobs.handlers import JobContext
from jobs.queues import QUEUES
from r3al_project.turns.models import Turn
from r3al_project.turns.sentences import StageSummary

Write = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """One stage of a turn. Raises ValueError for a queue that no worker serves, and for a missing part.

    run: computes, and returns the write that ends the job with the stage's summary. The last stage's summary holds
        ``deployed`` and ``reason``, which become the turn's outcome and reason. With ``waiting``, an operator deploys.
    sentence: puts a summary into words for people.
    brief: the summary's keys that the report shows on one line.
    in_reason: whether the turn's reason repeats the sentence, so that a page shows only one of them.
    """

    name: str
    queue: str
    run: Callable[[Turn, JobContext], Write]
    sentence: Callable[[StageSummary], str]
    brief: tuple[str, ...]
    in_reason: bool = False

    def __post_init__(self) -> None:
        if self.queue not in QUEUES:
            raise ValueError(f"stage {self.name!r} has the unknown queue {self.queue!r}; use one of {QUEUES}")
        if not callable(self.run) or not callable(self.sentence) or not self.brief:
            raise ValueError(f"stage {self.name!r} lacks a part; give it run, sentence and brief")

    @property
    def job_kind(self) -> str:
        """Return the kind of the stage's jobs."""
        return f"turn.{self.name}"


def summary_of(turn: Turn, stage: str) -> dict[str, Any]:
    """Return the summary of an earlier stage of this turn. Raises Conflict for a stage that has not finished."""
    found = turn.stages.filter(name=stage).first()
    if found is None or not found.summary:
        raise Conflict(f"{turn} has no finished stage {stage!r}; run a new turn")
    return dict(found.summary)
