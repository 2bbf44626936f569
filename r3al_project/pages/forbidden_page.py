"""The page of a refused request: inside the admin's shell, and naming the roles that may do what was asked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.log import log_response

from r3al_project.pages.operator_views import MissingPermission
from r3al_project.permissions import VIEW_VERSIONS

_PERMISSIONS_OF_PAGES = {"changelist": "view", "change": "view", "history": "view", "add": "add", "delete": "delete"}
_OUTDATED = (
    "The form was outdated or came from another site, so nothing was changed. Load the page again and repeat it."
)
Check = Callable[[HttpRequest], bool]


class _RoleHolder:
    """Stand for an account that has one role and no permission beside it."""

    is_active = is_staff = is_authenticated = True
    is_superuser = is_anonymous = False

    def __init__(self, role: Group) -> None:
        held = Permission.objects.filter(group=role).select_related("content_type")
        self._names = {f"{p.content_type.app_label}.{p.codename}" for p in held}

    def has_perm(self, permission: str, record: object = None) -> bool:
        return permission in self._names


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403: a page inside the shell for staff, and a plain one for everybody else. The log gets one line."""
    answer = _page(request, _who_may(request, exception)) or render(request, "403.html", status=403)
    log_response("Forbidden: %s", request.path, response=answer, request=request)  # Django would add the traceback
    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose token is missing or outdated."""
    return _page(request, _OUTDATED) or render(request, "403.html", {"reason": _OUTDATED}, status=403)


def _page(request: HttpRequest, reason: str) -> HttpResponse | None:
    """Render a reason inside the shell. Returns None for somebody who may not see the shell."""
    if not hasattr(request, "user") or not admin.site.has_permission(request):
        return None
    shown = admin.site.each_context(request) | {"title": "This is not allowed", "reason": reason}
    shown["has_front_page"] = request.user.has_perm(VIEW_VERSIONS)
    return render(request, "admin/forbidden.html", shown, status=403)


def _who_may(request: HttpRequest, exception: Exception) -> str:
    """Return which roles may do what was refused, in a sentence or two."""
    check = _check(request, exception)
    if check is None:
        return f"{_refusal(request)}. Ask an administrator which role you need."
    roles = [role.name for role in Group.objects.order_by("name") if check(_as_holder(request, role))]
    if roles:
        held = "the role that allows it is" if len(roles) == 1 else "the roles that allow it are"
        return f"{_refusal(request)}; {held} {', '.join(roles)}. Ask an administrator to give you one."
    if request.user.is_superuser:
        return "Nobody does this by hand. Only the platform writes these records."
    return "No role allows this. Ask an administrator."


def _refusal(request: HttpRequest) -> str:
    has_role = request.user.groups.exists() or request.user.is_superuser  # type: ignore[union-attr]
    return "Your roles do not allow this" if has_role else "Your account has no role, so this is not allowed"


def _as_holder(request: HttpRequest, role: Group) -> HttpRequest:
    asking = copy.copy(request)
    asking.user = _RoleHolder(role)  # type: ignore[assignment]
    return asking


def _check(request: HttpRequest, exception: Exception) -> Check | None:
    """Return what decides whether a request is allowed; None where neither the error nor the address tells."""
    if isinstance(exception, MissingPermission):
        return lambda asking: asking.user.has_perm(exception.permission)
    match = request.resolver_match
    of_records = getattr(match.func, "model_admin", None) if match else None
    if match is None or not isinstance(of_records, ModelAdmin):
        return None
    checks = list(_checks(of_records, match.url_name or ""))
    return (lambda asking: all(check(asking) for check in checks)) if checks else None


def _checks(of_records: ModelAdmin, url_name: str) -> Iterator[Check]:
    """Return the checks of a page of records, or of an action on them, by the name of its address."""
    options = of_records.opts
    page = url_name.removeprefix(f"{options.app_label}_{options.model_name}_")
    needed = getattr(getattr(of_records, page, None), "allowed_permissions", None) or [
        _PERMISSIONS_OF_PAGES.get(page, "")
    ]
    for name in filter(None, needed):
        yield getattr(of_records, f"has_{name}_permission")
