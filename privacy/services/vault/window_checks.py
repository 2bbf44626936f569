"""Replay a person's charges by day, week and month, in the order in which they were made, and compare their windows with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from privacy.engine.budget_windows import ROLLING, first_day
from privacy.models import PrivacyBudget
from privacy.services.vault.recorded import CapChange

CROSSING = timedelta(hours=1)  # longer than a charge waits for its locks


class Charge(NamedTuple):
    """One charge: when its release began, its amounts (nano), and whether it was refunded or voids the formal account."""

    at: datetime
    is_refunded: bool
    is_formal: bool
    cost: int
    rho: int


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What decides a person's windows besides their charges.

    ``caps`` are the changes of their caps. ``rolled`` are the times at which their windows began without a charge. ``is_folded``
    tells whether the budget of another spelling of them was added, up to the caps. Nothing vouches for the caps before ``since``.
    ``is_reborn`` tells whether they were ever erased: who registers again keeps their budget, and nothing tells when it began.
    """

    today: date
    since: datetime
    rolled: Sequence[datetime]
    caps: Sequence[CapChange]
    is_folded: bool
    is_reborn: bool = False


@dataclass(slots=True)
class _Replayed:
    """The window that the last charge counted in, what each window spent, and what counts in a window or in the next one."""

    newest: date = date.min
    spent: defaultdict[date, int] = field(default_factory=lambda: defaultdict(int))
    unsure: int = 0


def windows_check(budget: PrivacyBudget, charges: Sequence[Charge], facts: WindowFacts) -> Iterator[str]:
    """Compare each window's first day and spending with the replay, and every window that ever was with the cap in force."""
    for window in ROLLING:
        replayed, is_over = _replay(budget, window, charges, facts)
        if is_over:
            yield f"the charges of person {budget.pk} in one {window} exceed the cap that was in force"
        if not _is_as_replayed(budget, window, replayed, facts):
            yield f"the {window}'s budget of person {budget.pk} is not what their ledger entries give"


def _replay(
    budget: PrivacyBudget, window: str, charges: Sequence[Charge], facts: WindowFacts
) -> tuple[_Replayed, bool]:
    """Replay one window as charges and refunds write it. Returns whether a charge exceeded the cap, too.

    A charge counts in the window that its release began in, or in a later one that another charge had begun. A refund takes it
    out of the first kind alone.
    """
    replayed, is_over = _Replayed(), False
    changes = [change for change in facts.caps if change.window == window]
    born_by = _born_by(charges) if facts.is_reborn else datetime.min.replace(tzinfo=UTC)
    for charge in charges:
        own = first_day(window, charge.at.date())
        replayed.newest = max(replayed.newest, own)
        if _may_cross(window, charge.at, facts.rolled) or (charge.at <= born_by and _is_near_end(window, charge.at)):
            replayed.unsure += charge.cost
        elif not (charge.is_refunded and own == replayed.newest):
            replayed.spent[replayed.newest] += charge.cost
            cap = _highest_cap(changes, charge.at, getattr(budget, f"cap_{window}"))
            is_over |= charge.at >= facts.since and replayed.spent[replayed.newest] > cap
    return replayed, is_over


def _may_cross(window: str, at: datetime, rolled: Sequence[datetime]) -> bool:
    """Tell whether the next window may have begun, without a charge, while this one waited for its locks."""
    return any(at <= roll <= at + CROSSING and first_day(window, roll.date()) > at.date() for roll in rolled)


def _born_by(charges: Sequence[Charge]) -> datetime:
    """Return the latest time at which a budget can have begun: every charge before waited for it."""
    return min((charge.at for charge in charges), default=datetime.min.replace(tzinfo=UTC)) + CROSSING


def _is_near_end(window: str, at: datetime) -> bool:
    """Tell whether the next window began while a charge that began at ``at`` may have waited."""
    return first_day(window, (at + CROSSING).date()) > at.date()


def _highest_cap(changes: Sequence[CapChange], at: datetime, now: int) -> int:
    """Return the highest cap that was in force while a charge that began at ``at`` waited for its locks."""
    before, after = [c for c in changes if c.at <= at], [c for c in changes if c.at > at]
    standing = before[-1].after if before else after[0].before if after else now
    return max([standing, *(change.after for change in after if change.at <= at + CROSSING)])


def _is_as_replayed(budget: PrivacyBudget, window: str, replayed: _Replayed, facts: WindowFacts) -> bool:
    """Tell whether a stored window is the replayed one, or one without a charge that has begun since."""
    first: date = getattr(budget, window)
    latest = max([first_day(window, facts.today), *(first_day(window, roll.date()) for roll in facts.rolled)])
    begun = first == replayed.newest or replayed.newest < first <= latest
    more = getattr(budget, f"spent_{window}") - replayed.spent.get(first, 0)
    fits = more >= 0 and (facts.is_folded or more <= replayed.unsure)
    return begun and fits and first_day(window, first) == first
