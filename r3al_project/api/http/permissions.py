"""Who may call what: a permission an action, never a role by name."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request


class HasPermission(IsAuthenticated):
    """The caller has the permission that the view names for the method in ``may`` (an empty text: any token will do)."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        needed = view.may.get(request.method)
        if needed is None:  # asking about the view is free, and what it does not do it says itself
            return bool(request.method == "OPTIONS" or not hasattr(view, str(request.method).lower()))
        return needed == "" or bool(request.user.has_perm(needed))
