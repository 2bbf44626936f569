"""The bell in the head of every admin page: how many notices an operator has not seen."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from notices.selectors import MOST_COUNTED, notices_unseen
from r3al_project.permissions import VIEW_NOTICES


def bell(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the bell. It is counted when a page shows it, and not before."""
    return {"bell": SimpleLazyObject(lambda: _bell(request))}


def _bell(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    if user is None or not user.has_perm(VIEW_NOTICES):
        return {"shown": False}
    unseen = notices_unseen(user.pk)
    return {"shown": True, "unseen": unseen, "words": f"{MOST_COUNTED - 1}+" if unseen >= MOST_COUNTED else str(unseen)}
