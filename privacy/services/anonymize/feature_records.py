"""Read people's records as rows over a loop's columns, from their signals and from the states at their decision points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
from django.db.models import Exists, OuterRef, Q, QuerySet

from core.arrays import Floats
from loops.models import LoopVersion
from privacy.engine.anonymize.columns import Column, values_bounded
from privacy.engine.anonymize.protocol import FeatureRecords
from privacy.engine.data_types import DATA_TYPES
from privacy.engine.sealing import about_signal, about_state
from privacy.models import Decision, Person, Signal
from privacy.selectors.keys import ciphers_known, payload_opened

_KINDS = {"feature": DATA_TYPES, "categorical": DATA_TYPES}  # other types read their own kind
# The state at a decision point counts as a pulse taken at that moment.
_WITH_STATES = (
    "pulse",
    "interaction",
    "feature",
    "categorical",
)
_PEOPLE_A_QUERY = 500


def people_with_records(*, loop_version: LoopVersion, data_type: str) -> QuerySet[Person]:
    """Return the people who have a record of this data type under this version of the loop."""
    signals = Signal.objects.filter(_kinds(data_type), person=OuterRef("pk"), loop_version=loop_version)
    has_record = Q(Exists(signals))
    if data_type in _WITH_STATES:
        has_record |= Q(Exists(Decision.objects.filter(person=OuterRef("pk"), loop_version=loop_version)))
    return Person.objects.filter(has_record)


def feature_records(
    *, loop_version: LoopVersion, data_type: str, person_ids: Sequence[int], columns: Sequence[Column], rows: int
) -> FeatureRecords:
    """Read the newest ``rows`` complete records of each person, newest first, in the order of ``person_ids``.

    Values are within the columns' public bounds.
    """
    place = [loop_version.spec.feature_names.index(c.name) for c in columns]
    newest_records: list[tuple[Floats, int, int]] = []
    left_out = 0
    for first in range(0, len(person_ids), _PEOPLE_A_QUERY):
        some = [int(pk) for pk in person_ids[first : first + _PEOPLE_A_QUERY]]
        by_person: dict[int, list[tuple[datetime, Floats]]] = {pk: [] for pk in some}
        found = list(_raw(loop_version, data_type, some))
        states = np.array([state[place] for _, _, state in found]).reshape(-1, len(place))
        for (pk, at, _), values in zip(found, values_bounded(states, columns), strict=True):
            by_person[pk].append((at, values))
        for pk, records in by_person.items():
            complete = [(at, values) for at, values in records if np.isfinite(values).all()]
            left_out += len(records) - len(complete)
            newest = sorted(complete, key=lambda record: record[0], reverse=True)[:rows]
            newest_records += [(values, pk, at.date().toordinal()) for at, values in newest]
    return FeatureRecords(
        np.array([values for values, _, _ in newest_records]).reshape(-1, len(place)),
        np.array([pk for _, pk, _ in newest_records], dtype=np.int64),
        np.array([day for _, _, day in newest_records], dtype=np.int64),
        left_out,
    )


def complete_people(
    *, loop_version: LoopVersion, data_type: str, person_ids: Sequence[int], columns: Sequence[Column]
) -> list[int]:
    """Return which of the people have a record with all columns. One chunk of people is in memory at a time."""
    found: list[int] = []
    for first in range(0, len(person_ids), _PEOPLE_A_QUERY):
        some = person_ids[first : first + _PEOPLE_A_QUERY]
        records = feature_records(
            loop_version=loop_version, data_type=data_type, person_ids=some, columns=columns, rows=1
        )
        found += records.people.tolist()
    return found


def _kinds(data_type: str) -> Q:
    return Q(kind__in=_KINDS.get(data_type, (data_type,)))


def _raw(loop_version: LoopVersion, data_type: str, people: list[int]) -> Iterator[tuple[int, datetime, Floats]]:
    """Yield person id, time and state (all features, NaN where not given) of each record.

    People whose data key is gone were erased and have no records.
    """
    keys, unknown = ciphers_known(people), np.full(len(loop_version.spec.features), np.nan).tobytes()
    signals = Signal.objects.filter(_kinds(data_type), person_id__in=keys, loop_version=loop_version)
    for signal in signals.iterator(chunk_size=5_000):
        about = about_signal(signal.person_id, signal.signal_key)
        plain = payload_opened(keys[signal.person_id], signal.payload, about, unknown)
        yield signal.person_id, signal.observed_at, np.frombuffer(plain, dtype="<f8")
    if data_type in _WITH_STATES:
        decisions = Decision.objects.filter(person_id__in=keys, loop_version=loop_version)
        facts = decisions.values_list("person_id", "decided_at", "row_key", "state")
        for pk, at, row_key, state in facts.iterator(chunk_size=5_000):
            plain = payload_opened(keys[pk], state, about_state(pk, row_key), unknown)
            yield pk, at, np.frombuffer(plain, dtype="<f8")
