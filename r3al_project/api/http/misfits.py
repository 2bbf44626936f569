"""Name the field of a JSON body that does not fit its type, and read entries of a list one by one.

msgspec names no key of a mapping in its path (``$.values[...]``), and no field that is missing or unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from r3al_project.api.http.request_bodies import LONGEST_NAME, once_each, suggestion

Entry = TypeVar("Entry")
_PATH = re.compile(r"(.*) - at `(?:key in )?\$\.?(.*?)`")
_PARTS = re.compile(r"\[(.*?)\]|([^.\[]+)")
_MISSING, _UNKNOWN = (re.compile(f"Object {what} field `(.*)`") for what in ("missing required", "contains unknown"))
_SOME_KEY = "..."


class Misfit(NamedTuple):
    """What does not fit: the path of its field, like ``values.mood`` (empty: the whole), and what is wrong with it."""

    field: str
    sentence: str


def misfit_of(error: msgspec.ValidationError, kind: Any, raw: bytes) -> Misfit:
    """Return what does not fit in a body of the type ``kind``."""
    found = _PATH.fullmatch(str(error))
    sentence, path = (found[1], found[2]) if found else (str(error), "")
    named = [index or name for index, name in _PARTS.findall(path)]
    try:
        parts, inner = _with_keys(kind, raw, named)
    except (
        StopIteration,
        LookupError,
        msgspec.MsgspecError,
    ):  # a name that stands twice: the last value fits, the first does not
        parts, inner = [part for part in named if part != _SOME_KEY], None
    if missing := _MISSING.fullmatch(sentence):
        return Misfit(_joined([*parts, missing[1]]), "is missing")
    if unknown := _UNKNOWN.fullmatch(sentence):
        return Misfit(_joined([*parts, unknown[1]]), suggestion(unknown[1], _names(inner)))
    return Misfit(_joined(parts), f"does not fit: {sentence}")


def _joined(parts: Sequence[str]) -> str:
    return ".".join(part[:LONGEST_NAME] for part in parts)


def _names(kind: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)] if kind is not None else []


def _with_keys(kind: Any, raw: bytes, parts: Sequence[str]) -> tuple[list[str], Any]:
    """Return a path with the keys that msgspec leaves out, and the type at its end.

    Such a key is the first whose value does not fit.
    """
    found, kind = [], _bare(kind)
    for part in parts:
        if part == _SOME_KEY:
            inside, kind = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), get_args(kind)[1]
            key, value = next((k, bytes(v)) for k, v in inside.items() if not _fits(kind, bytes(v)))
        elif part.isdigit():
            key, value = part, bytes(msgspec.json.decode(raw, type=list[msgspec.Raw])[int(part)])
            kind = get_args(kind)[0]
        else:
            key, value = part, bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[part])
            kind = next(f.type for f in msgspec.structs.fields(kind) if f.encode_name == part)
        raw, kind = value, _bare(kind)
        found.append(key)
    return found, kind


def _bare(kind: Any) -> Any:
    """Return a type without its limits, and of a choice the struct, list or mapping among its types."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    holders = [k for k in map(_bare, get_args(kind)) if _holds(k)] if not _holds(kind) else []
    return holders[0] if holders else kind


def _holds(kind: Any) -> bool:
    return get_origin(kind) in (dict, list) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _fits(kind: Any, raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return False
    return True


def check_names_once(raw: bytes, *, nested: bool = True) -> None:
    """Raise DecodeError for an object that holds a name twice. msgspec would silently take the last value.

    Args: nested: whether to look into what the outermost object holds.
    """
    hook: Callable[[list[tuple[str, Any]]], Any] = once_each if nested else tuple
    try:
        outermost = json.loads(raw, object_pairs_hook=hook, parse_int=str)  # str: a number of any length
        if not nested and isinstance(outermost, tuple):
            once_each(list(outermost))
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None


class EntryReader(Generic[Entry]):
    """Read one entry of a list. What does not fit spoils that entry alone.

    Args:
        kind: struct of an entry.
        advice: what to send, by field. ``values.`` is for whatever ``values`` holds, and "" for the entry as a whole.
    """

    def __init__(self, kind: type[Entry], advice: Mapping[str, str]) -> None:
        self._kind, self._advice, self._decoder = kind, advice, msgspec.json.Decoder(kind)

    def read(self, raw: msgspec.Raw) -> Entry | Misfit:
        """Return the entry, or what does not fit. Its sentence says what to send instead."""
        text = bytes(raw)
        try:
            entry = self._decoder.decode(text)
            check_names_once(text)
        except msgspec.ValidationError as error:
            return self._advised(misfit_of(error, self._kind, text))
        except msgspec.DecodeError as error:
            return self._advised(Misfit("", f"does not fit: {error}"))
        return entry

    def _advised(self, found: Misfit) -> Misfit:
        advice = self._advice.get(found.field) or self._advice.get(
            found.field.partition(".")[0] + ".", self._advice[""]
        )
        return Misfit(found.field, f"{found.field or 'the entry'} {found.sentence}; {advice}")
