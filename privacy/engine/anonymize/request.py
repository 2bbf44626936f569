"""What can be asked of an anonymisation: the technique, its parameters within their limits, its cost, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.dp.accounting import NANO

DIFFERENTIAL_PRIVACY, K_ANONYMITY = "differential_privacy", "k_anonymity"
PSEUDONYMIZATION, GENERALIZATION = "pseudonymization", "generalization"
TECHNIQUES = (DIFFERENTIAL_PRIVACY, K_ANONYMITY, PSEUDONYMIZATION, GENERALIZATION)
MODES = ("central", "local")
DATA_TYPES = ("pulse", "emotion", "interaction", "feature", "categorical")
POLICY_NANO = {K_ANONYMITY: 3 * NANO // 10, PSEUDONYMIZATION: NANO // 10, GENERALIZATION: NANO // 5}
MOST_SAMPLES, MOST_ROWS = 1_000_000, 1_000
_GUARANTEES = {
    K_ANONYMITY: "k-anonymity: each class of records holds {k} different people or more{diversity}. It has no "
    "differential-privacy meaning: who knows more of somebody, or sees another release of the same people, may learn about them",
    PSEUDONYMIZATION: "pseudonyms keyed for this purpose and epoch; the records themselves are unchanged. It has no "
    "differential-privacy meaning: the records are still personal data, and what they say may identify somebody",
    GENERALIZATION: "values coarsened by the loop's public hierarchy. It has no differential-privacy meaning: rare "
    "combinations may still single somebody out",
}


@dataclass(frozen=True)
class AnonymizeRequest:
    """One request. ``samples`` (None: all) is how many people: of rows at most so many, drawn at random; of statistics about so
    many, each by a coin of their own. ``rows``: the newest so many records of each.

    ``epsilon`` and ``delta`` belong to differential privacy, ``k``, ``diversity`` and ``sensitive`` (a category whose values
    shall differ within a class; it is published as it is) to k-anonymity, ``epoch`` to pseudonyms.
    """

    data_type: str
    technique: str
    epsilon: float = 0.5
    delta: float = 1e-6
    samples: int | None = None
    mode: str = "central"
    fields: tuple[str, ...] | None = None
    rows: int = 1
    k: int = 10
    diversity: int = 1
    sensitive: str | None = None
    epoch: str = ""

    def check(self) -> None:
        """Raises InputError that names what cannot be."""
        _one_of("dataType", self.data_type, DATA_TYPES)
        _one_of("technique", self.technique, TECHNIQUES)
        _one_of("mode", self.mode, MODES)
        if self.samples is not None:
            _within("sampleCount", self.samples, 1, MOST_SAMPLES)
        _within("rowsPerPerson", self.rows, 1, MOST_ROWS)
        if self.technique == K_ANONYMITY:
            _within("k", self.k, 2, MOST_SAMPLES)
            _within("diversity", self.diversity, 1, 1_000)
            if self.diversity > 1 and self.sensitive is None:
                raise InputError("diversity asks how many values differ in a class; name the category in sensitive")
            if self.samples is not None and self.k > self.samples:
                raise InputError(f"k {self.k} is larger than the cohort of {self.samples} that sampleCount allows")
        elif self.sensitive is not None or self.diversity != 1:
            raise InputError(f"sensitive and diversity belong to {K_ANONYMITY}; leave them out")

    @property
    def is_local(self) -> bool:
        """Rows under local differential privacy."""
        return self.technique == DIFFERENTIAL_PRIVACY and self.mode == "local"

    @property
    def is_central(self) -> bool:
        """Noised statistics of all, no rows."""
        return self.technique == DIFFERENTIAL_PRIVACY and self.mode == "central"

    def parameters(self, columns: tuple[Column, ...]) -> dict[str, Any]:
        """The public parameters, as the log keeps them."""
        told: dict[str, Any] = {
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
        if self.technique == DIFFERENTIAL_PRIVACY:
            told |= {"mode": self.mode}
        elif self.technique == K_ANONYMITY:
            told |= {"k": self.k, "diversity": self.diversity, "sensitive": self.sensitive}
        elif self.technique == PSEUDONYMIZATION:
            told |= {"epoch": self.epoch} if self.epoch else {}
        return told


def informal_guarantee(wanted: AnonymizeRequest) -> str:
    """What a technique without a formal guarantee promises, and what it does not."""
    more = f" and {wanted.diversity} different values of {wanted.sensitive}" if wanted.diversity > 1 else ""
    return _GUARANTEES[wanted.technique].format(k=wanted.k, diversity=more)


def local_guarantee(epsilon: float, rows: int) -> str:
    """The guarantee of rows under local differential privacy, in one sentence."""
    each = "one row each" if rows == 1 else f"exactly {rows} rows each, together"
    return (
        f"({epsilon:g}, 0)-local differential privacy for what each user says ({each}; neighbours differ in all that one says, "
        "also in how much). That somebody is among the rows is not hidden"
    )


def _one_of(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise InputError(f"{name} is {given!r}; it is one of {', '.join(known)}")


def _within(name: str, given: int, low: int, high: int) -> None:
    if not low <= given <= high:
        raise InputError(f"{name} is {given}; it is a whole number from {low} to {high:,}")
