"""Check the permission that each view names for each method. No view names a role."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request


class HasPermission(IsAuthenticated):
    """Let a caller through who has the permission that the view's ``may`` names for the method (empty: any token)."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        needed = view.may.get("GET" if request.method == "HEAD" else request.method)
        if needed is None:  # OPTIONS needs no permission, and the view itself answers 405 for a method that it lacks
            return bool(request.method == "OPTIONS" or not hasattr(view, str(request.method).lower()))
        return needed == "" or bool(request.user.has_perm(needed))
