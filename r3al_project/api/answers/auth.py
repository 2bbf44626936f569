"""Build the answer to a login."""

from __future__ import annotations

from datetime import datetime

from rest_framework import serializers

from r3al_project.api.answers.shape import Answer, Shape


class LoginAnswer(Shape):
    token = serializers.CharField(help_text="Shown only once. Send it in the header Authorization: Token ...")
    expiry = serializers.DateTimeField()


def login_answer(token: str, expiry: datetime) -> Answer:
    """Build the answer that shows an account's new token."""
    return {"token": token, "expiry": expiry}
