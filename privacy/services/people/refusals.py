"""Read whose refusals of a purpose stand: each account's own one, until a device of that account lifts it or a grant ends it.

A service can issue itself a device of anybody whom it can name. So what the person refused on their own device is undone only
on a device from the same account. A new phone that is registered by the same app is one. Another service's device is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from django.contrib.auth import get_user_model

from privacy.models import Consent, PrivacyBudget, Purpose
from privacy.models.consent import OWN_SOURCE


def standing_acts(purpose: Purpose, people: Collection[int]) -> dict[int, list[Consent]]:
    """Return the acts that still stand, by person: the newest one, and those before it that granted or refused as it does."""
    standing: dict[int, list[Consent]] = {}
    for act in Consent.objects.filter(person_id__in=people, purpose=purpose).order_by("id"):
        before = standing.get(act.person_id, [])
        standing[act.person_id] = [*before, act] if before and before[0].granted == act.granted else [act]
    return standing


def own_refusals(standing: Iterable[Consent]) -> dict[int | None, Consent]:
    """Return the person's own refusals that nobody lifted, by account, in order. ``standing`` are acts that stand, in order."""
    refused: dict[int | None, Consent] = {}
    for act in standing:
        if act.lifts:
            refused.pop(act.account_id, None)
        elif not act.granted and act.source == OWN_SOURCE:
            refused.setdefault(act.account_id, act)
    return refused


def refused_elsewhere(
    *, person_id: int, purposes: Collection[Purpose], account_id: int | None
) -> tuple[list[Purpose], list[Purpose]]:
    """Return the purposes that another account's devices keep closed, and those that this account's devices refused.

    It locks the person's budget row, so that nobody refuses or lifts meanwhile. A refusal from before issuers were stored names
    no account, and nobody can issue a device of a deleted account any more. So any device of the person undoes these.
    """
    PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    refusers = {p: _refusers(person_id, p) for p in Purpose if p in purposes}
    others = {pk for accounts in refusers.values() for pk in accounts} - {account_id, None}
    existing = set(get_user_model().objects.filter(pk__in=others).values_list("pk", flat=True))
    closed = [p for p, accounts in refusers.items() if existing & accounts]
    return closed, [p for p, accounts in refusers.items() if account_id is not None and account_id in accounts]


def _refusers(person_id: int, purpose: Purpose) -> set[int | None]:
    acts: Sequence[Consent] = standing_acts(purpose, [person_id]).get(person_id, [])
    return set(own_refusals(acts))
