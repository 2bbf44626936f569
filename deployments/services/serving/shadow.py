"""Compute what a shadow would have chosen, after a decision is committed and never in its request.

Each web process has a short queue and one thread. A full queue drops decisions, and counts them. The thread has a budget of
time, so that a shadow takes hardly any from requests: a fiftieth of one processor, beyond which it rests. A failure of the shadow
is counted and goes nowhere else. A process that dies loses the last two seconds of figures, and no decision.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection

from deployments.engine.action_selection import HeadPolicy, choose_alone, greedy_action
from deployments.services.serving.latency import WRITE_SECONDS
from deployments.services.serving.policy_cache import ServedLoop, ShadowPolicy
from deployments.services.serving.shadow_figures import ShadowComparison, ShadowFigures
from privacy.engine.head_choice import HeadChoice
from privacy.services.records.serving_write import DecisionToWrite

log = logging.getLogger(__name__)
MOST_WAITING = 1_000  # decisions in the queue of one process
CHOICE_SECONDS = 0.05  # time budget of one choice, which takes some hundredths of a millisecond
_SHARE_OF_TIME = 0.02  # of one processor, which is about 500 choices a second
_BURST_SECONDS = 0.05  # how far the thread may be ahead of that share, so that it works for a millisecond at a time
_PAUSE_SECONDS, _IDLE_SECONDS = 0.05, 10.0  # between looks at an empty queue, and after which the thread ends


class ShadowTask(NamedTuple):
    """Hold what a shadow's choice needs: state, seed and exploration of the served decision, and its ``served`` choice."""

    shadow: ShadowPolicy
    state: Sequence[float]
    seed: bytes
    exploration: float
    served: HeadChoice


class TimeBudget:
    """Spend a share of the time that passes."""

    def __init__(self, share: float, burst: float) -> None:
        self._share, self._burst, self._paid_until = share, burst, 0.0

    def spend(self, seconds: float) -> None:
        """Spend seconds of work."""
        self._paid_until = max(self._paid_until, time.monotonic()) + seconds / self._share

    @property
    def is_spent(self) -> bool:
        """Tell whether to rest."""
        return self._paid_until - time.monotonic() > self._burst


class ShadowWorker:
    """Score decisions in a thread of its own, which starts with the first one and ends when there are no more."""

    def __init__(self, figures: ShadowFigures) -> None:
        self.figures = figures
        self._tasks: deque[ShadowTask] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._budget = TimeBudget(_SHARE_OF_TIME, _BURST_SECONDS)

    def offer(self, task: ShadowTask) -> None:
        """Put a decision in the queue, or drop it if the queue is full."""
        with self._lock:
            if len(self._tasks) < MOST_WAITING:
                self._tasks.append(task)
                if self._thread is None or not self._thread.is_alive():
                    self._thread = self.started()
                return
        self.figures.add_dropped(task.shadow.version)

    def started(self) -> threading.Thread | None:
        """Start the thread, and return it."""
        thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        thread.start()
        return thread

    def work(self) -> bool:
        """Score the oldest decision of the queue. Returns whether there was one, and time for it."""
        if self._budget.is_spent:
            return False
        try:
            task = self._tasks.popleft()
        except IndexError:
            return False
        began = time.perf_counter()
        self._score(task)
        self._budget.spend(time.perf_counter() - began)
        return True

    def _score(self, task: ShadowTask) -> None:
        version = task.shadow.version
        try:
            comparison, seconds = compare_choice(task)
        except Exception as error:  # whatever a shadow does, it is the shadow's failure and nobody else's
            log.debug("shadow %s failed: %s", version, type(error).__name__)
            self.figures.add_error(version)
            return
        self.figures.add_scored(version, seconds=seconds, budget=CHOICE_SECONDS, comparison=comparison)

    def _run(self) -> None:
        idle_since = written = time.monotonic()
        while True:
            worked, now = self.work(), time.monotonic()
            if now - written > WRITE_SECONDS:
                written = now
                self._write()
            if worked:
                idle_since = now
            elif self._tasks or now - idle_since < _IDLE_SECONDS:
                time.sleep(_PAUSE_SECONDS)
            elif self._ends():
                return

    def _write(self) -> None:
        try:
            self.figures.write()
        finally:
            connection.close()

    def _ends(self) -> bool:
        with self._lock:
            if self._tasks:
                return False
            self._thread = None
            return True


def compare_choice(task: ShadowTask) -> tuple[ShadowComparison, float]:
    """Compute the shadow's choice as it would have been served, and compare its greedy action with the stable version's.

    An apprentice's is compared with the app's own choice. Explored decisions draw their action from the same distribution
    whichever version serves, so the drawn actions always agree. Only the greedy ones tell both versions apart.

    Returns: the comparison, and the seconds that the shadow's choice took.
    Raises: ValueError when the shadow cannot serve the loop.
    """
    if task.shadow.policy is None:
        raise ValueError("the version cannot serve this loop")
    began = time.perf_counter()
    ours = _choice(task, task.shadow.policy)
    seconds = time.perf_counter() - began
    chosen, served = greedy_action(ours), _compared_action(task)
    return ShadowComparison(chosen == served, chosen != ours.reference, served != ours.reference), seconds


def _compared_action(task: ShadowTask) -> int:
    return task.served.action if task.served.is_the_apps else greedy_action(_stable_choice(task))


def _stable_choice(task: ShadowTask) -> HeadChoice:
    """Return the stable version's choice: the served one, or for a person in the holdback what it would have been."""
    served, stable = task.served, task.shadow.stable
    is_stable = (served.version, served.fallback) == (stable.version, stable.fallback)
    return served if is_stable else _choice(task, stable)


def _choice(task: ShadowTask, policy: HeadPolicy) -> HeadChoice:
    return choose_alone(policy, task.state, seed=task.seed, exploration=task.exploration, mask=task.served.eligible)


_worker = ShadowWorker(ShadowFigures())


def shadow_offer(serving: ServedLoop, decided: DecisionToWrite) -> None:
    """Let the loop's shadows decide as well, later and elsewhere. A head that did not act has nothing to compare.

    Nor has an apprentice where the app sent no choice of its own.
    """
    choices = {choice.head: choice for choice in decided.choices}
    for shadow in serving.shadows:
        choice = choices.get(shadow.head)
        if choice is not None and (choice.is_the_apps or not shadow.is_apprentice):
            _worker.offer(ShadowTask(shadow, decided.state, decided.seed, serving.exploration, choice))
