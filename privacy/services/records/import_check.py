"""Check a file's propensities before anything of it is stored: a first pass over the file, in memory bounded by its people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from core.errors import InputError
from loops.engine.rows.assignment_check import FAR, AssignmentMean, AssignmentSums
from loops.engine.rows.cells import RowError, quoted_list
from loops.engine.rows.propensities import UNUSABLE
from loops.engine.rows.propensity_conventions import CONVENTION_ROWS, Convention, likely_convention
from loops.engine.rows.reader import RowReader
from loops.engine.rows.region_check import REGION_FAR, RegionMean
from loops.engine.rows.spread_check import PeopleSpread
from loops.engine.spec import Head, LoopSpec
from loops.intake.files import Source, read_records
from privacy.services.records.import_findings import (
    FEWEST_PEOPLE,
    has_numbers,
    mean_shown,
    mean_words,
    region_shown,
    region_words,
    rounded,
    spread_shown,
    spread_words,
)
from privacy.services.records.unmapped_actions import unmapped_actions

_UNUSABLE_SHARE = 0.1  # of available rows: above it the column holds something else than probabilities

_UNMAPPED = "unknown_action"
_UNMAPPED_SHARE = 0.01  # of available rows: above it their absence may refute propensities that are right
_REGIONS_NAMED = 3  # of a head, in a refusal
_REGIONS_SHOWN = 20  # in a report


@dataclass(frozen=True)
class PropensityCheck:
    """The result of checking a file's propensities. ``refusal`` says why the file is refused (empty: it is not).

    ``unmapped``: which actions the loop file does not map, if the file is refused and that alone may be the cause.

    ``regions`` and ``spreads`` are those that refute the propensities of a head whose ``means`` do not.
    """

    means: Sequence[AssignmentMean]
    regions: Sequence[RegionMean]
    spreads: Sequence[PeopleSpread]
    warnings: Sequence[str]
    refusal: str
    unmapped: str = ""

    @property
    def sentences(self) -> list[str]:
        """Return each mean that has an interval, what refutes the propensities, and the warnings, in words."""
        means = [mean_words(m) for m in self.means if m.low is not None]
        regions = [region_words(m) for m in self.regions[:_REGIONS_SHOWN]]
        return [*(f"{text}." for text in (*means, *regions, *map(spread_words, self.spreads))), *self.warnings]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Return what may be stored of it."""
        regions = [region_shown(m) for m in self.regions[:_REGIONS_SHOWN]]
        return [*map(mean_shown, self.means), *regions, *map(spread_shown, self.spreads)]


def propensities_check(source: Source, reader: RowReader, spec: LoopSpec) -> PropensityCheck:
    """Compute the mean of 1{a}/p for each head and action, and find the convention of propensities that it refutes."""
    heads = [h for h in spec.heads if h.name in spec.imports.heads]
    sums = AssignmentSums(heads, reader.region_axes(), explored=reader.flags_explored)
    failures, rows, unknown = Counter[str](), 0, 0
    for record in read_records(source):
        try:
            row = None if record.error else reader.assignment(record.cells)
        except RowError as error:
            rows += 1
            failures[error.reason] += error.reason in UNUSABLE
            unknown += error.reason == _UNMAPPED
            continue
        if row is not None:
            rows += 1
            sums.add(*row, record.cells, even=reader.is_even_day(record.cells))
    means, regions, spreads = sums.means(), sums.regions(), sums.spreads()
    far = {head.name for head in heads if _is_refuted(head, means)}  # their regions are wrong for the same reason
    refuted = [m for m in regions if m.is_refuted and m.head not in far]
    between = [s for s in spreads if s.finding == "refuted" and s.head not in far]
    problems = []
    for head in heads:
        if head.name in far:
            problems.append(_refuted(source, reader, spec, head, means))
        problems += [*_refuted_regions(head, refuted), *_refuted_spread(head, between)]
    unusable = failures.total()
    if unusable > _UNUSABLE_SHARE * rows:
        is_sum = failures["propensity_sum"] > unusable / 2
        problems.append((_not_to_one if is_sum else _not_probabilities)(source, reader, spec, heads))
    warnings = [*_warnings(heads, sums, means), *_unseen(regions, spreads)]
    is_unmapped = bool(problems) and unknown > _UNMAPPED_SHARE * rows
    unmapped = unmapped_actions(source, reader, spec, heads) if is_unmapped else ""
    return PropensityCheck(means, refuted, between, warnings, unmapped or "; ".join(problems), unmapped)


def refusal_error(check: PropensityCheck, source: Source) -> InputError:
    """Return the error by which a file is refused."""
    if check.unmapped:
        return InputError(
            f"{source.path.name} holds actions that the loop file does not name, so nothing was stored: {check.unmapped}. "
            'If these rows may be left out all the same, import it with --override-propensities "reason"'
        )
    return InputError(
        f"the propensities of {source.path.name} do not fit its actions, so nothing was stored: {check.refusal}. If they are "
        'right all the same, import it with --override-propensities "reason"'
    )


def _is_refuted(head: Head, means: Sequence[AssignmentMean]) -> bool:
    return any(m.head == head.name and m.finding == "refuted" for m in means)


def _refuted(source: Source, reader: RowReader, spec: LoopSpec, head: Head, means: Sequence[AssignmentMean]) -> str:
    """Return why one head's propensities are refused, with the likely convention."""
    worst = max((m for m in means if m.head == head.name and m.finding == "refuted"), key=lambda m: abs(m.mean - 1))
    advice = _advice(source, reader, spec, head, worst)
    bar = f", but right propensities give 1 (at most {FAR:g} off)" if has_numbers(worst) else ""
    return f"{mean_words(worst)}{bar}. {advice}"


def _refuted_regions(head: Head, regions: Sequence[RegionMean]) -> list[str]:
    """Return why a head's propensities are refused in regions of states: the worst regions, and what to do."""
    own = [m for m in regions if m.head == head.name]
    if not own:
        return []
    words = [region_words(m) for m in own[:_REGIONS_NAMED]]
    if len(own) > _REGIONS_NAMED:
        words.append(f"{head.name}: so it is in {len(own) - _REGIONS_NAMED} more regions")
    return [
        f"{'. '.join(words)}. Right propensities give a mean of 1 in every region (at most {REGION_FAR:g} off). If an action "
        f"could not be taken there, give one column an action with 0 there (propensities in [import.csv.heads.{head.name}]), or "
        "mark these rows as unavailable. If it could, log the probability with which it was drawn there"
    ]


def _refuted_spread(head: Head, spreads: Sequence[PeopleSpread]) -> list[str]:
    """Return why a head's propensities are refused that hold on average over people but not for each."""
    own = [s for s in spreads if s.head == head.name]
    if not own:
        return []
    worst = max(own, key=lambda s: s.spread)
    return [
        f"{spread_words(worst)}. Something that the file does not hold decides how often each person gets it. Log for each row "
        "the probability with which it was drawn for this person"
    ]


def _advice(source: Source, reader: RowReader, spec: LoopSpec, head: Head, worst: AssignmentMean) -> str:
    columns = spec.imports.heads[head.name]
    if worst.among == "certain":
        return (
            f"Every row of head {head.name} has propensity 1 and yet there are several actions. If a fixed rule chose them, they "
            "were not randomised and nothing can be learned from them; if they were drawn, give the probability of each draw"
        )
    if worst.among == "explored" or not columns.propensity_columns:
        which = "Explored rows" if worst.among == "explored" else "Rows"
        declared = head.logging[head.actions.index(worst.action)]
        rate = f"a frequency of {rounded(worst.share):g}" if has_numbers(worst) else "another frequency"
        return (
            f"{which} of head {head.name} take {worst.action} with {rate}, but the loop file declares logging "
            f"{declared:g}. Declare the probabilities with which actions were drawn, or name the column that holds them "
            f"(propensity in [import.csv.heads.{head.name}])"
        )
    convention = _convention(source, reader, spec, head)
    if convention is not None:
        return _convention_words(head, convention)
    return (
        f"No usual convention gives 1 for head {head.name}. Check that its propensities are of the action taken and not rounded, "
        "that the file holds every randomised row whatever its action, that rows without a draw are marked as unavailable, and "
        "that actions are mapped to the right names. If an action was impossible on some rows, give one column an action "
        "(propensities)"
    )


def _convention_words(head: Head, convention: Convention) -> str:
    return f"The propensity of head {head.name} looks like {convention.looks_like}; {convention.remedy}"


def _not_to_one(source: Source, reader: RowReader, spec: LoopSpec, heads: Sequence[Head]) -> str:
    """Return why a file is refused whose rows hold probabilities that do not sum to 1."""
    words = []
    for head in heads:
        found = list(islice(_wrong_sums(source, reader, head), CONVENTION_ROWS))
        if not found:
            continue
        sums = [total for _, total in found]
        shown = len({user for user, _ in found}) >= FEWEST_PEOPLE
        given = f" (the median sum is {rounded(float(np.median(sums))):g})" if shown else ""
        columns = quoted_list(dict.fromkeys(spec.imports.heads[head.name].propensities.values()))
        words.append(f"On many rows the columns {columns} of head {head.name} do not sum to 1{given}")
    advice = "The columns of a row must sum to 1: give one column an action, and check their units and transforms"
    return f"{'. '.join(words)}. {advice}"


def _wrong_sums(source: Source, reader: RowReader, head: Head) -> Iterator[tuple[str, float]]:
    for record in read_records(source):
        try:
            found = None if record.error else reader.wrong_sum(record.cells, head.name)
        except RowError:
            continue
        if found is not None:
            yield found


def _not_probabilities(source: Source, reader: RowReader, spec: LoopSpec, heads: Sequence[Head]) -> str:
    """Return why a file is refused whose propensity columns hold other numbers than probabilities."""
    found = [(head, _convention(source, reader, spec, head)) for head in heads]
    words = [_convention_words(head, convention) for head, convention in found if convention is not None]
    text = (
        f"more than {_UNUSABLE_SHARE:.0%} of the available rows give no probability of at least one in a million and up to 1 "
        "for the action taken"
    )
    advice = (
        'Check which columns hold the propensities, and their units: a percentage needs a transform such as "x / 100"'
    )
    return f"{text}. {'. '.join(words) or advice}"


def _convention(source: Source, reader: RowReader, spec: LoopSpec, head: Head) -> Convention | None:
    """Find the convention of a head's propensity column, by the first rows of the file. None without one such column."""
    columns = spec.imports.heads[head.name]
    if not columns.propensity:
        return None
    found = list(islice(_logged_numbers(source, reader, head), CONVENTION_ROWS))
    action = np.array([a for a, _ in found], dtype=np.int64)
    return likely_convention(head, columns, action, np.array([x for _, x in found], dtype=np.float64))


def _logged_numbers(source: Source, reader: RowReader, head: Head) -> Iterator[tuple[int, float]]:
    for record in read_records(source):
        try:
            pair = None if record.error else reader.logged_number(record.cells, head.name)
        except RowError:
            continue
        if pair is not None:
            yield pair


def _warnings(heads: Sequence[Head], sums: AssignmentSums, means: Sequence[AssignmentMean]) -> list[str]:
    """Return in words what the file cannot show."""
    if not any(sums.rows.values()):
        return ["No row was available to randomise, so no release will use a row of this file."]
    # About a few people, "never logged" would say what each of them got.
    never = [m for m in means if m.finding == "never logged" and m.among != "explored" and m.people >= FEWEST_PEOPLE]
    said = [f"{m.head}: {m.action} was never logged, so this file holds no evidence about it." for m in never]
    unchecked = dict.fromkeys(m.head for m in means if m.finding == "too few people")
    said += [f"{head}: too few people to check the propensities." for head in unchecked]
    for head in heads:
        certain, rows = sums.certain_rows[head.name], sums.rows[head.name]
        if certain:
            which = "all" if certain == rows else "some"
            said.append(f"{head.name}: {which} rows have propensity 1, so nothing was randomised there.")
    return said


def _unseen(regions: Sequence[RegionMean], spreads: Sequence[PeopleSpread]) -> list[str]:
    """Return in words where an action was impossible, and that actions were drawn once a person."""
    impossible = [m for m in regions if m.finding == "impossible"]
    said = [f"{region_words(m)}." for m in impossible[:_REGIONS_SHOWN]]
    if len(impossible) > _REGIONS_SHOWN:
        said.append("Actions were impossible in more regions.")
    once = dict.fromkeys(s.head for s in spreads if s.finding == "once a person")
    said += [f"{head}: nearly everybody has one action on all rows, as if it was drawn once a person." for head in once]
    return said
