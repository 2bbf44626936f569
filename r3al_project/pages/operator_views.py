"""Views of the training dashboard: who may open them, and the page that asks an operator to confirm an action.

The action itself is a POST with its own permission, and its service records it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from core.errors import R3alError
from core.sentences import sentence
from r3al_project.permissions import VIEW_VERSIONS

View = Callable[..., HttpResponse]


class MissingPermission(PermissionDenied):
    """Say which permission (``app.codename``) an account lacks."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


def dashboard_view(view: View) -> View:
    """Restrict a view to logged-in operators who may see models. Show expected errors on the dashboard."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, **names: Any) -> HttpResponse:
        require(request, VIEW_VERSIONS)
        try:
            return view(request, **names)
        except R3alError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("training-dashboard"))

    return admin.site.admin_view(guarded)


def require(request: HttpRequest, permission: str) -> None:
    """Raise MissingPermission unless the account has a permission."""
    if not request.user.has_perm(permission):
        raise MissingPermission(permission)


@dataclass(frozen=True)
class Question:
    """What an operator is asked before an action.

    reason: "plain" to ask for a reason, "harm" to ask also whether the version did harm, or empty.
    objections: what speaks against the action. With one, the page asks for the reason to act all the same.
    choices: ways to act, as rows with ``value``, ``label``, ``text`` and ``checked``. The form sends the value as ``strategy``.
    notes: what an operator should know beforehand, one sentence each.
    """

    title: str
    text: str
    button: str
    warning: str = ""
    reason: str = ""
    objections: Sequence[str] = ()
    choices: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()


def confirm(request: HttpRequest, question: Question, *, check: Callable[[], object] = lambda: None) -> HttpResponse:
    """Render the confirmation page of an action.

    Args:
        check: raises R3alError when the action is not possible now. The page then shows the error and no button.
    """
    shown: dict[str, Any] = {"title": question.title, "question": question, "refused": ""}
    try:
        check()
    except R3alError as error:
        shown["refused"] = sentence(str(error))
    status = 409 if shown["refused"] else 200
    return render(request, "training/confirm.html", admin.site.each_context(request) | shown, status=status)


def done(request: HttpRequest, act: Callable[[], str]) -> HttpResponse:
    """Perform an action, show its result as a message, and return to the dashboard."""
    messages.success(request, act())
    return HttpResponseRedirect(reverse("training-dashboard"))
