"""Reads of releases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from privacy.models import LedgerEntry, Release, ReleaseState


def charged_person_ids(*, release: Release) -> npt.NDArray[np.int64]:
    """Ascending ids (n,) of the people charged for a release, all that it may compute over. Refunded: nobody."""
    entries = LedgerEntry.objects.filter(release=release).exclude(release__state=ReleaseState.REFUNDED)
    ids = entries.order_by("person_id").values_list("person_id", flat=True)
    return np.fromiter(ids.iterator(chunk_size=10_000), dtype=np.int64)
