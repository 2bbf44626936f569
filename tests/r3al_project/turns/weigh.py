"""A stage in a file of its own, which reads what an earlier stage did."""

from __future__ import annotations

from jobs.handlers import JobContext
from r3al_project.turns.models import Turn
from r3al_project.turns.stage_protocol import Stage, Write, summary_of
from training.models import TrainingDataPool


def weigh(turn: Turn, context: JobContext) -> Write:
    """Weigh what this turn put into the pool."""
    chunks = TrainingDataPool.objects.filter(synthetic_job=summary_of(turn, "synthesize")["synthetic_job"])
    weight = sum(len(chunk.data) for chunk in chunks)
    return lambda: {"chunks": len(chunks), "bytes": weight}


WEIGH = Stage("weigh", "monitor", weigh, lambda s: f"The pool weighs {s['bytes']:,} bytes.", ("chunks", "bytes"))
