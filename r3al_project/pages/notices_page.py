"""The page of notices: what operators were told, newest first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from notices.models import MANAGE_WEBHOOKS, Notice
from notices.selectors import last_seen, notices_page
from notices.services.seen import notices_mark_seen
from r3al_project.pages.operator_views import require
from r3al_project.permissions import VIEW_NOTICES

_CHIPS = {"info": ("waiting", "•"), "warning": ("insufficient", "!"), "urgent": ("fail", "✕")}
_DIGITS = 18


@admin.site.admin_view
def notices_list(request: HttpRequest) -> HttpResponse:
    """Show one page of notices to accounts that may see them."""
    require(request, VIEW_NOTICES)
    page, seen = notices_page(before=_number(request.GET.get("before", ""))), last_seen(request.user.pk or 0)
    shown: dict[str, Any] = {
        "title": "Notices",
        "rows": [_row(notice, seen) for notice in page.notices],
        "newest": page.notices[0].pk if page.notices else 0,
        "older": page.older,
        "is_first": "before" not in request.GET,
        "may_manage": request.user.has_perm(MANAGE_WEBHOOKS),
    }
    return render(request, "admin/notices.html", admin.site.each_context(request) | shown)


@require_POST
@admin.site.admin_view
def notices_seen(request: HttpRequest) -> HttpResponse:
    """Mark all notices up to the newest one that the page showed as seen."""
    require(request, VIEW_NOTICES)
    notices_mark_seen(user_id=request.user.pk or 0, up_to=_number(request.POST.get("newest", "")) or 0)
    return HttpResponseRedirect(reverse("notices"))


def _row(notice: Notice, seen: int) -> dict[str, Any]:
    state, sign = _CHIPS[notice.level]
    return {"notice": notice, "is_new": notice.pk > seen, "chip": {"state": state, "sign": sign, "words": notice.level}}


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
