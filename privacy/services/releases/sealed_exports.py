"""Store the output of a round. Rows of people are sealed under a key of their own, which is destroyed with them."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from core.checksums import sha256_hex
from privacy.engine.sealing import Cipher, about_export, new_key, wrap_export
from privacy.models import ExportKey, Release, ReleaseRound
from privacy.selectors.keys import master, master_version_current


@transaction.atomic
def output_store(*, release: Release, index: int, output: bytes, expires_at: datetime | None) -> ReleaseRound:
    """Store an output as it is, or sealed if it holds rows of people, which expire. The SHA-256 is that of the plain output."""
    digest = sha256_hex(output)
    if expires_at is None:
        return ReleaseRound.objects.create(release=release, index=index, output=output, output_sha256=digest)
    key, version = new_key(), master_version_current()
    sealed = Cipher(key).seal(output, about_export(release.pk, index))
    stored = ReleaseRound.objects.create(
        release=release, index=index, output=sealed, output_sha256=digest, expires_at=expires_at
    )
    wrapped = wrap_export(master(version), key, version=version, release_id=release.pk, index=index)
    ExportKey.objects.create(round=stored, wrapped=wrapped, master_version=version)
    return stored
