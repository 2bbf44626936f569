"""A request for an anonymisation: what every technique understands, and the options that belong to one technique."""

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
    """An option that belongs to one technique, in snake_case. API and command offer it under ``api_name`` and ``flag``.

    ``default`` holds where a request leaves it out. ``help`` and ``metavar`` are what the command shows.
    """

    name: str
    kind: type[int] | type[float] | type[str]
    default: ParameterValue
    help: str
    metavar: str | None = None

    @property
    def api_name(self) -> str:
        """The name in a body of the API, in camelCase."""
        first, *others = self.name.split("_")
        return first + "".join(word.capitalize() for word in others)

    @property
    def flag(self) -> str:
        """The option of the command."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class AnonymizeRequest:
    """One request. ``samples`` (None: all) is how many people: of rows at most so many, drawn at random; of statistics about so
    many, each by a coin of their own. ``rows``: the newest so many records of each.

    ``epsilon`` and ``delta`` belong to techniques with a formal guarantee. ``mode`` chooses among techniques of one name.
    ``options`` holds the values of techniques' own parameters by name. Those of other techniques are ignored.
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
        """Check what all techniques share. Raises InputError that names what cannot be."""
        check_one_of("dataType", self.data_type, DATA_TYPES)
        if self.samples is not None:
            check_within("sampleCount", self.samples, 1, MOST_SAMPLES)
        check_within("rowsPerPerson", self.rows, 1, MOST_ROWS)

    def value(self, parameter: Parameter[ParameterValue]) -> ParameterValue:
        """Return the value of a technique's own parameter, or its default."""
        return cast(ParameterValue, self.options.get(parameter.name, parameter.default))

    def as_logged(self, columns: Sequence[Column]) -> dict[str, Any]:
        """Return the public parameters that the log keeps of every request."""
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
    """Raise InputError for a word that is not known."""
    if given not in known:
        raise InputError(f"{name} is {given!r}; it is one of {', '.join(known)}")


def check_within(name: str, given: int, low: int, high: int) -> None:
    """Raise InputError for a whole number outside [low, high]."""
    if not low <= given <= high:
        raise InputError(f"{name} is {given}; it is a whole number from {low} to {high:,}")
