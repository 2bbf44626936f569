"""Admin pages of people and their budgets. People appear as numbers. Operators can change a cap and erase a person."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from core.admin_base import (
    DialogForm,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    action,
    dialog_response,
    display,
)
from core.errors import R3alError
from core.html_format import html_meter, number_text
from privacy.admin.person_forms import ErasePersonForm, FindPersonForm
from privacy.admin.person_rows import PersonRowsAdmin
from privacy.engine.dp.accounting import NANO
from privacy.models import Approval, Person, PrivacyBudget, Purpose
from privacy.models.account import REVOKE_TOKENS
from privacy.models.budget import CHANGE_CAPS, WINDOWS
from privacy.models.keys import ERASE_PERSON
from privacy.models.person import FOLDS
from privacy.selectors.approvals import waits_sentence
from privacy.services.approvals.accounts import operator_of
from privacy.services.budget.caps import LARGEST_CAP, LIFETIME_RHO, CapReason
from privacy.services.budget.guarded_caps import cap_change_or_ask
from privacy.services.people.erasure import person_erase
from privacy.services.people.identity import people_find
from privacy.services.people.tokens import person_tokens_revoke


@admin.register(Person)
class PersonAdmin(PersonRowsAdmin):
    person = "pk"
    list_display = ("__str__", "population", "judges", "created_at")
    list_filter = ("population",)
    fields = ("population", "judges", "created_at", "erased_at", "last_erased_at")
    readonly_fields = fields
    actions_list = ["find"]
    actions_detail = ["revoke", "erase"]

    @display(description="place in the cohort")
    def judges(self, person: Person) -> str:
        return f"fold {person.fold:,} of {FOLDS:,}"

    def has_erase_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Return whether the user may erase people, which needs its own permission."""
        return bool(request.user.has_perm(ERASE_PERSON))

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Return whether the user may revoke tokens, which needs its own permission."""
        return bool(request.user.has_perm(REVOKE_TOKENS))

    def has_find_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Return whether the user may learn which person an identifier means: only who may act on one."""
        return self.has_erase_permission(request) or self.has_revoke_permission(request)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Return the page's actions; none for a person who is already erased."""
        if Person.objects.filter(pk=object_id, erased_at__isnull=False).exists():
            return []
        actions: list[Any] = super().get_actions_detail(request, object_id)
        return actions

    @action(
        description="Find a person",
        icon="person_search",
        permissions=["find"],
        url_path="find",
        dialog={
            "title": "Find a person by the app's identifier",
            "description": "The identifier is looked up by its keyed digest. It is stored nowhere, and appears in no address.",
            "form_class": FindPersonForm,
            "form_submit_text": "Find",
        },
    )
    def find(self, request: HttpRequest, form: FindPersonForm) -> HttpResponse:
        found, people = people_find(identifier=form.cleaned_data["identifier"]), "admin:privacy_person_changelist"
        if not found:
            message = "Nobody is registered under this identifier, or they are erased."
            return dialog_response(request, reverse(people), message=message, failed=True)
        if len(found) > 1:
            listed = ",".join(str(p.pk) for p in found)
            message = "Several populations know this identifier. They may be different people."
            return dialog_response(request, f"{reverse(people)}?id__in={listed}", message=message)
        page = reverse("admin:privacy_person_change", args=[found[0].pk])
        return dialog_response(request, page, message=f"This is person {found[0].pk}.")

    @action(
        description="Revoke the device tokens",
        icon="phonelink_erase",
        permissions=["revoke"],
        url_path="revoke-tokens",
        dialog={
            "title": "Revoke the tokens of all devices of this person?",
            "description": "Every request with such a token is refused within two seconds. The app's backend can register a "
            "device again.",
            "form_submit_text": "Revoke the tokens",
        },
    )
    def revoke(self, request: HttpRequest, form: object, object_id: str) -> HttpResponse:
        revoked = person_tokens_revoke(person_id=int(object_id))
        self.log_change(request, Person.objects.get(pk=object_id), f"revoked {revoked} tokens")
        page = reverse("admin:privacy_person_change", args=[object_id])
        return dialog_response(request, page, message=f"{revoked} tokens of person {object_id} are revoked.")

    @action(
        description="Erase this person",
        icon="delete_forever",
        permissions=["erase"],
        url_path="erase",
        dialog={
            "title": "Erase this person for good?",
            "description": "Their data key, signals, decisions, consents and logins are destroyed, and every stored export that "
            "holds their rows is emptied. The record of their spent budget stays. This cannot be undone.",
            "form_class": ErasePersonForm,
            "form_submit_text": "Erase the person",
        },
    )
    def erase(self, request: HttpRequest, form: ErasePersonForm, object_id: str) -> HttpResponse:
        page = reverse("admin:privacy_person_change", args=[object_id])
        try:
            erased = person_erase(
                person_id=int(object_id), source=f"admin {request.user.pk}", reason=form.reason_given()
            )
        except R3alError as error:
            return dialog_response(request, page, message=str(error), failed=True)
        message = (
            f"Person {object_id} is erased: {erased.signals} signals and {erased.decisions} decisions were deleted."
        )
        return dialog_response(request, page, message=message)


class CapForm(DialogForm):
    """Form for a new cap: the cap's window, its value, and the reason for the change."""

    window = forms.ChoiceField(
        choices=[(w, f"{w} (policy units)") for w in WINDOWS] + [(LIFETIME_RHO, "lifetime rho (formal)")],
        widget=UnfoldAdminSelectWidget,
        label="Cap",
    )
    cap = forms.FloatField(min_value=0.0, max_value=LARGEST_CAP, widget=UnfoldAdminTextInputWidget, label="New cap")
    reason = forms.ChoiceField(
        choices=[("", "Choose a reason"), *CapReason.choices], widget=UnfoldAdminSelectWidget,
        label="Reason, kept in the Trust Vault",
    )  # fmt: skip


@admin.register(PrivacyBudget)
class PrivacyBudgetAdmin(PersonRowsAdmin):
    list_display = ("person", "consents", "day_share", "week_share", "month_share", "lifetime_share", "rho_share")
    list_filter = ("consent_mask", ("formal_void_at", admin.EmptyFieldListFilter))
    list_select_related = ("person",)
    fields = ("person", "consents", "day_share", "week_share", "month_share", "lifetime_share", "rho_share",
              "formal_void_at")  # fmt: skip
    readonly_fields = fields
    actions_detail = ["change_cap"]

    def has_caps_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Return whether the user may change caps, which needs its own permission."""
        return bool(request.user.has_perm(CHANGE_CAPS))

    @action(
        description="Change a cap",
        icon="tune",
        permissions=["caps"],
        url_path="change-cap",
        dialog={
            "title": "Change a cap of this budget",
            "description": "A cap cannot be lower than what is already spent. The lifetime rho can only be lowered. The Trust "
            "Vault records the change and its reason, and the person can see both.",
            "form_class": CapForm,
            "form_submit_text": "Change the cap",
        },
    )
    def change_cap(self, request: HttpRequest, form: CapForm, object_id: str) -> HttpResponse:
        page = reverse("admin:privacy_privacybudget_change", args=[object_id])
        given = form.cleaned_data
        try:
            made = cap_change_or_ask(
                person_id=int(object_id),
                window=given["window"],
                cap=given["cap"],
                reason=CapReason(given["reason"]),
                by=operator_of(request.user),
            )
        except R3alError as error:
            return dialog_response(request, page, message=str(error), failed=True)
        if isinstance(made, Approval):
            return dialog_response(request, page, message=waits_sentence(made))
        return dialog_response(request, page, message=f"The {given['window']} cap is now {given['cap']:g}.")

    @display(description="consents to")
    def consents(self, budget: PrivacyBudget) -> str:
        return ", ".join(p.value for p in Purpose if budget.consent_mask & p.bit) or "nothing"

    @display(description="this day (units)", ordering="spent_day")
    def day_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_day, budget.cap_day)

    @display(description="this week (units)", ordering="spent_week")
    def week_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_week, budget.cap_week)

    @display(description="this month (units)", ordering="spent_month")
    def month_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_month, budget.cap_month)

    @display(description="lifetime (units)", ordering="spent_lifetime")
    def lifetime_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_lifetime, budget.cap_lifetime)

    @display(description="lifetime rho (formal)", ordering="rho_spent")
    def rho_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.rho_spent, budget.rho_cap)


def _share(spent: int, cap: int) -> SafeString:
    return html_meter(spent / cap if cap else 1.0, f"{number_text(spent / NANO)} of {number_text(cap / NANO)}")
