"""Join people who were stored under another spelling of their identifier, before identifiers were normalised.

A stored pseudonym is a digest, so it cannot be normalised afterwards. These functions derive the spellings that an identifier may
have had, and look for their digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial, update_wrapper
from math import isqrt

from django.db import transaction

from core import clock
from core.digests import PERSON, keyed
from core.errors import Conflict
from core.identifiers import earlier_spellings
from privacy.models import Consent, Person, PrivacyBudget, Purpose, VaultKind
from privacy.models.budget import WINDOWS
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.consent import consent_withdraw
from privacy.services.people.devices import act_origin
from privacy.services.people.erasure import ErasureReason, person_erase, tombstone
from privacy.services.people.refusals import own_refusals, standing_acts
from privacy.services.vault.append import time_text, vault_append
from privacy.services.vault.stored_rows import people_seal, person_reference

_SOURCE = "another spelling"


def person_spelled(*, population: str, identifier: str) -> Person | None:
    """Return the person who is stored under another spelling of an identifier, or None."""
    keys = [spelling_key(population, spelling) for spelling in earlier_spellings(identifier)]
    return Person.objects.filter(population=population, key__in=keys).order_by("pk").first() if keys else None


def spellings_adopt(*, population: str, keys: Mapping[str, str]) -> None:
    """Give people who are stored under another spelling the pseudonym of the normalised identifier, also erased people.

    If that pseudonym exists already, one person was counted as two. The other spelling is then folded into it after the commit.

    Args:
        keys: pseudonym by identifier as it was given.
    """
    normal = {spelling_key(population, s): key for i, key in keys.items() for s in earlier_spellings(i)}
    if not normal:
        return
    buried = {_tombstone(population, old): new for old, new in normal.items()}
    people = Person.objects.filter(population=population)
    for person in list(people.filter(key__in=[*normal, *buried]).order_by("pk")):
        erased = person.key in buried
        key = buried[person.key] if erased else normal[person.key]
        same = people.filter(key__in=[key, _tombstone(population, key)]).first()
        if same is not None:
            last = person.key if erased else _tombstone(population, person.key)
            # A function of its own: Django reads the name of one that fails, which a partial does not have.
            fold = partial(spelling_fold, other_id=person.pk, key=last, into_id=same.pk)
            transaction.on_commit(update_wrapper(fold, spelling_fold), robust=True)
            continue
        named = {"key": _tombstone(population, key) if erased else key, "first_key": person.first_key or person.key}
        if people.filter(pk=person.pk, key=person.key).update(**named):
            people_seal(people.filter(pk=person.pk))


def spelling_fold(*, other_id: int, key: str, into_id: int) -> None:
    """Erase the other spelling of a person, and add its spent budget to theirs, once. What either refused stays refused.

    Args:
        key: tombstone of the other spelling.
    """
    _keep_refusals(other_id, key, into_id)  # before the erasure, which deletes the other spelling's acts
    with suppress(Conflict):  # erased already
        person_erase(person_id=other_id, source=_SOURCE, reason=ErasureReason.DUPLICATE)
    with transaction.atomic():
        budgets = PrivacyBudget.objects.filter(person_id__in=[other_id, into_id]).order_by("person_id")
        spent = {b.person_id: b for b in budgets.select_for_update()}
        other = Person.objects.select_for_update(no_key=True).get(pk=other_id)
        if other.key != key:
            return  # folded already
        before = spent[into_id].spent_lifetime, spent[into_id].rho_spent
        _add_spent(spent[into_id], spent[other_id])
        # No identifier leads to this key any more. The tombstone stays, because a restored backup may hold its person.
        Person.objects.filter(pk=other_id).update(key=_tombstone(other.population, key), first_key=key)
        people_seal(Person.objects.filter(pk=other_id))
        _record(spent[into_id], *before)


def _keep_refusals(other_id: int, key: str, into_id: int) -> None:
    """Withdraw from a person what another spelling of them refused, or lost by an erasure and nobody but them granted since.

    Each act is a transaction of its own, because the Trust Vault's head is the last lock of one. It can be run again.
    """
    other = Person.objects.get(pk=other_id)
    if other.erased_at is not None and other.key != key:
        return  # folded already
    _keep_erasure(other, into_id)
    for purpose in Purpose:
        theirs = standing_acts(purpose, [other_id]).get(other_id, [])
        held = standing_acts(purpose, [into_id]).get(into_id, [])
        for act in _refusals(theirs):
            source, text, origin = act.source, act.text_version, act_origin(act)
            consent_withdraw(person_ids=[into_id], purposes=[purpose], source=source, text_version=text, origin=origin)
        if not theirs and held and _is_lost(held[-1], other.last_erased_at):
            text = held[-1].text_version
            consent_withdraw(person_ids=[into_id], purposes=[purpose], source=_SOURCE, text_version=text)


def _refusals(standing: Sequence[Consent]) -> list[Consent]:
    """Return the refusals among acts that stand: each account's own one that was not lifted, and the newest of others."""
    others = [act for act in standing if not act.granted and act.source != OWN_SOURCE]
    return [*others[-1:], *own_refusals(standing).values()]


@transaction.atomic
def _keep_erasure(other: Person, into_id: int) -> None:
    """Let a person remember the erasure of another spelling of them, so that no file brings back what was erased."""
    into = Person.objects.select_for_update(no_key=True).filter(pk=into_id)
    mine = into.get().last_erased_at
    if other.last_erased_at is not None and (mine is None or mine < other.last_erased_at):
        into.update(last_erased_at=other.last_erased_at)
        people_seal(Person.objects.filter(pk=into_id))


def _is_lost(held: Consent, erased_at: datetime | None) -> bool:
    """Tell whether an erasure of another spelling ends a consent: unless the person gave it on their own device since."""
    if erased_at is None:
        return False
    return held.granted and (held.source != OWN_SOURCE or held.created_at < erased_at)


def _record(budget: PrivacyBudget, lifetime: int, rho: int) -> None:
    """Record in the Trust Vault what another spelling's budget added to one whose ``lifetime`` and ``rho`` were these."""
    void = budget.formal_void_at
    added = [budget.spent_lifetime - lifetime, budget.rho_spent - rho, None if void is None else time_text(void)]
    vault_append(kind=VaultKind.BUDGET, body={"folded": {person_reference("folded", budget.pk): added}})


def _add_spent(budget: PrivacyBudget, other: PrivacyBudget) -> None:
    """Add what another budget spent. Of policy units the caps are the most that is stored, which ends every further charge.

    The formal account holds all that was spent, or else it is void.
    """
    for window in WINDOWS:
        mine, theirs = getattr(budget, f"spent_{window}"), getattr(other, f"spent_{window}")
        if window != "lifetime":
            first, other_first = getattr(budget, window), getattr(other, window)
            setattr(budget, window, max(first, other_first))
            mine, theirs = mine * (first >= other_first), theirs * (other_first >= first)
        setattr(budget, f"spent_{window}", min(mine + theirs, getattr(budget, f"cap_{window}")))
    rho = _rho_together(budget.rho_spent, other.rho_spent)
    void = [budget.formal_void_at, other.formal_void_at, clock.now() if rho > budget.rho_cap else None]
    budget.rho_spent = min(rho, budget.rho_cap)
    budget.formal_void_at = min(filter(None, void), default=None)
    budget.save()


def _rho_together(mine: int, theirs: int) -> int:
    """Return the rho (nano) of one human whom releases read under two spellings: mu adds up, and mu^2 = 2 rho.

    Where no release read both, it is less. Rounded up.
    """
    return mine + theirs + (isqrt(4 * mine * theirs - 1) + 1 if mine * theirs else 0)


def spelling_key(population: str, spelling: str) -> str:
    """Return the pseudonym (64 hexadecimal digits) of a person by one spelling of their identifier."""
    return keyed(PERSON, population, spelling).hex()


def _tombstone(population: str, key: str) -> str:
    return tombstone(population=population, key=key)
