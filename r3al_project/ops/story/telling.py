"""Print the story while it is lived: a line for each chapter and event, and figures that move."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import date

from rich.status import Status

from r3al_project.turns.models import Turn
from r3al_project.turns.progress_view import ProgressView
from r3al_project.turns.run_in_process import turn_run_watched

_DAYS_A_LINE = 7  # where nothing can move, as in a pipe


class Teller:
    """Print to standard error. In a terminal the figures move in place; a file or a pipe gets a plain line each week."""

    def __init__(self) -> None:
        """Begin without figures."""
        self.view = ProgressView()
        self._status: Status | None = None

    def chapter(self, number: int, of: int, title: str) -> None:
        """Begin a chapter."""
        self.say(f"\nChapter {number} of {of}: {title}")

    def say(self, text: str) -> None:
        """Print one line."""
        if self.view.console.is_terminal:
            self.view.say(text)
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def follow(self, turn: Turn) -> Turn:
        """Run a turn while its progress is shown."""
        return turn_run_watched(turn, self.view)

    def lived(self, day: int, today: date, people: int, decisions: int) -> None:
        """Show the figures of a day that was lived."""
        text = f"  {today:%d %B %Y}, day {day}: {people:,} people, {decisions:,} decisions"
        if self._status is not None:
            self._status.update(text.strip())
        elif day % _DAYS_A_LINE == 0:
            self.say(text)

    @contextlib.contextmanager
    def days(self) -> Iterator[None]:
        """Let the figures move while the block lasts."""
        if not self.view.console.is_terminal:
            yield
            return
        with self.view.console.status("the days pass") as self._status:
            try:
                yield
            finally:
                self._status = None
