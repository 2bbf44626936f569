"""Writing computed values as short JSON that a person can compare, and comparing it with what is stored.

Whole numbers, texts and bytes are exact. Floats are written to 10 digits and compared within 1e-8 of their size, because BLAS,
LAPACK and exp() round otherwise on another machine. On the same kind of machine (``machine``) the bits must be equal too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

FILE = Path(__file__).with_name("golden.json")
TOLERANCE, LEAST = 1e-8, 1e-10
_LISTED = 12  # numbers that are shown one by one


def shown(value: Any) -> Any:
    """The value in plain JSON: an array as its shape and a few numbers, a record as the list of its fields."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (bytes, memoryview)):
        return f"{len(value)} bytes {hashlib.sha256(value).hexdigest()[:16]}"
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Mapping):
        return {str(k): shown(v) for k, v in value.items()}
    return _listed(_items(value))


def bits(value: Any) -> str:
    """A digest of every bit of the value."""
    digest = hashlib.sha256()
    _feed(value, digest.update)
    return digest.hexdigest()[:12]


def differences(stored: Any, found: Any, at: str = "") -> list[str]:
    """Where two shown values differ, as sentences."""
    if isinstance(stored, dict) and isinstance(found, dict):
        only = [f"{at}/{k}: only in one of the two" for k in stored.keys() ^ found.keys()]
        return only + [d for k in stored.keys() & found.keys() for d in differences(stored[k], found[k], f"{at}/{k}")]
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        if _is_array(stored) and stored[0] == found[0]:
            near = TOLERANCE * float(stored[1]) + LEAST
            same = all(abs(a - b) <= near for a, b in zip(stored[1:], found[1:], strict=True))
            return [] if same else [f"{at}: stored {stored}, computed {found}"]
        return [d for i, (a, b) in enumerate(zip(stored, found, strict=True)) for d in differences(a, b, f"{at}/{i}")]
    if isinstance(stored, float) and isinstance(found, (float, int)) and not isinstance(found, bool):
        if math.isclose(stored, found, rel_tol=TOLERANCE, abs_tol=LEAST):
            return []
    elif stored == found and type(stored) is type(found):
        return []
    return [f"{at}: stored {stored!r}, computed {found!r}"]


def machine() -> str:
    """What the last bits of floats may depend on."""
    features = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    names = ["OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NPY_DISABLE_CPU_FEATURES"]
    facts = [
        np.__version__, scipy.__version__, platform.python_version(), platform.machine(), os.cpu_count(),
        sorted(name for name, there in features.items() if there), [os.environ.get(name) for name in names],
    ]  # fmt: skip
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def stored() -> dict[str, Any]:
    """The stored file, empty where there is none."""
    return json.loads(FILE.read_text()) if FILE.exists() else {"values": {}, "bits": {}}


def store(subject: str, values: Mapping[str, Any]) -> None:
    """Rewrite one subject of the stored file: a line a value, so that a diff is short."""
    whole = stored()
    if whole.get("machine") != machine():
        whole["bits"] = {}
    whole["machine"] = machine()
    whole["values"][subject] = {k: shown(v) for k, v in values.items()}
    whole["bits"][subject] = {k: bits(v) for k, v in values.items()}
    FILE.write_text(_written(whole) + "\n")


def check(subject: str, values: Mapping[str, Any], *, bound: bool = False) -> list[str]:
    """Where computed values differ from the stored ones; bits are compared only on the kind of machine that stored them.

    ``bound``: results that another machine need not give at all, so that elsewhere only their names are compared.
    """
    whole, here = stored(), stored().get("machine") == machine()
    found, known = {k: shown(v) for k, v in values.items()}, whole["values"].get(subject, {})
    if bound and not here:
        return [] if found.keys() == known.keys() else [f"{subject}: stored {sorted(known)}, computed {sorted(found)}"]
    said = differences(known, json.loads(json.dumps(found)), subject)
    if here:
        said += differences(
            whole["bits"].get(subject, {}), {k: bits(v) for k, v in values.items()}, f"bits of {subject}"
        )
    return said


def _written(value: Any, depth: int = 0) -> str:
    if not isinstance(value, dict) or depth > 2:
        return json.dumps(value, ensure_ascii=False)
    pad = "  " * (depth + 1)
    lines = [f"{pad}{json.dumps(k)}: {_written(v, depth + 1)}" for k, v in sorted(value.items())]
    return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"


def _number(value: float) -> float | str:
    return float(f"{value:.10g}") if math.isfinite(value) else repr(value)


def _items(value: Any) -> Sequence[Any]:
    """Fields without their names, which may change; what cannot be written is named by its type."""
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, (list, tuple)):
        return value
    raise TypeError(f"a {type(value).__name__} is no golden value; give numbers, texts, arrays or records of these")


def _listed(items: Sequence[Any]) -> Any:
    if len(items) > _LISTED and all(isinstance(x, (int, float)) for x in items):
        return _array(np.array(items))
    return [shown(x) for x in items]


def _array(array: npt.NDArray[Any]) -> list[Any] | str:
    """[shape, sum of absolutes, sum under fixed weights, first] of floats; a digest and the sum of anything exact."""
    shape = "x".join(map(str, array.shape))
    if array.dtype.kind != "f":
        total = f" sum {array.sum()}" if array.dtype.kind in "iub" else ""
        return f"{array.dtype} {shape}{total} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]}"
    odd = int((~np.isfinite(array)).sum())
    flat = np.nan_to_num(array, nan=7.0, posinf=1e3, neginf=-1e3).reshape(-1).astype(np.float64)
    weights = np.random.default_rng(1).uniform(
        -1.0, 1.0, size=flat.size
    )  # a change of any entry moves the weighted sum
    sums = [math.fsum(np.abs(flat)), math.fsum(flat * weights)]
    return [f"floats {shape}" + (f" ({odd} not finite)" if odd else ""), *map(_number, [*sums, *flat[:1].tolist()])]


def _is_array(value: list[Any]) -> bool:
    return len(value) > 1 and isinstance(value[0], str) and value[0].startswith("floats ")


def _feed(value: Any, update: Any) -> None:
    if isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            update(f"{key}:".encode())
            _feed(inner, update)
    elif isinstance(value, (bytes, memoryview)):
        update(value)
    elif isinstance(value, Enum):
        _feed(value.value, update)
    elif isinstance(value, (float, np.floating)):
        update(float(value).hex().encode())
    elif value is None or isinstance(value, (bool, int, str, np.generic)):
        update(f"{value!r};".encode() if not isinstance(value, np.generic) else f"{value.item()!r};".encode())
    else:
        for inner in _items(value):
            _feed(inner, update)
