"""Read the stored outputs of releases, and open the rows of people, which are sealed."""

from __future__ import annotations

from privacy.engine.sealing import CannotOpen, Cipher, about_export, unwrap_export
from privacy.models import ExportKey, ReleaseRound
from privacy.selectors.keys import master


def round_output(stored: ReleaseRound) -> bytes:
    """Return the plain output of a round. An export whose rows have expired is empty.

    Raises CannotOpen for rows that were changed or whose key is missing, and Conflict for a missing master key.
    """
    output = bytes(stored.output)
    if stored.expires_at is None or not output:
        return output
    key = getattr(stored, "export_key", None)
    if key is None:
        raise CannotOpen(f"the key of the rows in round {stored.pk} is missing")
    return Cipher(export_key_unwrapped(key, stored)).open(output, about_export(stored.release_id, stored.index))


def export_key_unwrapped(key: ExportKey, stored: ReleaseRound) -> bytes:
    """Unwrap the key of an export's rows. Raises CannotUnwrap for another master key, and Conflict for a missing one."""
    version = key.master_version
    return unwrap_export(
        master(version), bytes(key.wrapped), version=version, release_id=stored.release_id, index=stored.index
    )
