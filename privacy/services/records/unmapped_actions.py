"""Name the actions of a file that the loop file does not map. Without their rows the check of propensities means nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from loops.engine.rows.cells import RowError, quoted_list
from loops.engine.rows.reader import RowReader
from loops.engine.spec import Head, LoopSpec
from loops.intake.files import Source, read_records
from privacy.services.records.import_findings import FEWEST_PEOPLE

_NAMED = 10  # of a head
_LONGEST = 40  # characters of a text that may be the name of an action


def unmapped_actions(source: Source, reader: RowReader, spec: LoopSpec, heads: Sequence[Head]) -> str:
    """Return which texts stand in place of actions, and what to do, or an empty text if there are none.

    A text is named only if enough people have it, because a refusal outlives an erasure and a cell may hold anything.
    """
    words = []
    for head in heads:
        people = _people_by_text(source, reader, head)
        if not people:
            continue
        common = [
            t for t, who in people.items() if len(who) >= FEWEST_PEOPLE and t.isprintable() and len(t) <= _LONGEST
        ]
        named = sorted(common, key=lambda text: -len(people[text]))[:_NAMED]
        rest = "" if len(named) == len(people) else " and texts of a few people" if named else "texts of a few people"
        column = spec.imports.heads[head.name].action
        words.append(
            f"column {column!r} of head {head.name} holds {quoted_list(named) if named else ''}{rest}, but its actions are "
            f"{quoted_list(head.actions)}. Map each text to an action ({head.name} in [import.csv.actions]), or declare it as an "
            "action of the head"
        )
    return "; ".join(words)


def _people_by_text(source: Source, reader: RowReader, head: Head) -> dict[str, set[str]]:
    """Return, for each text that is no action of the head, the people with it, up to the number that is enough."""
    people: dict[str, set[str]] = defaultdict(set)
    for record in read_records(source):
        try:
            found = None if record.error else reader.unmapped_action(record.cells, head.name)
        except RowError:
            continue
        if found is not None and len(people[found[1]]) < FEWEST_PEOPLE:
            people[found[1]].add(found[0])
    return dict(people)
