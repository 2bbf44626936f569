"""Compute a charged anonymisation: pass the records of exactly the charged people to the technique in the log row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.conf import settings

from core.arrays import Ints
from core.errors import InsufficientData
from loops.engine.spec import LoopSpec
from privacy.engine.anonymize.columns import Column, columns_of
from privacy.engine.anonymize.protocol import ChargedRequest, FeatureRecords, Output, Technique
from privacy.engine.anonymize.registry import technique_of
from privacy.models import Release
from privacy.selectors.releases import consenting_person_ids
from privacy.services.anonymize.feature_records import feature_records
from privacy.services.anonymize.pseudonyms import pseudonyms
from privacy.services.releases.shards import shards_of

_ALL_ROWS = 1_000_000
_NO_RECORD = "no record has all these fields, so nothing was released or charged; name fewer fields or another dataType"

_WITHDRAWN = "too few of the people who were charged still consent, so nothing was released or charged"


def anonymize_compute(release: Release) -> tuple[Output, Ints]:
    """Compute the output of a charged release. Returns it with the ids (n,) of the people whose records were read.

    Raises InputError or InsufficientData where the records do not allow it.
    """
    charged, technique = charged_request(release), release_technique(release)
    source = ChargedRecords(release, charged.columns)
    if len(source.people()) < settings.MIN_COHORT and not technique.statistics:
        raise InsufficientData(_WITHDRAWN)
    return technique.compute(charged, source), source.people()


def release_technique(release: Release) -> Technique:
    """Return the technique of an anonymisation. Raises InputError if it is no longer registered."""
    return technique_of(release.technique, release.parameters.get("mode"))


def charged_request(release: Release) -> ChargedRequest:
    """Return the request that the log row of an anonymisation states."""
    columns = release_columns(release)
    return ChargedRequest(columns, release.parameters, release.formal_epsilon, release.formal_delta)


def release_columns(release: Release) -> tuple[Column, ...]:
    """Return the columns of a release."""
    spec: LoopSpec = release.loop_version.spec
    return columns_of(spec, [c["name"] for c in release.parameters["columns"]])


def shard_records(release: Release, people: Ints, columns: Sequence[Column], rows: int) -> FeatureRecords:
    """Read the newest complete records of some of the charged people."""
    return feature_records(
        loop_version=release.loop_version, data_type=release.data_type, person_ids=people.tolist(), columns=columns, rows=rows
    )  # fmt: skip


class ChargedRecords:
    """Read the records of the people in a release's ledger entries who still consent. Implements ``RecordSource``."""

    def __init__(self, release: Release, columns: Sequence[Column]) -> None:
        self._release, self._columns = release, columns
        self._people = consenting_person_ids(release=release)

    def people(self) -> Ints:
        return self._people

    def records(self, rows: int) -> FeatureRecords:
        found = shard_records(self._release, self.people(), self._columns, rows)
        if not len(found.values):
            raise InsufficientData(_NO_RECORD)
        return found

    def shards(self) -> Iterator[FeatureRecords]:
        any_records = False
        for people in shards_of(self.people()):
            records = shard_records(self._release, people, self._columns, _ALL_ROWS)
            any_records = any_records or len(records.values) > 0
            yield records
        if not any_records:
            raise InsufficientData(_NO_RECORD)

    def pseudonyms(self, people: Ints, epoch: str) -> Ints:
        return pseudonyms(people.tolist(), purpose=self._release.purpose, epoch=epoch)
