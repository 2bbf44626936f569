"""A worker of shadows whose thread never starts, so that a test says when it works."""

from __future__ import annotations

import pytest

from deployments.services.serving import shadow
from deployments.services.serving.shadow import ShadowWorker
from deployments.services.serving.shadow_figures import ShadowFigures


class WorkedByHand(ShadowWorker):
    def started(self) -> None:
        return None

    def work_through(self) -> None:
        while self.work():
            pass
        self.figures.write()


def worked_by_hand(patch: pytest.MonkeyPatch) -> WorkedByHand:
    """The worker of this process from now on. A thread could write after the test, or wait for its transaction."""
    worker = WorkedByHand(ShadowFigures())
    patch.setattr(shadow, "_worker", worker)
    return worker
