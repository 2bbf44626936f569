"""A worker of shadows whose thread never starts, so that a test says when it works."""

from __future__ import annotations

import pytest

from deployments.services.serving import latency, shadow
from deployments.services.serving.shadow import ShadowWorker, TimeBudget
from deployments.services.serving.shadow_figures import ShadowFigures


class WorkedByHand(ShadowWorker):
    """It may work all the time, and a second ahead of it."""

    def __init__(self, figures: ShadowFigures) -> None:
        super().__init__(figures)
        self._budget = TimeBudget(1.0, 1.0)

    def started(self) -> None:
        return None

    def work_through(self) -> None:
        while self.work():
            pass
        self.figures.write()


def worked_by_hand(patch: pytest.MonkeyPatch) -> WorkedByHand:
    """The worker of this process from now on. A thread could write after the test, or wait for its transaction.

    Latencies stay counted too, because those of an earlier test would be about a loop that is gone.
    """
    patch.setattr(latency, "_counts", {})
    patch.setattr(latency, "_written", float("inf"))
    worker = WorkedByHand(ShadowFigures())
    patch.setattr(shadow, "_worker", worker)
    return worker
