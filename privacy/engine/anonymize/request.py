"""A request for an anonymisation: fields that every technique shares, and options of single techniques."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.data_types import DATA_TYPES

DEFAULT_MODE = "central"
MOST_SAMPLES, MOST_ROWS = 1_000_000, 1_000
ParameterValue = TypeVar("ParameterValue")


@dataclass(frozen=True)
class Parameter(Generic[ParameterValue]):
    """An option of one technique, named in snake_case. The API offers it as ``api_name`` and the command as ``flag``.

    ``default`` applies where a request leaves the option out. ``help`` and ``metavar`` appear in the command's help.
    """

    name: str
    kind: type[int] | type[float] | type[str]
    default: ParameterValue
    help: str
    metavar: str | None = None

    @property
    def api_name(self) -> str:
        """Return the name in API request bodies, in camelCase."""
        first, *others = self.name.split("_")
        return first + "".join(word.capitalize() for word in others)

    @property
    def flag(self) -> str:
        """Return the command-line option."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class AnonymizeRequest:
    """One request for an anonymisation.

    ``samples`` is the number of people (None: all). For rows at most that many are drawn at random. For statistics each person
    enters by an independent coin, so about that many enter. ``rows`` is the number of newest records taken from each person.
    ``epsilon`` and ``delta`` belong to techniques with a formal guarantee. ``mode`` chooses among techniques of one name.
    ``options`` holds the values of techniques' own parameters by name. Those of other techniques have no effect.
    """

    data_type: str
    technique: str
    epsilon: float = 0.5
    delta: float = 1e-6
    samples: int | None = None
    mode: str = DEFAULT_MODE
    fields: tuple[str, ...] | None = None
    rows: int = 1
    options: Mapping[str, int | float | str | None] = field(default_factory=dict)

    def check(self) -> None:
        """Check the fields that all techniques share. Raises InputError that names the invalid field."""
        check_one_of("dataType", self.data_type, DATA_TYPES)
        if self.samples is not None:
            check_within("sampleCount", self.samples, 1, MOST_SAMPLES)
        check_within("rowsPerPerson", self.rows, 1, MOST_ROWS)

    def value(self, parameter: Parameter[ParameterValue]) -> ParameterValue:
        """Return the value of a technique's own parameter, or its default."""
        return cast(ParameterValue, self.options.get(parameter.name, parameter.default))

    def as_logged(self, columns: Sequence[Column]) -> dict[str, Any]:
        """Return the public parameters that the log keeps for every request."""
        return {
            "kind": "anonymization",
            "data_type": self.data_type,
            "samples": self.samples,
            "rows": self.rows,
            "columns": [
                {"name": c.name, "categories": list(c.categories)}
                if c.categories
                else {"name": c.name, "bounds": [c.low, c.high]}
                for c in columns
            ],
        }


def check_one_of(name: str, given: str, known: Sequence[str]) -> None:
    """Raise InputError unless ``given`` is one of the ``known`` values."""
    if given not in known:
        raise InputError(f"{name} is {given!r}; it is one of {', '.join(known)}", field=name)


def check_within(name: str, given: int, low: int, high: int) -> None:
    """Raise InputError unless a whole number lies within [low, high]."""
    if not low <= given <= high:
        raise InputError(f"{name} is {given}; it is a whole number from {low} to {high:,}", field=name)
