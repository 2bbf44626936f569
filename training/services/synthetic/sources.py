"""Decide which releases synthetic data may be made from, and draw rows from one.

A source is always released under a formal guarantee: its rows may be read by everybody who may read the release, and rows made
from them use no further privacy. Rows without such a guarantee are refused, because a generator could repeat them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from core import clock
from core.errors import Conflict, InputError, InsufficientData, NotFound
from core.progress import ReportProgress
from loops.models import Loop
from privacy.engine.anonymize.marginals import MARGINALS
from privacy.models import Release, ReleaseRound, ReleaseState
from privacy.services.anonymize.compute import release_columns
from privacy.services.anonymize.export_tables import is_anonymization
from privacy.services.anonymize.run import anonymized
from privacy.services.releases.moments import LAYOUT, MOMENTS_KIND, moments_load
from training.engine.tables.table import Table
from training.models import SyntheticSource

FEWEST_SOURCE_ROWS = 20  # three quarters of them are fitted, and a generator needs ten
_LARGEST_ID = 2**63 - 1
_ROWS = "release rows under local differential privacy (mode local) or marginals (mode marginals) instead"


@dataclass(frozen=True)
class SourceRows:
    """Rows of a source, and notes about them, one sentence each."""

    table: Table
    notes: tuple[str, ...] = ()


def release_for(loop: Loop, pk: int | None) -> Release:
    """Return the release to make synthetic data from: the named one, or the newest usable one of the loop.

    Raises: NotFound, InputError or Conflict for a named release that cannot be used, and Conflict where the loop has none.
    """
    if pk is not None:
        return _named(loop, pk)
    for release in _of(loop).filter(state=ReleaseState.COMMITTED).order_by("-pk").iterator(chunk_size=20):
        if _refusal(release) is None and not _has_expired(release):
            return release
    raise Conflict(
        f"loop {loop.name!r} has no release that synthetic data can be made from; run a turn, or an anonymisation in mode "
        "local or marginals, first"
    )


def source_of(release: Release) -> SyntheticSource:
    """Return what a release offers to generators. Raises InputError for a release that offers nothing."""
    refused = _refusal(release)
    if refused is not None:
        raise InputError(refused, field="release")
    if not is_anonymization(release):
        return SyntheticSource.WORLD
    return SyntheticSource.MARGINALS if release.parameters["mode"] == MARGINALS else SyntheticSource.RELEASED_ROWS


def source_draw(release: Release, rows: int, *, seed: int, report: ReportProgress) -> SourceRows:
    """Draw ``rows`` rows of a release, or all of its rows where it holds fewer. The same seed draws the same rows.

    Raises: Conflict for rows that have expired meanwhile, and InsufficientData where there are too few.
    """
    return _DRAW[source_of(release)](release, rows, seed, report)


def _of(loop: Loop) -> QuerySet[Release]:
    return Release.objects.select_related("loop_version__loop").filter(loop_version__loop=loop)


def _named(loop: Loop, pk: int) -> Release:
    found = Release.objects.select_related("loop_version__loop").filter(pk=pk).first() if pk <= _LARGEST_ID else None
    if found is None:
        raise NotFound(f"there is no release {str(pk)[:20]}; /api/v1/privacy/releases lists them")
    if found.loop_version.loop_id != loop.pk:
        other = found.loop_version.loop.name
        raise InputError(f"{found} is of loop {other!r}, not of {loop.name!r}; name that loop too", field="release")
    refused = _refusal(found)
    if refused is not None:
        raise InputError(refused, field="release")
    if found.state != ReleaseState.COMMITTED:
        raise Conflict(_why_void(found))
    if _has_expired(found):
        raise Conflict(f"the rows of {found} have expired and only its log entry is left; make a new release")
    return found


def _why_void(release: Release) -> str:
    if release.state == ReleaseState.RESERVED:
        return f"{release} is still being computed; wait for it to end"
    return f"{release} is {release.state}, so it holds nothing; make a new release"


def _refusal(release: Release) -> str | None:
    """Return why no synthetic data is made from a release of this kind, or None."""
    kind, mode = release.parameters.get("kind"), release.parameters.get("mode")
    if kind == MOMENTS_KIND:
        if release.parameters.get("layout") == LAYOUT:
            return None
        return f"{release} was made by an earlier version of this software, which stored other numbers; run a turn"
    if not is_anonymization(release):
        return (
            f"{release} holds sums that judge versions, from which no rows can be drawn; name a turn's training release"
        )
    if release.rho is None:
        return (
            f"{release} ({release.technique}) has no formal guarantee: a generator could repeat what single people said, and "
            f"nothing would bound it; {_ROWS}"
        )
    if mode in (MARGINALS, "local"):
        return None
    return f"{release} holds statistics of single fields, which do not tell how fields go together; {_ROWS}"


def _has_expired(release: Release) -> bool:
    """Return whether rows of people were emptied, or are about to be."""
    gone = Q(output=b"") | Q(expires_at__lte=clock.now())
    return ReleaseRound.objects.filter(gone, release=release, expires_at__isnull=False).exists()


def _draw_world(release: Release, rows: int, seed: int, report: ReportProgress) -> SourceRows:
    from training.engine.generators.protocol import Posterior
    from training.engine.sources.world_rows import world_rows

    report(0.1, "reading the released moments")
    posterior = Posterior.of(moments_load(release=release))
    report(0.5, "drawing rows from the world model")
    return SourceRows(world_rows(posterior, rows, seed=seed))


def _draw_marginals(release: Release, rows: int, seed: int, report: ReportProgress) -> SourceRows:
    from privacy.engine.anonymize.marginals import marginal_tables
    from training.engine.sources.marginal_rows import fit_marginals

    columns = release_columns(release)
    fitted = fit_marginals(marginal_tables(_arrays(release), columns), columns, seed=seed, report=report)
    return SourceRows(fitted.sample(rows, seed=seed))


def _draw_released(release: Release, rows: int, seed: int, report: ReportProgress) -> SourceRows:
    import numpy as np

    from training.engine.sources.declared_columns import table_of_records

    report(0.1, "reading released rows")
    table = table_of_records(_arrays(release)["values"], release_columns(release))
    if table.rows < FEWEST_SOURCE_ROWS:
        raise InsufficientData(
            f"{release} holds {table.rows} rows and a fit needs {FEWEST_SOURCE_ROWS}; release more rows"
        )
    if table.rows <= rows:
        note = f"sourceDataCount is {rows:,}, but {release} holds {table.rows:,} rows. All of them were used."
        return SourceRows(table, (note,) if table.rows < rows else ())
    chosen = np.random.default_rng([seed, 5]).permutation(table.rows)[:rows]
    return SourceRows(table.take(np.sort(chosen)))


def _arrays(release: Release) -> Any:
    found = anonymized(release)
    if found is None:
        raise Conflict(_why_void(release))
    return found


_DRAW = {
    SyntheticSource.WORLD: _draw_world,
    SyntheticSource.MARGINALS: _draw_marginals,
    SyntheticSource.RELEASED_ROWS: _draw_released,
}
