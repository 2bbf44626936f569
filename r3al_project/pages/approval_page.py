"""The page that asks before a second operator approves or declines what another one asked for."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from core.errors import NotFound
from core.sentences import sentence
from privacy.models import Approval
from privacy.selectors.approvals import approval_get
from privacy.services.approvals.accounts import operator_of
from privacy.services.approvals.decide import approval_approve, approval_check, approval_decline
from privacy.services.approvals.doors import done_how
from r3al_project.pages.operator_views import Question, confirm, dashboard_view, done, require
from r3al_project.permissions import DECIDE_APPROVAL

_ACTS = ("approve", "decline")
_STORED = "Your reason is stored with the request, and its digest in the Trust Vault."


@dashboard_view
def approval_act(request: HttpRequest, approval: int, act: str) -> HttpResponse:
    """Ask for confirmation and a reason, then approve or decline."""
    require(request, DECIDE_APPROVAL)
    if act not in _ACTS:
        raise NotFound(f"{act[:40]!r} is nothing to do with a request; use {' or '.join(_ACTS)}")
    if request.method == "POST":
        return done(request, lambda: _decide(request, approval, act))
    found = approval_get(approval)

    def check() -> None:
        if act == "approve":
            approval_check(approval=found, by=operator_of(request.user))

    return confirm(request, _question(found, act), check=check)


def _question(approval: Approval, act: str) -> Question:
    notes = [f"{approval.asked_by} asked for it on {approval.created_at:%Y-%m-%d %H:%M} UTC."]
    notes += [sentence(f"Their reason: {approval.reason}")] if approval.reason else []
    outcome = f"It is {done_how(approval)} at once." if act == "approve" else "Nothing is done."
    return Question(
        f"{act.capitalize()} {approval} of loop {approval.loop.name}?",
        f"{approval.words} {outcome} {_STORED}",
        act.capitalize(),
        warning=sentence(approval.seen.get("objection", "")),
        reason="plain",
        notes=notes,
    )


def _decide(request: HttpRequest, approval: int, act: str) -> str:
    by, reason = operator_of(request.user), request.POST.get("reason", "")
    if act == "decline":
        return f"You declined {approval_decline(number=approval, by=by, reason=reason)}. Nothing was done."
    made = approval_approve(number=approval, by=by, reason=reason)
    return f"You approved {made} of {made.asked_by}. It is {done_how(made)}: {made.made}."
