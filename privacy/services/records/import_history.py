"""Compute features that an imported file lacks along each person's decisions, continuing from the stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from core.arrays import Floats
from loops.engine.rows.reader import RowMoment
from loops.engine.state.history import StateHistory
from loops.models import LoopVersion
from privacy.models import Choice, Decision
from privacy.selectors.keys import states_opened
from privacy.services.people.identity import person_key


class ImportHistory:
    """Compute feature values for the moments of a file, in order of person and time.

    A person's first moment continues from their last stored decision before it.
    """

    def __init__(self, loop_version: LoopVersion, columns: Sequence[int]) -> None:
        self._loop_version, self._head = loop_version, loop_version.spec.main_head
        self._timeline = StateHistory(loop_version.spec, columns)
        self._user = ""
        self._key: tuple[str, ...] = ()
        self._values = np.zeros(0)

    def place(self, moment: RowMoment) -> Floats:
        """Return the values of the computed features at ``moment``. Repeating a row does not advance them."""
        if (moment.user, moment.key) == (self._user, self._key):
            return self._values
        if moment.user != self._user:
            self._begin(moment.user, moment.time)
        self._user, self._key = moment.user, moment.key
        self._values = self._timeline.step(moment.time, moment.intervened)
        return self._values

    def _begin(self, user: str, before: datetime) -> None:
        self._timeline.begin()
        key = person_key(population=self._loop_version.spec.population, identifier=user)
        last = (
            Decision.objects.filter(
                loop_version=self._loop_version,
                person__population=self._loop_version.spec.population,
                person__key=key,
                decided_at__lt=before,
            )
            .order_by("-decided_at", "-id")
            .first()
        )
        if last is not None:
            intervened = (
                Choice.objects.filter(decision=last, head=self._head.name)
                .exclude(action=self._head.reference_index)
                .exists()
            )
            self._timeline.resume(states_opened([last])[last.pk], intervened, last.local_day)
