"""Keep the state of an unfinished fit in the row of its job, so that a fit whose process was killed resumes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from core.arrays import Array, pack_arrays, unpack_arrays
from core.checksums import sha256_hex
from core.errors import InputError
from training.models import SyntheticJob

_SECONDS_BETWEEN = 5.0  # a state may be some megabytes
_DIGEST_BYTES = 32


@dataclass
class JobCheckpoints:
    """Store the newest state of the fit of one job. Implements ``Checkpoints`` of the generators."""

    synthetic: int
    job_id: int
    seconds: float = _SECONDS_BETWEEN
    _written: float = field(default_factory=time.monotonic)

    def load(self) -> dict[str, Array] | None:
        """Return the stored state. None if there is none, or if its bytes were changed."""
        stored = bytes(SyntheticJob.objects.values_list("checkpoint", flat=True).get(pk=self.synthetic) or b"")
        if not stored:
            return None
        try:
            return unpack_arrays(stored[_DIGEST_BYTES:], stored[:_DIGEST_BYTES].hex())
        except InputError:
            return None

    def save(self, arrays: dict[str, Array], /) -> None:
        """Store a state, at most once in some seconds, and only while the job is the one that carries out the request."""
        now = time.monotonic()
        if now - self._written < self.seconds:
            return
        self._written = now
        blob = pack_arrays(arrays)
        SyntheticJob.objects.filter(pk=self.synthetic, job_id=self.job_id).update(
            checkpoint=bytes.fromhex(sha256_hex(blob)) + blob
        )
