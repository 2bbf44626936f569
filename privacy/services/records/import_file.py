"""Import files of logged decisions: streamed, idempotent, with a short transaction for each chunk of rows.

The row key is a keyed digest of a row's identity. So importing a file twice adds nothing, and running a killed import again
completes it. A decision is added with its choices and its outcome, or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from core import clock
from core.errors import InputError
from core.progress import ReportProgress, no_progress
from loops.engine.rows.assignment_check import AssignmentMean
from loops.engine.rows.cells import RowError
from loops.engine.rows.reader import LoggedRow, Place, RowReader
from loops.engine.rows.region_check import RegionMean
from loops.engine.rows.spread_check import PeopleSpread
from loops.intake.external_sort import external_sort
from loops.intake.files import FileRecord, Source, open_source, read_records
from loops.intake.rejects import Reject, RejectsFile
from loops.models import LoopVersion
from privacy.engine.dp.coarse_counts import never_hidden
from privacy.models import Purpose, SignalImport, VaultKind
from privacy.models.imports import LONGEST_OVERRIDE
from privacy.services.records.import_check import PropensityCheck, propensities_check, refusal_error
from privacy.services.records.import_findings import FEWEST_PEOPLE, has_numbers, rounded
from privacy.services.records.import_history import ImportHistory
from privacy.services.records.import_times import AHEAD_OF_ANY_CLOCK, ImportTimes
from privacy.services.records.import_write import WriteCounts, import_rows_prepare, import_rows_write
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from privacy.services.vault.stored_rows import IMPORTS

IMPORT_CHUNK = 2_000  # rows per transaction: some tenths of a second under the write lock
_REASONS_SHOWN = 3
_REFUTED_SHOWN = 20


_COUNTED = ("rows", "added", "joined", "unchanged", "rejected", "consents_granted")


@dataclass(frozen=True)
class ImportReport:
    """The result of importing one file.

    ``rows`` is the sum of added, joined, unchanged and rejected ones. A joined row gave an open decision its outcome.
    ``counts`` maps an event to its counts: rejected rows by reason; clamped, filled and ignored values by column.
    ``rejects_file`` is None when no row was rejected. ``propensities`` holds what the check found for each head and action,
    rounded (``import_findings``), and ``findings`` says it in words. ``warnings`` are those that say what the file cannot show.
    ``override`` is the reason for importing a file whose propensities are refuted (empty: not needed). ``times`` holds the
    first and the last time of all rows that were read, and how many lie more than a day after now.
    """

    file: str
    rows: int
    added: int
    joined: int
    unchanged: int
    rejected: int
    consents_granted: int
    counts: dict[str, dict[str, int]]
    rejects_file: str | None
    propensities: list[dict[str, Any]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    override: str = ""
    times: ImportTimes = field(default_factory=ImportTimes)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return asdict(self) | {"times": self.times.as_dict()}

    def as_record(self) -> dict[str, Any]:
        """Return what permanent rows may keep of the report: counts to two digits, and neither a file's name nor a typed text."""
        coarse = {name: never_hidden(getattr(self, name)) for name in _COUNTED}
        kept = {name: getattr(self, name) for name in ("rejects_file", "propensities", "findings", "warnings")}
        more = {
            "counts": _coarse(self.counts),
            "overridden": bool(self.override),
            "ahead": never_hidden(self.times.ahead),
        }
        return coarse | kept | more


def signals_import(
    *,
    path: Path,
    loop_version: LoopVersion,
    consents: Sequence[Purpose],
    rejects_path: Path | None = None,
    override_propensities: str = "",
    progress: ReportProgress = no_progress,
) -> ImportReport:
    """Import a CSV or JSON Lines file of logged decisions under a loop, and record ``consents`` for the people in it.

    A purpose that a person ever granted or withdrew is not changed. Rejected rows (line, reason and text, but no value of the
    row) are listed in ``rejects_path``, by default under var/rejects. Raises InputError for a file that cannot be read, that
    lacks a column, that has no usable row, or whose propensities its actions refute. In these cases nothing is written to the
    database. ``override_propensities`` is the reason for importing a refuted file all the same. The import keeps it,
    and the Trust Vault its digest.
    """
    source = open_source(path)
    reader = RowReader(loop_version.spec, source.columns, need="decision")
    check = propensities_check(source, reader, loop_version.spec)
    override = override_propensities.strip() if check.refusal else ""
    if check.refusal:
        _override_record(check, source, loop_version, override)
    given = rejects_path or Path(settings.VAR_DIR) / "rejects" / f"{source.sha256[:16]}.csv"
    tally = _Tally()
    try:
        with RejectsFile(given, never=path, keep_empty=rejects_path is not None) as rejects:
            for written, errors in _import_chunks(source, reader, loop_version, consents, tally, progress):
                rejects.add(errors + written.rejects)
    except OSError as error:
        raise InputError(
            f"reading {path} stopped ({error.strerror}); run it again: rows that were added stay"
        ) from None
    _check_useful(path, tally, given)
    report = _report_of(path, tally, check, override, str(given) if given.exists() else None)
    _store_report(report, loop_version, source)
    return report


def _report_of(
    path: Path, tally: _Tally, check: PropensityCheck, override: str, rejects_file: str | None
) -> ImportReport:
    return ImportReport(
        file=path.name,
        rows=tally.rows,
        added=tally.added,
        joined=tally.joined,
        unchanged=tally.unchanged,
        rejected=tally.rejected,
        consents_granted=tally.granted,
        counts={kind: dict(counter.most_common()) for kind, counter in sorted(tally.counts.items())},
        rejects_file=rejects_file,
        propensities=check.shown,
        findings=check.sentences,
        warnings=list(check.warnings),
        override=override,
        times=tally.times,
    )


@dataclass
class _Tally:
    rows: int = 0
    added: int = 0
    joined: int = 0
    unchanged: int = 0
    rejected: int = 0
    granted: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    times: ImportTimes = field(default_factory=ImportTimes)

    def count(self, kind: str, what: str) -> None:
        self.counts.setdefault(kind, Counter())[what] += 1

    def add(self, rows: int, written: WriteCounts, errors: list[Reject]) -> None:
        self.rows += rows
        self.added += written.added
        self.joined += written.joined
        self.unchanged += written.unchanged
        self.granted += written.granted
        self.rejected += len(errors) + len(written.rejects)
        for _, error in errors + written.rejects:
            self.count("rejected", error.reason)


def _import_chunks(
    source: Source,
    reader: RowReader,
    loop_version: LoopVersion,
    consents: Sequence[Purpose],
    tally: _Tally,
    progress: ReportProgress,
) -> Iterator[tuple[WriteCounts, list[Reject]]]:
    """Parse and write one chunk of rows after another. Yields each chunk's counts and parse errors."""
    place = ImportHistory(loop_version, reader.computed).place if reader.computed else None
    records = _records(source, reader, progress)
    while chunk := list(islice(records, IMPORT_CHUNK)):
        rows, errors = _read(chunk, reader, place, tally)
        prepared = import_rows_prepare(rows=rows, loop_version=loop_version, computed=reader.computed)
        written = WriteCounts()
        if prepared:
            written = import_rows_write(
                rows=prepared,
                loop_version=loop_version,
                consents=consents,
                computed=reader.computed,
                source=f"import of file {source.sha256[:16]}",
            )
        tally.add(len(chunk), written, errors)
        yield written, errors
        share = min(1.0, chunk[-1].read / max(source.size, 1))
        progress(share, f"about {never_hidden(tally.rows):,} rows read")


def _records(source: Source, reader: RowReader, progress: ReportProgress) -> Iterator[FileRecord]:
    """Return records in the order of the file, or of person and time where features are computed along that order."""
    if not reader.computed:
        return read_records(source)
    progress(0.0, "sorting by person and time")
    return external_sort(read_records(source), reader.order)


def _read(
    chunk: Sequence[FileRecord], reader: RowReader, place: Place | None, tally: _Tally
) -> tuple[list[tuple[int, LoggedRow]], list[Reject]]:
    rows: list[tuple[int, LoggedRow]] = []
    errors: list[Reject] = []
    latest = clock.now() + AHEAD_OF_ANY_CLOCK
    for record in chunk:
        try:
            if record.error is not None:
                raise record.error
            row = reader.read(record.cells, place)
        except RowError as error:
            errors.append((record.line, error))
            continue
        rows.append((record.line, row))
        tally.times = tally.times.with_row(row.time, latest)
        for event, column in row.notes:
            tally.count(event, column)
    return rows, errors


def _check_useful(path: Path, tally: _Tally, rejects: Path) -> None:
    """Raise InputError for a file without a usable row. Jobs and turns keep its words for ever, so its counts are rounded."""
    if tally.rows == 0:
        raise InputError(f"{path} has a header and no rows; nothing was imported")
    if tally.rejected == tally.rows:
        reasons = tally.counts["rejected"].most_common(_REASONS_SHOWN)
        listed = ", ".join(f"{reason} (about {never_hidden(count):,})" for reason, count in reasons)
        raise InputError(
            f"none of about {never_hidden(tally.rows):,} rows of {path} can be used: {listed}; see {rejects} for the reason of "
            "each line"
        )


def _coarse(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Return counts by kind to two digits. Of a small file, an exact count would tell something of one person."""
    return {kind: {what: never_hidden(count) for what, count in found.items()} for kind, found in counts.items()}


@transaction.atomic
def _override_record(check: PropensityCheck, source: Source, loop_version: LoopVersion, reason: str) -> None:
    """Record the import of a refuted file in the Trust Vault. Raises InputError without a reason, and for too long a one."""
    if not reason:
        raise refusal_error(check, source)
    if len(reason) > LONGEST_OVERRIDE:
        raise InputError(f"the reason has {len(reason):,} characters; use at most {LONGEST_OVERRIDE}")
    refuted = [m for m in check.means if m.finding == "refuted"]
    body = {
        "loop": str(loop_version),
        "file_sha256": source.sha256,
        "override": text_digest(reason),
        "refuted": [
            *map(_refuted_mean, refuted),
            *map(_refuted_region, check.regions),
            *map(_refuted_spread, check.spreads),
        ][:_REFUTED_SHOWN],
    }
    vault_append(kind=VaultKind.IMPORT, body=body)


def _refuted_mean(m: AssignmentMean) -> str:
    return f"{m.head}.{m.action}" + (f": {rounded(m.mean):g}" if has_numbers(m) else "")


def _refuted_region(m: RegionMean) -> str:
    return f"{m.head}.{m.action} while {m.region}: {rounded(m.mean):g}"


def _refuted_spread(s: PeopleSpread) -> str:
    return f"{s.head}.{s.action} between people" + (f": {rounded(s.spread):g}" if s.people >= FEWEST_PEOPLE else "")


@transaction.atomic
def _store_report(report: ImportReport, loop_version: LoopVersion, source: Source) -> None:
    stored = SignalImport.objects.create(
        loop_version=loop_version,
        file_sha256=source.sha256,
        rows=never_hidden(report.rows),
        added=never_hidden(report.added),
        unchanged=never_hidden(report.unchanged),
        rejected=never_hidden(report.rejected),
        counts=_coarse(report.counts | ({"joined": {"rows": report.joined}} if report.joined else {})),
        propensities=report.propensities,
        override=report.override,
    )
    rows = IMPORTS.entries(SignalImport.objects.filter(pk=stored.pk))
    vault_append(kind=VaultKind.ROWS, body={"loop": str(loop_version), "import": stored.pk}, rows=rows)
