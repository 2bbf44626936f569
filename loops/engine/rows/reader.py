"""Convert a row of logged decisions (or of states to decide on) to values, as declared in the loop's import section.

This module knows nothing about files or people. A row is a mapping from column name to text. An unusable row raises
RowError, whose text names columns and never repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Literal

import numpy as np

from core.arrays import Floats
from core.errors import InputError
from core.identifiers import identifier_normalised
from loops.engine.rows.cells import RowError, is_missing, parse_flag, quoted_list
from loops.engine.rows.choices import ActionReader, LoggedChoice
from loops.engine.rows.features import Cells, feature_reader
from loops.engine.rows.outcomes import NO_REWARD, Note, OutcomeReader
from loops.engine.rows.region_axes import RegionAxis, region_axes
from loops.engine.rows.times import TimeReader, parse_time
from loops.engine.spec import Feature, LoopSpec

_COMPUTED = ("since_intervention", "recent_load", "clock")
_NEARLY = 0.8  # how alike a misspelt name is to the declared one (difflib)
_VALUE = re.compile(r"[-+]?\d")
_REMEMBERED_DAYS = 10_000
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """Hold one decision point. ``state`` is float64[F], NaN for features that the caller computes (``RowReader.computed``).

    ``reward`` is float64[7]: total, then the six components, NaN where not observed. ``reported`` is False where the loop's
    default stands in for it. ``harmful`` is None without a label.
    ``notes`` lists the values that were clamped, filled or ignored. With need="state" only ``state`` is meaningful. Where
    features are computed, so are ``user``, ``time`` and ``intervened``.
    """

    user: str
    key: tuple[str, ...]
    time: datetime
    state: Floats
    available: bool
    choices: Mapping[str, LoggedChoice]
    intervened: bool
    reward: Floats
    harmful: bool | None
    dropped_out: bool
    notes: tuple[Note, ...]
    reported: bool = True


@dataclass(frozen=True, slots=True)
class RowMoment:
    """Identify a decision point: person, row key, time, and whether there was an intervention."""

    user: str
    key: tuple[str, ...]
    time: datetime
    intervened: bool


Place = Callable[[RowMoment], Floats]


class RowReader:
    """Read the rows of one file. ``computed`` holds the indices of features that the file lacks and the caller computes.

    Args: columns: the columns of the file. need: "decision" reads whole decisions, "state" reads only states to decide on.
    Raises: InputError when the file lacks a required column.
    """

    def __init__(self, spec: LoopSpec, columns: Sequence[str], *, need: Literal["decision", "state"]) -> None:
        self._spec, self._imports = spec, spec.imports
        self._columns = frozenset(columns)
        self._whole = need == "decision"
        self.computed = tuple(
            i for i in spec.features_with(*_COMPUTED) if self._column(spec.features[i]) not in self._columns
        )
        self._check(columns)
        self._moments = self._whole or bool(self.computed)
        self._days: dict[str, bool] = {}
        self._time = TimeReader(spec)
        self._features = [
            (i, feature_reader(spec, f, self._column(f))) for i, f in enumerate(spec.features) if i not in self.computed
        ]
        self._policy = spec.main_head
        self._heads = [self._policy, *(h for h in spec.sub_heads if h.name in self._imports.heads)]
        self._actions = {h.name: ActionReader(spec, h) for h in self._heads if h.name in self._imports.heads}
        self.flags_explored = self._imports.explored is not None and self._imports.explored in self._columns
        self._outcome = OutcomeReader(spec)
        self._width = len(spec.features)

    def read(self, row: Cells, place: Place | None = None) -> LoggedRow:
        """Read the values of one row.

        Args: place: computes the values of the ``computed`` features at a moment. It is called for each row with a readable
        person, time and action. The rest of the row may be invalid, because the decision point still took place.
        Raises: RowError.
        """
        if not self._moments:
            notes: list[Note] = []
            state = self._state(row, notes)
            return LoggedRow("", (), _NO_TIME, state, True, {}, False, NO_REWARD, None, False, tuple(notes))
        (user, key, time), notes = self._identity(row), []
        available = self._flag(row, self._imports.available, True, required=True)
        choices = self._choices(row, available, notes)
        policy = choices.get(self._policy.name)
        intervened = policy is not None and policy.action != self._policy.reference_index
        known = place(RowMoment(user, key, time, intervened)) if place and self.computed else None
        state = self._state(row, notes)
        if known is not None:
            state[list(self.computed)] = known
        if not self._whole:
            return LoggedRow(
                user, key, time, state, available, choices, intervened, NO_REWARD, None, False, tuple(notes)
            )
        changed: list[Note] = []
        reward = self._reward(row, state, choices, changed)
        return LoggedRow(
            user, key, time, state, available, choices, intervened, reward, self._outcome.harmful(row),
            self._flag(row, self._imports.left, False), (*notes, *changed),
            reported=not any(event == "filled" for event, _ in changed),
        )  # fmt: skip

    def order(self, row: Cells) -> tuple[str, datetime]:
        """Return the person and time of a row, as a sort key.

        Raises: RowError.
        """
        user, _, time = self._identity(row)
        return user, time

    def user(self, row: Cells) -> str:
        """Return a row's person. Raises RowError."""
        return self._user(row)

    def assignment(self, row: Cells) -> tuple[str, dict[str, LoggedChoice]] | None:
        """Return a row's person and the choices of its heads, whatever else the row holds. None for an unavailable row.

        Raises: RowError for a person, an action or a propensity that cannot be read.
        """
        user = self._user(row)
        if not self._flag(row, self._imports.available, True, required=True):
            return None
        return user, self._choices(row, True, [])

    def unmapped_action(self, row: Cells, head: str) -> tuple[str, str] | None:
        """Return the person of an available row and the text in a head's column that is none of its actions, or None.

        Raises: RowError for a person or a flag that cannot be read.
        """
        if not self._flag(row, self._imports.available, True, required=True):
            return None
        text = self._actions[head].unmapped(row)
        return None if text is None else (self._user(row), text)

    def is_even_day(self, row: Cells) -> bool:
        """Return whether a row's day is an even one of the calendar. A row whose time cannot be read counts as odd."""
        text = row.get(self._imports.time, "")
        if text[4:5] != "-" or text[7:8] != "-":  # not the date of ISO 8601
            return self._even(text)
        day = text[:10]
        known = self._days.get(day)
        if known is None:
            known = self._even(day)
            if len(self._days) < _REMEMBERED_DAYS:
                self._days[day] = known
        return known

    def region_axes(self) -> list[RegionAxis]:
        """Return the features of the file along which regions of states lie: all that are not computed from rows before."""
        return region_axes(self._spec, self._column, self.computed)

    def _even(self, text: str) -> bool:
        try:
            return parse_time(text, self._imports.time, self._spec.decisions_per_day).toordinal() % 2 == 0
        except RowError:
            return False

    def logged_number(self, row: Cells, head: str) -> tuple[int, float] | None:
        """Return a head's action index and the number in its propensity column, before any transform.

        None where the head made no choice. Raises: RowError where either cannot be read.
        """
        if not self._flag(row, self._imports.available, True, required=True):
            return None
        policy = self._actions.get(self._policy.name)
        if self._spec.head(head).when == "intervening" and policy is not None and not policy.intervenes(row):
            return None
        return self._actions[head].number(row)

    def wrong_sum(self, row: Cells, head: str) -> tuple[str, float] | None:
        """Return the person of an available row, and the sum of a head's columns where it is not 1.

        None where it is, or where the head has no column of each action. Raises: RowError where it cannot be read.
        """
        columns = self._imports.heads[head].propensities
        if not columns or not self._flag(row, self._imports.available, True, required=True):
            return None
        total = self._actions[head].propensity.wrong_sum(row)
        return None if total is None else (self._user(row), total)

    def _reward(self, row: Cells, state: Floats, choices: dict[str, LoggedChoice], notes: list[Note]) -> Floats:
        actions = {h.name: h.actions[choices[h.name].action] for h in self._heads if h.name in choices}
        return self._outcome.reward(row, state, actions, notes)

    def _identity(self, row: Cells) -> tuple[str, tuple[str, ...], datetime]:
        user = self._user(row)
        key = tuple(user if c == self._imports.user else row.get(c, "").strip() for c in self._imports.key)
        if self._whole and not any(key):
            raise RowError("missing_key", f"the key columns {quoted_list(self._imports.key)} are empty")
        return user, key, self._time.read(row)

    def _user(self, row: Cells) -> str:
        user = row.get(self._imports.user, "")
        if not user.strip():
            raise RowError("missing_user", f"column {self._imports.user!r} is empty")
        try:
            return identifier_normalised(user)
        except InputError as error:
            raise RowError("bad_user", f"column {self._imports.user!r}: {error}") from None

    def _choices(self, row: Cells, available: bool, notes: list[Note]) -> dict[str, LoggedChoice]:
        """Read the choices of the heads. An action while the person was unavailable was not randomised, and is ignored."""
        policy = self._actions.get(self._policy.name)
        if not available:
            if policy is not None and policy.intervenes(row):
                notes.append(("ignored_unavailable", policy.column))
            return {}
        explored = self._flag(row, self._imports.explored, True)
        choices: dict[str, LoggedChoice] = {}
        intervened = True
        for head in self._heads:
            actions = self._actions.get(head.name)
            if actions is None or (head.when == "intervening" and not intervened):
                continue
            if head.when == "intervening" and is_missing(row.get(actions.column, "")):
                notes.append(("missing_action", actions.column))
                continue
            choices[head.name] = choice = actions.choice(row, explored, self._whole)
            if head is self._policy:
                intervened = choice.action != head.reference_index
        return choices

    def _state(self, row: Cells, notes: list[Note]) -> Floats:
        state = np.full(self._width, np.nan)
        for i, read in self._features:
            state[i] = read(row, notes)
        return state

    def _flag(self, row: Cells, column: str | None, default: bool, *, required: bool = False) -> bool:
        if column is None or column not in self._columns:
            return default
        cell = row.get(column, "")
        if not required and is_missing(cell):
            return False
        return parse_flag(cell, column)

    def _column(self, feature: Feature) -> str:
        return self._imports.features.get(feature.name, feature.name)

    def _check(self, columns: Sequence[str]) -> None:
        needed = [self._column(f) for i, f in enumerate(self._spec.features) if i not in self.computed]
        needed += self._decision_columns() if self._whole else self._computing_columns()
        doubled = [c for c in dict.fromkeys(needed) if list(columns).count(c) > 1]
        if doubled:
            raise InputError(
                f"the file has more than one column named {quoted_list(doubled)}; give each column its own name"
            )
        absent = [c for c in dict.fromkeys(needed) if c not in self._columns]
        if absent:
            raise InputError(self._absence(absent, columns))

    def _decision_columns(self) -> list[str]:
        m = self._imports
        heads = [c for h in m.heads.values() for c in (h.action, *h.propensity_columns)]
        named = (m.user, *m.key, *m.time_columns, m.available, m.explored, m.label, m.left, *heads, *m.reward.values())
        return [c for c in named if c is not None]

    def _computing_columns(self) -> list[str]:
        """Return the columns needed to compute features that a file of states lacks: person, time and action."""
        if not self.computed:
            return []
        head = self._imports.heads.get(self._spec.main_head.name)
        return [self._imports.user, *self._imports.time_columns, *([head.action] if head else [])]

    def _absence(self, absent: list[str], columns: Sequence[str]) -> str:
        """Say which columns are missing. The file's own are not shown, because without a header they are somebody's row.

        A column is named only where it is a declared name misspelt.
        """
        text = f"the file lacks the column{'s' * (len(absent) > 1)} {quoted_list(absent)} that loop {self._spec.name!r} reads"
        close = {c: _misspelt(c, columns) for c in absent}
        meant = [f"{c!r} may be the file's {found!r}" for c, found in close.items() if found]
        if any(_is_value(c) for c in columns):
            meant.append("its first line holds values, but it must name the columns")
        if not self._whole and self.computed:
            names = quoted_list([self._column(self._spec.features[i]) for i in self.computed])
            meant.append(f"without {names}, the person, time and action columns are needed to compute them")
        count = sum(1 for c in columns if c)
        return f"{text}; it has {count} column{'s' * (count != 1)}" + "".join(f"; {m}" for m in meant)


def _misspelt(column: str, columns: Sequence[str]) -> str | None:
    """Return the file's column that is a declared one in other case, or nearly, or None."""
    folded = {c.strip().casefold(): c for c in columns if not _is_value(c)}
    close = get_close_matches(column.casefold(), folded, 1, _NEARLY)
    return folded[close[0]] if close else None


def _is_value(cell: str) -> bool:
    """Tell whether a cell of the first line is a number or begins like a time."""
    return bool(_VALUE.match(cell.strip()))
