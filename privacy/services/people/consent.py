"""Grant and withdraw consent. Each act is a row of history; a mask on the budget row holds current consent, under its lock.

A person may grant again what they withdrew. A file never does, and a service only under a text that the withdrawal did not know.
Nobody else undoes what the person refused on their own device, and nobody else grants anything after an erasure. So an act is
written, too, if it changes nothing but who said it: a refusal of what was never granted closes it to files and services. Each
account's devices refuse for themselves (``refusals``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db import transaction
from django.db.models import F, QuerySet

from core.errors import NoConsent
from privacy.engine.dp.coarse_counts import two_digits
from privacy.engine.hash_chain import digests_sum
from privacy.models import Consent, Person, PrivacyBudget, Purpose, VaultKind
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.devices import NOBODY, Origin
from privacy.services.people.refusals import own_refusals, standing_acts
from privacy.services.vault.append import subject_of, subjects_of, vault_append
from privacy.services.vault.commitments import text_digest
from privacy.services.vault.stored_rows import CONSENTS

Grantor = Literal["person", "service", "file"]


@dataclass(frozen=True)
class _Word:
    """What an act says, of whichever person and purpose."""

    granted: bool
    source: str
    text_version: str
    origin: Origin
    lifts: bool = False

    def act(self, person_id: int, purpose: Purpose) -> Consent:
        """Return the act of one person, not stored yet."""
        return Consent(
            person_id=person_id, purpose=purpose.value, granted=self.granted, source=self.source,
            text_version=self.text_version, device=self.origin.device, account_id=self.origin.account_id, lifts=self.lifts,
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """Return what the Trust Vault records of it."""
        text, source = text_digest(self.text_version), self.source[:80]
        lifted = {"lifted": True} if self.lifts else {}
        return {"granted": self.granted, "text": text, "source": source} | self.origin.facts() | lifted


@transaction.atomic
def consent_grant(
    *,
    person_ids: Collection[int],
    purposes: Sequence[Purpose],
    source: str,
    text_version: str = "1",
    by: Grantor = "person",
    origin: Origin = NOBODY,
) -> int:
    """Grant purposes for people. Returns the number of acts written.

    What was granted under the same text is not granted again, unless the person confirms on their own device what others said.
    ``by`` says whose word it is: a file changes nothing for people who ever granted or refused the purpose, and a service does
    not repeat what was withdrawn.
    """
    word = _Word(True, source, text_version, origin)
    if by == "file":
        changing = {p: _undecided(p, people) for p, people in _without(person_ids, purposes).items()}
    else:
        changing = _unsaid(person_ids, purposes, word)
    if by == "service":
        changing = {p: _open_to_services(p, people, text_version) for p, people in changing.items()}
    return _write(changing, word)


@transaction.atomic
def consent_withdraw(
    *,
    person_ids: Collection[int],
    purposes: Sequence[Purpose],
    source: str,
    text_version: str = "1",
    origin: Origin = NOBODY,
) -> int:
    """Withdraw purposes for people, or note that they refuse them. Returns the number of acts written.

    After the commit nothing is charged for the purposes. What was refused is not refused again, unless the person does so on
    their own device, once for each account that issued one, or others under another text.
    """
    word = _Word(False, source, text_version, origin)
    return _write(_unsaid(person_ids, purposes, word), word)


@transaction.atomic
def refusals_lift(*, person_id: int, purposes: Sequence[Purpose], text_version: str, origin: Origin) -> int:
    """Write that the person no longer refuses purposes on devices of an account. Nothing is granted. Returns the number of acts.

    Call it under the lock of the person's budget row, for refusals of this account that stand (``refused_elsewhere``).
    """
    word = _Word(False, OWN_SOURCE, text_version, origin, lifts=True)
    return _write({purpose: [person_id] for purpose in purposes}, word)


def personalization_check(person_id: int, refused: str) -> None:
    """Raise NoConsent without the person's consent to personalization. Locks their budget row, so a withdrawal waits.

    Args:
        refused: what the refusal means, for the error.
    """
    budget = PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    if not budget.consent_mask & Purpose.PERSONALIZATION.bit:
        raise NoConsent(f"the person has not consented to personalization, so {refused}")


def _without(person_ids: Collection[int], purposes: Sequence[Purpose]) -> dict[Purpose, list[int]]:
    """Return the people who have not granted each purpose, and lock their budget rows.

    The rows of all purposes are locked at once in person order, as a charge locks them, which avoids deadlocks. PostgreSQL reads
    a mask again after waiting for its lock.
    """
    bits = sum(p.bit for p in purposes)
    budgets = PrivacyBudget.objects.filter(person_id__in=person_ids).alias(has=F("consent_mask").bitand(bits))
    locked = _locked(budgets.exclude(has=bits))
    return {p: [pk for pk, mask in locked.items() if not mask & p.bit] for p in Purpose if p in purposes}


def _locked(budgets: QuerySet[PrivacyBudget]) -> dict[int, int]:
    """Lock budget rows in person order, and return their consent masks by person."""
    return dict(budgets.order_by("person_id").select_for_update().values_list("person_id", "consent_mask"))


def _unsaid(person_ids: Collection[int], purposes: Sequence[Purpose], word: _Word) -> dict[Purpose, list[int]]:
    """Return, by purpose, the people for whom a word changes what is granted or who said it, and lock their budget rows."""
    locked = _locked(PrivacyBudget.objects.filter(person_id__in=person_ids))
    changing: dict[Purpose, list[int]] = {}
    for purpose in (p for p in Purpose if p in purposes):
        standing = standing_acts(purpose, locked)
        said = {pk for pk, acts in standing.items() if acts[0].granted == word.granted and _is_said(acts, word)}
        changing[purpose] = [pk for pk in locked if pk not in said]
    return changing


def _is_said(standing: Sequence[Consent], word: _Word) -> bool:
    """Tell whether acts that stand already hold a word that grants or refuses as they do.

    The person's own word holds that of everybody. Their own refusal holds for every text, on devices of the account it came from.
    """
    is_own = word.source == OWN_SOURCE
    own = [act for act in standing if act.source == OWN_SOURCE]
    if not word.granted and is_own:
        return word.origin.account_id in own_refusals(standing)
    if not word.granted and own:
        return True
    return any(act.text_version == word.text_version for act in (own if is_own else standing))


def _undecided(purpose: Purpose, people: list[int]) -> list[int]:
    decided = Consent.objects.filter(person_id__in=people, purpose=purpose).values_list("person_id", flat=True)
    return sorted(set(people) - set(decided) - _ever_erased(people))


def _open_to_services(purpose: Purpose, people: list[int], text_version: str) -> list[int]:
    """Return the people whose word on a purpose a service may report.

    They did not withdraw the purpose, or without knowing this text. What they never granted they did not withdraw: until
    they refuse it on their own device, a service may replace the answer that it reported.
    """
    acts = list(Consent.objects.filter(person_id__in=people, purpose=purpose).order_by("id"))
    standing = standing_acts(purpose, people)
    known = {act.person_id for act in acts if act.text_version == text_version}
    had_granted = {act.person_id for act in acts if act.granted}
    refused = {pk for pk, standing_ones in standing.items() if not standing_ones[0].granted}
    own = {pk for pk in refused if any(act.source == OWN_SOURCE for act in standing[pk])}
    erased = _ever_erased(people)
    closed = own | (refused & known & had_granted) | {pk for pk in erased if pk in refused or pk not in standing}
    return [pk for pk in people if pk not in closed]


def _ever_erased(people: Collection[int]) -> set[int]:
    erased = Person.objects.filter(pk__in=people, last_erased_at__isnull=False)
    return set(erased.values_list("pk", flat=True))


def _write(changing: dict[Purpose, list[int]], word: _Word) -> int:
    added: dict[Purpose, int] = {}
    for purpose, people in changing.items():
        acts = Consent.objects.bulk_create([word.act(pk, purpose) for pk in people])
        added[purpose] = digests_sum(map(CONSENTS.digest, acts))
    for bits, people in _by_bits(changing).items():
        mask = F("consent_mask").bitor(bits) if word.granted else F("consent_mask").bitand(~bits & 7)
        PrivacyBudget.objects.filter(person_id__in=people).update(consent_mask=mask)
    for purpose, people in changing.items():  # last, because the Trust Vault's head is the last lock
        _record(people, purpose, word, added[purpose])
    return sum(map(len, changing.values()))


def _by_bits(changing: dict[Purpose, list[int]]) -> dict[int, list[int]]:
    """Group people by all the bits that change for them, so that each row is updated once.

    PostgreSQL checks the references of a row updated twice in one transaction again at commit. It would then wait for a release
    while holding the Trust Vault's head.
    """
    bits: dict[int, int] = {}
    for purpose, people in changing.items():
        for pk in people:
            bits[pk] = bits.get(pk, 0) | purpose.bit
    people_by_bits: dict[int, list[int]] = {}
    for pk, changed in bits.items():
        people_by_bits.setdefault(changed, []).append(pk)
    return people_by_bits


def _record(changing: list[int], purpose: Purpose, word: _Word, added: int) -> None:
    """Record acts in the Trust Vault: one person's act under their own commitment, the acts of several people as one event.

    ``added`` is the sum of the digests of the acts' rows.
    """
    if not changing:
        return
    one = Person.objects.get(pk=changing[0]) if len(changing) == 1 else None
    body = {"purpose": purpose.value, "people": 1 if one else two_digits(len(changing))} | word.facts()
    vault_append(
        kind=VaultKind.CONSENT,
        body=body if one else body | {"commitment": subjects_of(changing)},
        subject=subject_of(one) if one else "",
        sums={CONSENTS.name: added},
    )
