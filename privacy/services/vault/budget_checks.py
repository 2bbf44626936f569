"""Replay ledger, consents and cap changes, and compare each person's budget with what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from core import clock
from privacy.models import Consent, LedgerEntry, Person, PrivacyBudget, Purpose, Release, ReleaseState
from privacy.selectors.default_caps import RHO_CAP, default_caps
from privacy.services.vault.recorded import NOTHING_FOLDED, FoldedBudget, Recorded
from privacy.services.vault.stored_rows import CAPS, caps_digest, person_reference
from privacy.services.vault.window_checks import Charge, WindowFacts, windows_check

_CHUNK = 5_000
_BITS = {purpose.value: purpose.bit for purpose in Purpose}


@dataclass(slots=True)
class Replay:
    """What follows for one person from ledger and consents."""

    charges: list[Charge] = field(default_factory=list)
    consent_mask: int = 0
    folded: FoldedBudget = NOTHING_FOLDED

    @property
    def standing(self) -> list[Charge]:
        """Return the charges that were not refunded."""
        return [charge for charge in self.charges if not charge.is_refunded]


def budgets_check(recorded: Recorded) -> Iterator[str]:
    """Compare every budget with its replay, in one pass over budgets, ledger and consents in order of person."""
    today, left = clock.now().date(), recorded.names("caps")
    present = caps_digest(default_caps() | {"rho_cap": RHO_CAP})
    charges, consents = _Cursor(_charges()), _Cursor(_consents())
    budgets = PrivacyBudget.objects.select_related("person").order_by("pk")
    for budget in budgets.iterator(chunk_size=_CHUNK):
        folded = recorded.folded.get(person_reference("folded", budget.pk), NOTHING_FOLDED)
        replay = Replay(charges.of(budget.pk), _mask(consents.of(budget.pk)), folded)
        name = person_reference("caps", budget.pk)
        changes = recorded.caps.get(name, [])
        rolled = [budget.person.created_at, *(change.at for change in changes), *folded.at]
        reborn = budget.person.last_erased_at is not None
        facts = WindowFacts(today, recorded.adopted_at, rolled, changes, bool(folded.at), reborn)
        yield from _check_spent(budget, replay)
        yield from windows_check(budget, replay.charges, facts)
        if budget.consent_mask != replay.consent_mask:
            yield f"the consents of person {budget.pk} are not those that their acts of consent give"
        yield from _check_caps(budget, name, recorded, present)
        left.discard(name)
    if left:
        yield "a budget whose caps were changed is missing"
    if charges.is_skipped or Person.objects.filter(budget__isnull=True).exists():
        yield "a person has no budget"


def default_caps_entry(caps: dict[str, int]) -> dict[str, str]:
    """Return an event's entry for caps that new people get."""
    digest = caps_digest(caps)
    return {f"default-caps {digest[:32]}": digest}


def _check_caps(budget: PrivacyBudget, name: str, recorded: Recorded, present: str) -> Iterator[str]:
    """Check that an operator set the caps, or that new people get or got them. ``present``: the digest of today's."""
    digest = caps_digest({cap: getattr(budget, cap) for cap in CAPS})
    entry = recorded.rows.get(name)
    if entry is not None and entry.digest != digest:
        yield f"the caps of person {budget.pk} are not those that an operator set"
    if entry is None and digest != present and f"default-caps {digest[:32]}" not in recorded.rows:
        yield f"the caps of person {budget.pk} were changed without an event"


def _check_spent(budget: PrivacyBudget, replay: Replay) -> Iterator[str]:
    standing = replay.standing
    spent = (
        sum(charge.cost for charge in standing) + replay.folded.lifetime,
        sum(charge.rho for charge in standing) + replay.folded.rho,
    )
    if (budget.spent_lifetime, budget.rho_spent) != spent:
        yield f"the budget of person {budget.pk} is not what their ledger entries give"
    void = {charge.at for charge in standing if not charge.is_formal}
    void |= {datetime.fromisoformat(at) for at in replay.folded.void}
    is_void = budget.formal_void_at in void if void else budget.formal_void_at is None
    if not is_void:
        yield f"the formal account of person {budget.pk} is not what their ledger entries give"


def _charges() -> Iterator[tuple[int, Charge]]:
    """Return every charge with its release's facts, in order of person, and of each person in the order they were made."""
    releases = {
        pk: (at.astimezone(UTC), state == ReleaseState.REFUNDED, rho is not None)
        for pk, at, state, rho in Release.objects.values_list("pk", "created_at", "state", "rho")
    }
    entries = LedgerEntry.objects.order_by("person_id", "pk").values_list(
        "person_id", "release_id", "policy_cost", "rho"
    )
    for person, release, cost, rho in entries.iterator(chunk_size=_CHUNK):
        if release in releases:
            yield person, Charge(*releases[release], cost, rho)


def _consents() -> Iterator[tuple[int, tuple[str, bool]]]:
    acts = Consent.objects.order_by("person_id", "pk").values_list("person_id", "purpose", "granted")
    for person, purpose, granted in acts.iterator(chunk_size=_CHUNK):
        yield person, (purpose, granted)


def _mask(acts: list[tuple[str, bool]]) -> int:
    return sum(_BITS.get(purpose, 0) for purpose, granted in dict(acts).items() if granted)


class _Cursor:
    """Walk rows in order of person, beside another walk in the same order."""

    def __init__(self, rows: Iterator[tuple[int, Any]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._person, self._rows = self._next()
        self.is_skipped = False

    def _next(self) -> tuple[int, list[Any]]:
        for person, rows in self._groups:
            return person, [row for _, row in rows]
        return -1, []

    def of(self, person: int) -> list[Any]:
        """Return the rows of the next person who is asked for."""
        while -1 < self._person < person:
            self.is_skipped = True  # rows of somebody whom the other walk lacks
            self._person, self._rows = self._next()
        if self._person != person:
            return []
        rows, (self._person, self._rows) = self._rows, self._next()
        return rows
