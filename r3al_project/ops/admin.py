"""Admin pages of users and groups."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from core.admin_base import (
    AdminPasswordChangeForm,
    RecordAdmin,
    UserChangeForm,
    UserCreationForm,
    action,
    dialog_response,
)
from privacy.models import PersonAccount
from privacy.services.people.tokens import tokens_revoke
from r3al_project.ops import webhook_admin  # noqa: F401  (registers its page)
from r3al_project.permissions import REVOKE_TOKENS

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, RecordAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    actions_detail = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the accounts of staff and of services. Those of people are reached by the person alone."""
        accounts: QuerySet[User] = super().get_queryset(request)
        return accounts.exclude(pk__in=PersonAccount.objects.values("user_id"))

    def has_revoke_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Return whether the user may revoke tokens, which needs its own permission."""
        return bool(request.user.has_perm(REVOKE_TOKENS))

    @action(
        description="Revoke the tokens",
        icon="key_off",
        permissions=["revoke"],
        url_path="revoke-tokens",
        dialog={
            "title": "Revoke all API tokens of this account?",
            "description": "Every request with such a token is refused within two seconds. The account can log in again.",
            "form_submit_text": "Revoke the tokens",
        },
    )
    def revoke(self, request: HttpRequest, form: object, object_id: str) -> HttpResponse:
        account, revoked = User.objects.get(pk=object_id), tokens_revoke(user_ids=[int(object_id)])
        self.log_change(request, account, f"revoked {revoked} tokens")
        page = reverse("admin:auth_user_change", args=[object_id])
        return dialog_response(request, page, message=f"{revoked} tokens of {account.get_username()} are revoked.")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, RecordAdmin):
    pass
