"""Requests to the API as an app sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.test import Client

from tests.factories.care import CONTEXT

URL = "/api/v1/optima/decisions"


def ask(token: str, request_id: str, *, context: Mapping[str, Any] = CONTEXT, **more: Any) -> Any:
    """POST a decision of the care loop; the response, with ``.told`` its JSON."""
    body = {"requestId": request_id, "loop": "care", "context": dict(context)} | more
    return post(URL, token, body)


def post(url: str, token: str | None, body: Any) -> Any:
    """POST JSON (or bytes as they are) with a token; the response, with ``.told`` its JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Token {token}"} if token else {}
    response: Any = Client().post(url, data, content_type="application/json", headers=headers)
    response.told = json.loads(response.content)
    return response
