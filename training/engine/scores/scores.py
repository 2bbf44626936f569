"""Score synthetic rows against rows that nobody trained on: quality, diversity and privacy, each from 0 to 1.

* quality: the geometric mean of similarity, indistinguishability and use downstream;
* diversity: how much of the real variety is reached;
* privacy: what attacks prove. It stands beside the others because a copy of the training rows has perfect quality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.errors import InputError
from core.progress import ReportProgress, no_progress
from training.engine.scores.attributes import AttributeInference, attribute_inference
from training.engine.scores.copies import closest_record_share, duplicates
from training.engine.scores.detection import detection
from training.engine.scores.diversity import Diversity, diversity
from training.engine.scores.downstream import Downstream, downstream
from training.engine.scores.measures import Measure
from training.engine.scores.membership import Attacked, Membership, membership
from training.engine.scores.resemblance import Resemblance, resemblance
from training.engine.scores.sampling import MOST_SYNTHETIC, people_of, sampled
from training.engine.tables.schema import CategoryColumn
from training.engine.tables.table import Table

_FEWEST_ROWS, _FEWEST_PEOPLE = 200, 50  # of any table; below, every interval is wide and nothing is proven
_NEARER = 0.52  # share of synthetic rows nearer to training rows, from which on an alarm says so
_REVERSED = 0.45  # the upper end of an attack's area below which synthetic rows are nearer to the holdout


@dataclass(frozen=True)
class Failure:
    """One score below its bar: its name, value and bar, and a sentence that says why and what to do."""

    score: str
    value: float
    bar: float
    reason: str


@dataclass(frozen=True)
class Scores:
    """Hold the three scores, their parts by name, alarms in words, and what they were computed on.

    ``failed_checks``: failures whatever the threshold. ``rows``: rows and people of each table.
    """

    quality: float
    diversity: float
    privacy: float
    parts: Mapping[str, Measure]
    alarms: tuple[str, ...]
    rows: Mapping[str, int]
    low_data: bool
    failed_checks: tuple[Failure, ...] = ()
    resemblance: Resemblance | None = field(default=None, repr=False)
    downstream: Downstream | None = field(default=None, repr=False)

    def verdict(self, threshold: float) -> tuple[Failure, ...]:
        """Return every score below the threshold, with the part that is to blame and what to do. Empty if all pass."""
        found = [
            Failure(name, value, threshold, reason)
            for name, value, reason in (
                ("quality", self.quality, self._why_quality()),
                ("diversity", self.diversity, self._why_diversity()),
                ("privacy", self.privacy, self._why_privacy()),
            )
            if value < threshold
        ]
        return (*found, *self.failed_checks)

    def as_json(self) -> dict[str, Any]:
        """Return scores, parts and alarms as JSON values."""
        return {
            "quality": self.quality, "diversity": self.diversity, "privacy": self.privacy, "low_data": self.low_data,
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "alarms": list(self.alarms), "rows": dict(self.rows),
        }  # fmt: skip

    def _why_quality(self) -> str:
        worst = min(("similarity", "indistinguishable", "use"), key=lambda n: _value(self.parts, n))
        return {
            "similarity": f"{self._differing()} differ from real rows; fit longer, or use another method",
            "indistinguishable": (
                f"A classifier tells the rows from real ones (area {_value(self.parts, 'detection'):.2f}, .5 is best); "
                "fit longer, or use another method"
            ),
            "use": "Models trained on these rows predict real rows badly; fit longer, or use another method",
        }[worst]

    def _differing(self) -> str:
        """Name the columns that differ most, or the pairs where columns alone are close."""
        found = self.resemblance
        if found is None or not found.columns:
            return "Columns or pairs of columns"
        if found.shape < found.pair or not found.pairs:
            return "The columns " + ", ".join(sorted(found.columns, key=lambda c: -found.columns[c])[:3])
        return "The pairs " + ", ".join(
            f"{a} with {b}" for a, b in sorted(found.pairs, key=lambda p: -found.pairs[p])[:3]
        )

    def _why_diversity(self) -> str:
        worst = min(("coverage", "distinct", "support"), key=lambda n: _value(self.parts, n))
        return {
            "coverage": "Parts of the real rows have no synthetic row near them; the method may have collapsed, so use another",
            "distinct": "The same rows are repeated; use another method, or ask for fewer rows",
            "support": "Rare categories or the ends of numbers are missing; use more rows, or another method",
        }[worst]

    def _why_privacy(self) -> str:
        area, found = _value(self.parts, "membership"), _value(self.parts, "membership_tpr")
        return (
            f"Attacks tell people of the training rows from others (area {area:.2f}, {found:.1%} of them found at 1% false "
            "alarms); stop fitting earlier, or use a private source"
        )


def score(
    train: Table,
    holdout: Table,
    synthetic: Table,
    *,
    seed: int,
    target: str | None = None,
    report: ReportProgress = no_progress,
) -> Scores:
    """Score synthetic rows. The same tables and seed give the same scores.

    Args:
        train: the rows that the generator learned from.
        holdout: rows of other people, which the generator never saw.
        target: the column that a downstream model predicts; without one, several columns are tried.
        report: receives the progress, and may raise to cancel.
    Raises: InputError for tables without rows, of different columns, or that share a person.
    """
    _check(train, holdout, synthetic)
    rng, made = np.random.default_rng([seed, 7]), sampled(synthetic, MOST_SYNTHETIC, np.random.default_rng([seed, 8]))
    report(0.0, "comparing columns and pairs")
    alike = resemblance(train, holdout, made, rng)
    report(0.15, "telling synthetic from real rows")
    told = detection(train, holdout, made, rng, seed=seed)
    report(0.35, "training models on synthetic rows")
    used = downstream(train, holdout, made, target, rng, seed=seed)
    report(0.6, "measuring diversity")
    varied = diversity(train, holdout, made, rng)
    report(0.7, "attacking membership")
    attacked = Attacked.of(train, holdout, rng)
    member = membership(train, attacked, made, rng, seed=seed)
    report(0.85, "attacking attributes")
    guessed = attribute_inference(train, attacked, made, target, rng)
    report(0.95, "counting copies")
    alarms = _copy_alarms(train, holdout, made, rng)
    return _combined((train, holdout, synthetic), alike, told, used, varied, member, guessed, alarms)


def _combined(
    tables: tuple[Table, Table, Table], alike: Resemblance, told: Measure, used: Downstream, varied: Diversity,
    member: Membership, guessed: AttributeInference, copied: tuple[dict[str, Measure], list[str]],
) -> Scores:  # fmt: skip
    """Combine the parts. A part that could not be measured is left out of the mean, and said so."""
    hidden = 2.0 * (1.0 - max(told.value, 0.5))
    parts = {
        "similarity": Measure("similarity", alike.similarity, alike.rows),
        "shape": Measure("shape", alike.shape, alike.rows),
        "pairs": Measure("pairs", alike.pair, alike.rows),
        "indistinguishable": Measure("indistinguishable", hidden, told.rows, _hidden(told.high), _hidden(told.low)),
        "detection": told,
        **({} if used.skill is None else {"use": used.skill}),
        "coverage": varied.coverage,
        "distinct": varied.distinct,
        "support": varied.support,
        "membership": member.area,
        "membership_tpr": member.true_positives,
        "attribute_inference": guessed.advantage,
    }
    factors = [alike.similarity, hidden]
    alarms = [*copied[1], *_lost_alarms(varied)]
    if used.skill is None:
        alarms.append("No column can be predicted from the others, so use downstream was not measured")
    else:
        factors.append(used.skill.value)
    parts |= copied[0]
    rows = _sizes(tables)
    low_data = any(n < _FEWEST_ROWS for k, n in rows.items() if k.endswith("rows")) or any(
        n < _FEWEST_PEOPLE for k, n in rows.items() if k.endswith("people")
    )
    if low_data:
        alarms.append(
            f"There are too few rows or people to judge (fewer than {_FEWEST_ROWS} rows or {_FEWEST_PEOPLE} people in a table): "
            "intervals are wide, and attacks prove little"
        )
    return Scores(
        quality=float(math.prod(factors) ** (1 / len(factors))),
        diversity=varied.value,
        privacy=min(member.score, guessed.score, _few_copies(copied[0]) if low_data else 1.0),
        parts=parts,
        alarms=tuple(alarms),
        rows=rows,
        low_data=low_data,
        failed_checks=_reversed(member),
        resemblance=alike,
        downstream=used,
    )


def _few_copies(parts: Mapping[str, Measure]) -> float:
    """Return 1 less the duplicates beyond chance, which decide where there are too few rows for attacks to prove anything."""
    return float(np.clip(1.0 - parts["duplicates"].value + parts["chance_duplicates"].value, 0.0, 1.0))


def _hidden(area: float | None) -> float | None:
    return None if area is None else 2.0 * (1.0 - max(area, 0.5))


def _value(parts: Mapping[str, Measure], name: str) -> float:
    return parts[name].value if name in parts else 1.0


def _reversed(member: Membership) -> tuple[Failure, ...]:
    """Return a failure where synthetic rows are nearer to the holdout than to the training rows."""
    if member.reverse >= _REVERSED:
        return ()
    reason = (
        "Synthetic rows resemble the holdout more than the training rows, so the holdout was not held out; split by person "
        "again, fit on the training rows alone, and score again"
    )
    return (Failure("holdout", member.reverse, _REVERSED, reason),)


def _copy_alarms(
    train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator
) -> tuple[dict[str, Measure], list[str]]:
    same, chance = duplicates(train, holdout, synthetic, rng)
    nearer = closest_record_share(train, holdout, synthetic, rng)
    alarms = []
    if (same.low or 0.0) > (chance.high or 1.0):
        alarms.append(
            f"{same.value:.1%} of the rows equal a training row; {chance.value:.1%} equal a row of as many that were not "
            "trained on, which is what chance explains"
        )
    if (nearer.low or 0.0) > _NEARER:
        alarms.append(
            f"{nearer.value:.1%} of the rows are nearer to a training row than to a holdout row; half would be usual"
        )
    return {m.name: m for m in (same, chance, nearer)}, alarms


def _lost_alarms(varied: Diversity) -> list[str]:
    return [
        f"{lost.column}: {lost.value} is {lost.real:.1%} of real rows and {lost.synthetic:.1%} of synthetic ones"
        for lost in varied.lost
    ]


def _sizes(tables: tuple[Table, Table, Table]) -> dict[str, int]:
    names = ("train", "holdout", "synthetic")
    rows = {f"{name}_rows": table.rows for name, table in zip(names, tables, strict=True)}
    persons = {
        f"{name}_people": len(np.unique(table.person))
        for name, table in zip(names[:2], tables[:2], strict=True)
        if table.person is not None
    }
    return rows | persons


def _check(train: Table, holdout: Table, synthetic: Table) -> None:
    for name, table in (("training", train), ("holdout", holdout), ("synthetic", synthetic)):
        if not table.rows:
            raise InputError(f"the {name} table has no rows; scores need at least one in each table")
        if _kinds(table) != _kinds(train):
            raise InputError(f"the {name} table has other columns than the training table; score tables of one schema")
        table.check()
    if train.person is not None and holdout.person is not None:
        both = np.intersect1d(people_of(train), people_of(holdout))
        if both.size:
            raise InputError(
                f"{both.size} people are in both the training and the holdout rows; split the rows by person"
            )


def _kinds(table: Table) -> list[tuple[str, tuple[str, ...] | None]]:
    """Return the columns' names, with the categories of those that have some. Bounds may differ."""
    return [(c.name, c.categories if isinstance(c, CategoryColumn) else None) for c in table.schema.columns]
