"""Write one chunk of an imported file in one transaction: people, decisions with choices and outcomes, and consents.

An erasure outlasts imports: rows from before it are rejected, also when the person registered again since.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction

from core import clock
from core.arrays import Floats
from core.bulk_insert import bulk_insert
from core.canonical_json import list_json
from core.digests import IMPORTED_ROW, keyed
from loops.engine.rows.cells import RowError
from loops.engine.rows.reader import LoggedRow
from loops.intake.rejects import Reject
from loops.models import LoopVersion
from privacy.engine.dp.coarse_counts import never_hidden
from privacy.engine.sealing import Cipher, about_outcome, about_state
from privacy.models import Choice, Decision, Purpose, RewardSignal, VaultKind
from privacy.selectors.keys import ciphers_known
from privacy.services.people.consent import consent_grant
from privacy.services.people.data_keys import ciphers
from privacy.services.people.identity import people_erased, people_get_or_create
from privacy.services.records.import_join import imported_outcome, is_open, outcome_join, stored_outcome
from privacy.services.vault.append import vault_append
from privacy.services.vault.stored_rows import IMPORTED_DECISIONS, OUTCOMES

_CONFLICT = "an earlier row has the same key and different content; the earlier row is kept"
_LATE = (
    "the decision is stored without this outcome and is closed: its deadline has passed, or a release has read it; import "
    "outcomes with their decisions, or declare a longer deadline in [reward]"
)
_ERASED = "the person was erased after this row was made, or its date lies in the future, so it is not stored again"
_LOCAL_CLOCKS = timedelta(hours=14)  # a time without a zone may be this much ahead of UTC


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """A row ready to be stored. ``content`` is everything that the file gives in it, comparable with a stored row."""

    line: int
    key: bytes
    row: LoggedRow
    state: bytes
    payload: bytes | None
    content: tuple[Any, ...]


@dataclass(slots=True)
class WriteCounts:
    """The result of writing one chunk. ``joined`` rows gave an earlier row's decision its outcome.

    ``rejects`` are rows from before an erasure, rows whose key an earlier row has with different content, and outcomes that came
    too late.
    """

    added: int = 0
    joined: int = 0
    unchanged: int = 0
    granted: int = 0
    rejects: list[Reject] = field(default_factory=list)


def import_rows_prepare(
    *, rows: Sequence[tuple[int, LoggedRow]], loop_version: LoopVersion, computed: Sequence[int]
) -> list[PreparedRow]:
    """Prepare rows, given as (line, row), for storing. Reads and writes nothing."""
    prepared = []
    for line, row in rows:
        # Keyed, so that nobody can guess a key's content. JSON distinguishes ("a", "b c") from ("a b", "c").
        key = keyed(IMPORTED_ROW, list_json([loop_version.spec.population, *row.key]))
        observed = row.harmful is not None or not np.isnan(row.reward).all()
        payload = row.reward.astype("<f8").tobytes() if observed else None
        choices = [(h, c.action, c.propensity, c.marginal, c.explored) for h, c in row.choices.items()]
        facts = (row.time, row.time.date(), row.available, row.dropped_out)
        content = _content(facts, row.state, computed, choices, payload, row.harmful)
        prepared.append(PreparedRow(line, key, row, row.state.astype("<f8").tobytes(), payload, content))
    return prepared


@transaction.atomic
def import_rows_write(
    *,
    rows: Sequence[PreparedRow],
    loop_version: LoopVersion,
    consents: Sequence[Purpose],
    computed: Sequence[int],
    source: str,
) -> WriteCounts:
    """Add the rows that are not stored yet, and record consents.

    The first of several rows with one key is kept. If it lacks the outcome, a later one that is otherwise equal may give it.
    """
    written, present = WriteCounts(), set()
    rows = _outlasting(rows, loop_version.spec.population, written)
    people = people_get_or_create(population=loop_version.spec.population, identifiers={p.row.user for p in rows})
    keys = ciphers(people.values())  # no erasure commits from here on, and those that did are seen
    rows = _outlasting(rows, loop_version.spec.population, written)
    # Imports of one loop take turns, so that rows missing here are still missing when they are added.
    LoopVersion.objects.select_for_update(no_key=True).get(pk=loop_version.pk)
    known = _KnownRows(loop_version, people, _stored(loop_version, [p.key for p in rows], computed))
    for p in rows:
        try:
            known.take(p, written)
        except RowError as error:
            written.rejects.append((p.line, error))
            continue
        present.add(people[p.row.user])
    if known.new:
        _add(list(known.new.values()), loop_version, people, keys)
    written.added = len(known.new)
    written.granted = consent_grant(person_ids=present, purposes=consents, source=source, by="file")
    if known.new or known.outcomes:
        _record(list(known.new), loop_version, known.outcomes)
    return written


def _record(keys: Sequence[bytes], loop_version: LoopVersion, joined: int) -> None:
    """Record added rows in the Trust Vault, as sums of digests of the decisions and of their outcomes.

    Args: joined: the digests of the outcomes that were joined to stored decisions, less those of the outcomes that they replace.
    """
    added = Decision.objects.filter(loop_version=loop_version, row_key__in=keys)
    outcomes = RewardSignal.objects.filter(decision__in=added.values("pk"))
    vault_append(
        kind=VaultKind.ROWS,
        body={"loop": str(loop_version), "decisions": never_hidden(len(keys))},
        sums={
            IMPORTED_DECISIONS.name: IMPORTED_DECISIONS.total(added),
            OUTCOMES.name: OUTCOMES.total(outcomes) + joined,
        },
    )


def _outlasting(rows: Sequence[PreparedRow], population: str, written: WriteCounts) -> list[PreparedRow]:
    """Return the rows that no erasure of their person came after. The others are rejected.

    Of somebody who was erased, a row of the future is no news: its date cannot be when it was made.
    """
    erased = people_erased(population=population, identifiers={p.row.user for p in rows})
    latest = clock.now() + _LOCAL_CLOCKS
    gone = {
        p.line for p in rows if p.row.user in erased and not erased[p.row.user] + _LOCAL_CLOCKS < p.row.time <= latest
    }
    written.rejects += [(line, RowError("erased", _ERASED)) for line in sorted(gone)]
    return [p for p in rows if p.line not in gone]


class _KnownRows:
    """Hold the stored rows of a chunk and those that it adds, and take one row after another."""

    def __init__(
        self,
        loop_version: LoopVersion,
        people: Mapping[str, int],
        stored: dict[bytes, tuple[int | None, tuple[Any, ...]]],
    ) -> None:
        self._spec, self._people, self._stored = loop_version.spec, people, stored
        self._now = clock.now()
        self.new: dict[bytes, PreparedRow] = {}
        self.outcomes = 0  # the sum of the digests of joined outcomes, less those that they replace

    def take(self, p: PreparedRow, written: WriteCounts) -> None:
        """Count a row as new, joined or unchanged. Raises: RowError for other content under a known key, or a late outcome."""
        content = (self._people[p.row.user], *p.content)
        decision, before = self._stored.setdefault(p.key, (None, content))
        if before is content:
            self.new[p.key] = p
        elif before == content or self._says_less(p, content, before):
            written.unchanged += 1
        else:
            self._join(p, decision, content, before)
            written.joined += 1

    def _says_less(self, p: PreparedRow, content: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
        outcome = imported_outcome(p.payload, p.row.harmful, reported=p.row.reported)
        return content[:-2] == before[:-2] and imported_outcome(*before[-2:]).adds_to(outcome, self._spec)

    def _join(self, p: PreparedRow, decision: int | None, content: tuple[Any, ...], before: tuple[Any, ...]) -> None:
        outcome = imported_outcome(p.payload, p.row.harmful, reported=p.row.reported)
        adds = outcome.adds_to(stored_outcome(self._spec, *before[-2:]), self._spec)
        if content[:-2] != before[:-2] or p.payload is None or not adds:
            raise RowError("conflicting_key", _CONFLICT)
        if not is_open(self._spec, p.row.time, self._now) or not self._joined(p, decision):
            raise RowError("late_outcome", _LATE)
        self._stored[p.key] = (decision, content)

    def _joined(self, p: PreparedRow, decision: int | None) -> bool:
        if decision is None:  # its row is earlier in this chunk
            self.new[p.key] = p
            return True
        person, outcome = self._people[p.row.user], RewardSignal.objects.filter(decision=decision)
        before = OUTCOMES.total(outcome)
        joined = outcome_join(
            decision=decision,
            sealed=ciphers([person])[person].seal(p.payload or b"", about_outcome(person, p.key)),
            harmful=p.row.harmful,
            has_reward=bool(np.isfinite(p.row.reward[0])),
            closes_at=p.row.time + timedelta(seconds=self._spec.reward.deadline_seconds),
        )
        self.outcomes += OUTCOMES.total(outcome) - before
        return joined


def _add(
    rows: Sequence[PreparedRow], loop_version: LoopVersion, people: Mapping[str, int], keys: Mapping[int, Cipher]
) -> None:
    """Insert decisions with their choices and outcomes, sealed with their people's data keys."""
    now, owned = clock.now(), [(people[p.row.user], p) for p in rows]
    fields = (
        "created_at",
        "person",
        "loop_version",
        "row_key",
        "decided_at",
        "local_day",
        "available",
        "dropped_out",
        "state",
    )
    bulk_insert(
        model=Decision,
        fields=fields,
        rows=[
            (
                now, person, loop_version.pk, p.key, p.row.time, p.row.time.date(), p.row.available, p.row.dropped_out,
                keys[person].seal(p.state, about_state(person, p.key)),
            )
            for person, p in owned
        ],
    )  # fmt: skip
    added = Decision.objects.filter(loop_version=loop_version, row_key__in=[p.key for p in rows])
    ids = {bytes(key): pk for key, pk in added.values_list("row_key", "pk")}
    _add_choices(rows, ids)
    _add_outcomes(owned, ids, keys, now, timedelta(seconds=loop_version.spec.reward.deadline_seconds))


def _add_choices(rows: Sequence[PreparedRow], ids: Mapping[bytes, int]) -> None:
    bulk_insert(
        model=Choice,
        fields=("decision", "head", "action", "propensity", "marginal_propensity", "explored"),
        rows=[
            (ids[p.key], head, c.action, c.propensity, c.marginal, c.explored)
            for p in rows
            for head, c in p.row.choices.items()
        ],
    )


def _add_outcomes(
    owned: Sequence[tuple[int, PreparedRow]],
    ids: Mapping[bytes, int],
    keys: Mapping[int, Cipher],
    now: datetime,
    deadline: timedelta,
) -> None:
    bulk_insert(
        model=RewardSignal,
        fields=("created_at", "decision", "payload", "harmful", "has_reward", "closed_at"),
        rows=[
            (
                now,
                ids[p.key],
                keys[person].seal(p.payload, about_outcome(person, p.key)),
                p.row.harmful,
                bool(np.isfinite(p.row.reward[0])),
                p.row.time + deadline,
            )
            for person, p in owned
            if p.payload is not None
        ],
    )


def _stored(
    loop_version: LoopVersion, keys: Collection[bytes], computed: Sequence[int]
) -> dict[bytes, tuple[int | None, tuple[Any, ...]]]:
    """Return the decision's id, and person id and content, by row key, of the stored rows among ``keys``."""
    rows = list(
        Decision.objects.filter(loop_version=loop_version, row_key__in=set(keys)).values_list(
            "pk",
            "row_key",
            "person_id",
            "decided_at",
            "local_day",
            "available",
            "dropped_out",
            "state",
            "outcome__payload",
            "outcome__harmful",
        )
    )
    choices: dict[int, list[tuple[Any, ...]]] = {}
    columns = ("decision_id", "head", "action", "propensity", "marginal_propensity", "explored")
    for decision, *choice in Choice.objects.filter(decision__in=[row[0] for row in rows]).values_list(*columns):
        choices.setdefault(decision, []).append(tuple(choice))
    owners = ciphers_known({person for _, _, person, *_ in rows})
    return {
        bytes(key): (
            pk,
            (
                person,
                *_content(
                    tuple(facts),
                    np.frombuffer(owners[person].open(bytes(state), about_state(person, key)), dtype="<f8"),
                    computed,
                    choices.get(pk, []),
                    None if payload is None else owners[person].open(bytes(payload), about_outcome(person, key)),
                    harmful,
                ),
            ),
        )
        for pk, key, person, *facts, state, payload, harmful in rows
        if person in owners
    }


def _content(
    facts: tuple[Any, ...],
    state: Floats,
    computed: Sequence[int],
    choices: Sequence[tuple[Any, ...]],
    payload: bytes | None,
    harmful: bool | None,
) -> tuple[Any, ...]:
    """Return a row's comparable content, without computed features.

    Computed features depend on other rows, which may have been imported since. The outcome comes last: a later row may give it.
    """
    if computed:
        state = np.delete(state, list(computed))
    return (*facts, state.astype("<f8").tobytes(), tuple(sorted(choices)), payload, harmful)
