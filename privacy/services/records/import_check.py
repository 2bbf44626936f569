"""Check a file's propensities before anything of it is stored: a first pass over the file, in memory bounded by its people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from core.errors import InputError
from loops.engine.rows.assignment_check import FAR, AssignmentMean, AssignmentSums
from loops.engine.rows.cells import RowError, quoted_list
from loops.engine.rows.propensities import UNUSABLE
from loops.engine.rows.propensity_conventions import CONVENTION_ROWS, Convention, likely_convention
from loops.engine.rows.reader import RowReader
from loops.engine.spec import Head, LoopSpec
from loops.intake.files import Source, read_records
from privacy.services.records.import_findings import FEWEST_PEOPLE, has_numbers, mean_words, rounded

_UNUSABLE_SHARE = 0.1  # of available rows: above it the column holds something else than probabilities


@dataclass(frozen=True)
class PropensityCheck:
    """The result of checking a file's propensities. ``refusal`` says why the file is refused (empty: it is not)."""

    means: Sequence[AssignmentMean]
    warnings: Sequence[str]
    refusal: str

    @property
    def sentences(self) -> list[str]:
        """Return each mean that has an interval, and the warnings, in words."""
        return [*(f"{mean_words(m)}." for m in self.means if m.low is not None), *self.warnings]


def propensities_check(source: Source, reader: RowReader, spec: LoopSpec) -> PropensityCheck:
    """Compute the mean of 1{a}/p for each head and action, and find the convention of propensities that it refutes."""
    heads = [h for h in spec.heads if h.name in spec.imports.heads]
    sums, failures, rows = AssignmentSums(heads, explored=reader.flags_explored), Counter[str](), 0
    for record in read_records(source):
        try:
            row = None if record.error else reader.assignment(record.cells)
        except RowError as error:
            rows += 1
            failures[error.reason] += error.reason in UNUSABLE
            continue
        if row is not None:
            rows += 1
            sums.add(*row)
    means = sums.means()
    problems = [_refuted(source, reader, spec, head, means) for head in heads if _is_refuted(head, means)]
    unusable = failures.total()
    if unusable > _UNUSABLE_SHARE * rows:
        is_sum = failures["propensity_sum"] > unusable / 2
        problems.append((_not_to_one if is_sum else _not_probabilities)(source, reader, spec, heads))
    return PropensityCheck(means, _warnings(heads, sums, means), "; ".join(problems))


def refusal_error(check: PropensityCheck, source: Source) -> InputError:
    """Return the error by which a file is refused."""
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
        rate = f"{rounded(100 * worst.share):g}%" if has_numbers(worst) else "another rate"
        return (
            f"{which} of head {head.name} take {worst.action} at {rate}, but the loop file declares logging "
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
    never = [m for m in means if m.finding == "never logged" and m.among != "explored"]
    said = [f"{m.head}: {m.action} was never logged, so this file holds no evidence about it." for m in never]
    unchecked = dict.fromkeys(m.head for m in means if m.finding == "too few people")
    said += [f"{head}: too few people to check the propensities." for head in unchecked]
    for head in heads:
        certain, rows = sums.certain_rows[head.name], sums.rows[head.name]
        if certain:
            which = "all" if certain == rows else "some"
            said.append(f"{head.name}: {which} rows have propensity 1, so nothing was randomised there.")
    return said
