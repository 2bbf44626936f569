"""Dialogs about one person: find them by the app's identifier, and erase them."""

from __future__ import annotations

from typing import Any

from django import forms

from core.admin_base import DialogForm, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget
from core.errors import InputError
from core.identifiers import identifier_normalised
from privacy.services.people.erasure import ErasureReason


class FindPersonForm(DialogForm):
    """Form for a person's identifier. It is posted, so that no address and no access log ever holds it."""

    identifier = forms.CharField(
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}), label="Identifier in the app (userId)"
    )

    def clean_identifier(self) -> str:
        """Return the normalised identifier. Raises ValidationError for an unusable one."""
        try:
            return identifier_normalised(self.cleaned_data["identifier"])
        except InputError as error:
            raise forms.ValidationError(str(error)) from None


class ErasePersonForm(DialogForm):
    """Form for the reason of an erasure, and for the person's number as a confirmation."""

    reason = forms.ChoiceField(
        choices=[("", "Choose a reason"), *ErasureReason.choices], widget=UnfoldAdminSelectWidget,
        label="Reason, kept in the Trust Vault",
    )  # fmt: skip
    confirm = forms.CharField(
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}), label="Type the person's number to confirm"
    )

    def clean_confirm(self) -> str:
        """Return the typed number. Raises ValidationError for the number of somebody else."""
        typed: str = self.cleaned_data["confirm"].strip()
        if typed != str(self.object_id):
            raise forms.ValidationError("this is not the number of this person; nothing was erased")
        return typed

    def reason_given(self) -> ErasureReason:
        """Return the chosen reason."""
        given: dict[str, Any] = self.cleaned_data
        return ErasureReason(given["reason"])
