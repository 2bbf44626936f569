"""Send a notice by e-mail, as plain text."""

from __future__ import annotations

import logging
from email.utils import parseaddr
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

from notices.models import Notice
from notices.services.webhook_post import PostResult, link_of

log = logging.getLogger(__name__)


def notice_mail(notice: Notice) -> PostResult:
    """Send one message to all addresses of R3AL_NOTICE_EMAILS. Every attempt has the same Message-ID."""
    domain = parseaddr(settings.R3AL_NOTICE_FROM)[1].rpartition("@")[2] or "r3al"
    message = EmailMessage(
        subject=f"[R3AL] {notice.get_kind_display()}: {notice.subject}",
        body=_body(notice),
        from_email=settings.R3AL_NOTICE_FROM,
        to=settings.R3AL_NOTICE_EMAILS,
        headers={"Message-ID": f"<{notice.public_id.hex}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except TimeoutError:
        return PostResult("no answer in time")
    except SMTPException as error:
        return PostResult(f"mail refused ({type(error).__name__})"[:40])
    except (OSError, ValueError) as error:
        log.warning("a notice cannot be sent by e-mail: %s", type(error).__name__)
        return PostResult("no connection")
    return PostResult("")


def _body(notice: Notice) -> str:
    link = f"\n{link_of(notice)}\n" if notice.link else ""
    return f"{notice.sentence}\n{link}\nLevel: {notice.level}\nTime: {notice.created_at:%Y-%m-%d %H:%M:%S} UTC\n"
