"""The registry of anonymisation techniques. It is checked when this module is imported, so before anybody can be charged.

To add a technique, add one file to this package that defines ``technique``, and its name to ``_FILES``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any

from core.errors import InputError
from privacy.engine.anonymize.protocol import Technique
from privacy.engine.anonymize.request import AnonymizeRequest, Parameter, check_one_of

_FILES = (
    "central_dp",
    "local_dp",
    "marginals",
    "k_anonymity",
    "pseudonyms",
    "generalization",
)
_LONGEST = {"name": 30, "mechanism": 60, "neighbouring": 40}  # characters: the width of the log's columns
_FUNCTIONS = ("check", "cost", "guarantee", "logged", "settled", "least_cohort", "compute", "table")
# Names already used by a request, by the log's parameters or by the command's options.
_TAKEN = {f.name for f in fields(AnonymizeRequest)} | {
    "kind",
    "columns",
    "folds",
    "rate",
    "loop",
    "key",
    "output",
    "json",
}


def check_techniques(techniques: Sequence[Any]) -> tuple[Technique, ...]:
    """Return the techniques. Raises TypeError or ValueError for an incomplete one, and for one that conflicts with another."""
    for technique in techniques:
        _check_whole(technique)
    _check_names(techniques)
    _check_parameters(techniques)
    return tuple(techniques)


def _check_whole(technique: Any) -> None:
    if not isinstance(technique, Technique):
        raise TypeError(f"{technique!r} is not a Technique; define technique = Technique(...) in the technique's file")
    for name in _FUNCTIONS:
        if not callable(getattr(technique, name)):
            raise TypeError(f"technique {technique.name!r} declares no {name}; set it to a function")
    for name, longest in _LONGEST.items():
        if not 0 < len(getattr(technique, name)) <= longest:
            raise ValueError(
                f"{name} of technique {technique.name!r} must have 1 to {longest} characters to fit the log"
            )
    if not set(technique.takes) <= {"epsilon", "delta"}:
        raise ValueError(f"technique {technique.name!r} takes {technique.takes}; only epsilon and delta are possible")
    if not set(technique.exclusive) <= {p.name for p in technique.parameters}:
        raise ValueError(f"technique {technique.name!r} lists exclusive options that are not among its parameters")


def _check_names(techniques: Sequence[Technique]) -> None:
    taken: dict[tuple[str, str | None], str] = {}
    for t in techniques:
        others = [mode for name, mode in taken if name == t.name]
        if t.mode in others or (others and None in (t.mode, *others)):
            raise ValueError(f"technique {t.name!r} is registered twice; rename one, or give each its own mode")
        if {label for (name, _), label in taken.items() if name == t.name} - {t.label}:
            raise ValueError(f"techniques named {t.name!r} have different labels; give them the same one")
        taken[t.name, t.mode] = t.label


def _check_parameters(techniques: Sequence[Technique]) -> None:
    known: dict[str, Parameter[Any]] = {}
    for technique in techniques:
        for parameter in technique.parameters:
            if parameter.name in _TAKEN:
                raise ValueError(
                    f"parameter {parameter.name!r} of technique {technique.name!r} uses a reserved name; rename it"
                )
            if known.setdefault(parameter.name, parameter) != parameter:
                raise ValueError(f"two techniques declare parameter {parameter.name!r} differently; rename one")


TECHNIQUES = check_techniques([import_module(f"{__package__}.{file}").technique for file in _FILES])


def technique_of(name: str, mode: str | None) -> Technique:
    """Return the technique of a public name and, where several share the name, of a mode. Raises InputError if there is none."""
    check_one_of("technique", name, technique_names())
    if mode is not None:
        check_one_of("mode", mode, technique_modes())
    matches = [t for t in TECHNIQUES if t.name == name and t.mode in (mode, None)]
    if not matches:
        raise InputError(
            f"technique {name} has no mode {mode!r}; its modes are {', '.join(_modes_of(name))}", field="mode"
        )
    return matches[0]


def _modes_of(name: str) -> list[str]:
    return [t.mode for t in TECHNIQUES if t.name == name and t.mode is not None]


def technique_names() -> tuple[str, ...]:
    """Return the public names, in the order of registration."""
    return tuple(dict.fromkeys(t.name for t in TECHNIQUES))


def technique_labels() -> list[tuple[str, str]]:
    """Return each public name with its display label."""
    return list(dict.fromkeys((t.name, t.label) for t in TECHNIQUES))


def technique_modes() -> tuple[str, ...]:
    """Return every mode that a request may name."""
    return tuple(dict.fromkeys(t.mode for t in TECHNIQUES if t.mode is not None))


def own_parameters() -> tuple[Parameter[Any], ...]:
    """Return the options of single techniques, which not every request may set."""
    return tuple(dict.fromkeys(p for t in TECHNIQUES for p in t.parameters))


def techniques_using(option: str) -> list[Technique]:
    """Return the techniques that an option of a request has an effect on."""
    return [t for t in TECHNIQUES if t.uses(option)]


def check_options(request: AnonymizeRequest) -> None:
    """Raise InputError for an unknown option, and for one that only another technique allows."""
    known = {p.name: p for p in own_parameters()}
    for name in request.options:
        check_one_of("an option", name, tuple(known))
    for other in TECHNIQUES:
        if other.name != request.technique and any(
            request.value(known[n]) != known[n].default for n in other.exclusive
        ):
            belong = "belong" if len(other.exclusive) > 1 else "belongs"
            given = next(n for n in other.exclusive if request.value(known[n]) != known[n].default)
            raise InputError(
                f"{' and '.join(other.exclusive)} {belong} to {other.name}; leave them out", field=known[given].api_name
            )
