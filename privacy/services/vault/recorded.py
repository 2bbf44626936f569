"""Collect, along the chain, what the Trust Vault recorded of the stored rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from privacy.engine.hash_chain import MODULUS


class RowEntry(NamedTuple):
    """The newest entry of a named row: its digest, and when the act was."""

    digest: str
    at: datetime


class FoldedBudget(NamedTuple):
    """What the budgets of other spellings of a person added to theirs (nano), when they did, and when it voided the account."""

    lifetime: int
    rho: int
    void: frozenset[str]
    at: frozenset[datetime]


class CapChange(NamedTuple):
    """A change of one cap of a person: when, the window (or ``rho``), and the caps before and after (nano)."""

    at: datetime
    window: str
    before: int
    after: int


_NEVER = datetime(1, 1, 1, tzinfo=UTC)
NOTHING_FOLDED = FoldedBudget(0, 0, frozenset(), frozenset())


@dataclass
class Recorded:
    """What the events of a chain recorded.

    ``rows`` holds the newest entry of each named row, about 200 bytes each: one for each release, round, version, loop, changed
    cap and erasure. ``sums`` holds one number for each table of the rows in great number. ``folded`` holds, by person, what other
    spellings of them had spent, and ``caps`` the changes of their caps, in order. ``editions`` holds the newest edition of each
    table whose rows were taken over. ``missing`` is the sum of the leaves of served decisions that are gone. ``adopted`` is the
    event that took over an older history (0: none), and ``adopted_at`` the time of the last such event.
    """

    rows: dict[str, RowEntry] = field(default_factory=dict)
    sums: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    folded: dict[str, FoldedBudget] = field(default_factory=dict)
    caps: defaultdict[str, list[CapChange]] = field(default_factory=lambda: defaultdict(list))
    editions: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    adopted: int = 0
    adopted_at: datetime = _NEVER

    def add(self, sequence: int, at: datetime, body: Mapping[str, Any], *, adopts: bool) -> None:
        """Add the entries of one event."""
        for name, digest in body.get("rows", {}).items():
            self.rows[name] = RowEntry(digest, at)
        for table, total in body.get("sums", {}).items():
            self.sums[table] = (self.sums[table] + int(total, 16)) % MODULUS
        for name, (lifetime, rho, void) in body.get("folded", {}).items():
            before = self.folded.get(name, NOTHING_FOLDED)
            times = before.void | ({void} if void else set())
            self.folded[name] = FoldedBudget(before.lifetime + lifetime, before.rho + rho, times, before.at | {at})
        if "cap" in body:
            for name in body.get("rows", {}):
                self.caps[name].append(CapChange(at, body["cap"], body["from_nano"], body["to_nano"]))
        self.editions |= body.get("covers", {})
        if adopts:
            self.adopted, self.adopted_at = self.adopted or sequence, at

    def names(self, kind: str) -> set[str]:
        """Return the names of the entries of one kind of row."""
        return {name for name in self.rows if name.partition(" ")[0] == kind}
