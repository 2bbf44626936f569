"""Define array types, and store arrays in database columns in a validated, hashed, non-executable format (never pickle).

A bundle is a dict of named float64, int64 or bool arrays, written as ``numpy.savez`` (no pickle), with SHA-256 over the bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from core.checksums import sha256_hex
from core.errors import InputError

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_ALLOWED = {np.dtype("float64"), np.dtype("int64"), np.dtype("bool")}


def pack_arrays(arrays: Mapping[str, npt.ArrayLike]) -> bytes:
    """Serialise named arrays.

    Raises: InputError for a dtype other than float64, int64 or bool, or for a value that is not finite.
    """
    out: dict[str, Array] = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype not in _ALLOWED:
            raise InputError(f"array {name!r} has dtype {array.dtype}; expected float64, int64 or bool")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"array {name!r} holds a value that is not finite")
        out[name] = array
    buffer = io.BytesIO()
    np.savez(buffer, **out)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack_arrays(blob: bytes, sha256: str | None = None) -> dict[str, Array]:
    """Deserialise the bytes that ``pack_arrays`` wrote.

    Args: sha256: the expected hash of the bytes, checked before they are read; None skips the check.
    Raises: InputError when the hash differs.
    """
    if sha256 is not None and sha256_hex(blob) != sha256:
        raise InputError(
            "stored arrays do not match their SHA-256; the row was changed outside the program, so restore it"
        )
    with np.load(io.BytesIO(bytes(blob)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
