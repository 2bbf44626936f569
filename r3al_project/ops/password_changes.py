"""End the API tokens of an account whose password changes, wherever it is changed: admin, command or code."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models.signals import pre_save

from privacy.services.people.tokens import tokens_revoke


def watch_passwords() -> None:
    """Connect the handler to the account model."""
    pre_save.connect(_end_tokens, sender=get_user_model(), dispatch_uid="password changes end tokens")


def _end_tokens(instance: AbstractBaseUser, update_fields: frozenset[str] | None, **_: Any) -> None:
    if instance.pk is None or (update_fields is not None and "password" not in update_fields):
        return
    # A login may store the same password under a newer hash: then nobody set one, and tokens stay.
    is_set = getattr(instance, "_password", None) is not None or not instance.has_usable_password()
    stored = type(instance)._default_manager.filter(pk=instance.pk).values_list("password", flat=True).first()
    if is_set and stored not in (None, instance.password):
        tokens_revoke(user_ids=[instance.pk])
