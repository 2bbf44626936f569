"""Consent: each act is a row of history; what is in force is a mask on the budget row, under the lock of a charge."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db import transaction
from django.db.models import F

from privacy.models import Consent, Person, PrivacyBudget, Purpose, VaultKind
from privacy.services.vault import subject_of, subjects_of, vault_append


@transaction.atomic
def consent_grant(
    *,
    person_ids: Collection[int],
    purposes: Sequence[Purpose],
    source: str,
    text_version: str = "1",
    keep_decided: bool = False,
) -> int:
    """Grant purposes to people; returns how many acts were written. What is granted already is not granted again.

    With ``keep_decided`` who ever granted or withdrew a purpose keeps that answer: a file must not undo a withdrawal.
    """
    return sum(_change(person_ids, p, True, source, text_version, keep_decided) for p in Purpose if p in purposes)


@transaction.atomic
def consent_withdraw(
    *, person_ids: Collection[int], purposes: Sequence[Purpose], source: str, text_version: str = "1"
) -> int:
    """Withdraw purposes; returns how many acts were written. From the commit on nothing is charged to these people."""
    return sum(_change(person_ids, p, False, source, text_version, False) for p in Purpose if p in purposes)


def _change(
    person_ids: Collection[int], purpose: Purpose, granted: bool, source: str, text_version: str, keep_decided: bool
) -> int:
    masks = PrivacyBudget.objects.filter(person_id__in=person_ids).alias(has=F("consent_mask").bitand(purpose.bit))
    masks = masks.filter(has=0) if granted else masks.exclude(has=0)
    # Locks are taken in person order, as a charge takes them; on PostgreSQL the mask is read again after a wait.
    changing = list(masks.order_by("person_id").select_for_update().values_list("person_id", flat=True))
    if keep_decided and changing:
        decided = Consent.objects.filter(person_id__in=changing, purpose=purpose).values_list("person_id", flat=True)
        changing = sorted(set(changing) - set(decided))
    Consent.objects.bulk_create(
        [
            Consent(person_id=i, purpose=purpose, granted=granted, source=source, text_version=text_version)
            for i in changing
        ]
    )
    mask = F("consent_mask").bitor(purpose.bit) if granted else F("consent_mask").bitand(~purpose.bit & 7)
    PrivacyBudget.objects.filter(person_id__in=changing).update(consent_mask=mask)
    if changing:
        _record(changing, purpose, granted, source)
    return len(changing)


def _record(changing: list[int], purpose: Purpose, granted: bool, source: str) -> None:
    """One person's act under their own commitment; those of many, as a file brings them, as one event."""
    one = Person.objects.get(pk=changing[0]) if len(changing) == 1 else None
    body = {"purpose": purpose.value, "granted": granted, "source": source[:80], "people": len(changing)}
    vault_append(
        kind=VaultKind.CONSENT,
        body=body if one else body | {"commitment": subjects_of(changing)},
        subject=subject_of(one) if one else "",
    )
