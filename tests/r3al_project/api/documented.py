"""Answers held against docs/openapi.yaml, which another test holds against the code."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import yaml
from django.test import Client
from jsonschema import Draft202012Validator

from tests.system import ROOT

DOCUMENT = ROOT / "docs" / "openapi.yaml"


@functools.cache
def document() -> dict[str, Any]:
    """The committed document."""
    read: dict[str, Any] = yaml.load(DOCUMENT.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return read


def place_of(path: str) -> str:
    """The documented path that an address lies under; a fixed one before one with a parameter."""
    plain = path.partition("?")[0]
    for known in sorted(document()["paths"], key=lambda p: p.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), plain):
            return str(known)
    raise AssertionError(f"{path} is not documented")


def assert_documented(method: str, path: str, response: Any) -> None:
    """The operation says that it may answer with this status, this kind of content and this body."""
    place = place_of(path)
    operation = document()["paths"][place].get(method.lower())
    if operation is None:
        assert response.status_code == 405, f"{method} {place} is not documented"
        return
    answers = operation["responses"]
    answer = answers.get(str(response.status_code)) or answers["default"]
    where = f"{method} {place} {response.status_code}"
    if str(response.status_code) not in answers:
        assert response.status_code >= 400, f"{where} is not documented"
    if "content" not in answer:
        assert not response.content, where
        return
    kind = response["Content-Type"].partition(";")[0]
    assert kind in answer["content"], f"{where} answers with {kind}"
    if kind.endswith("json"):
        errors = [
            f"{e.json_path}: {e.message}"
            for e in validator(answer["content"][kind]["schema"]).iter_errors(json.loads(response.content))
        ]
        assert not errors, f"{where}: {errors}"


def call(method: str, path: str, token: str | None, body: Any = None, **headers: str) -> Any:
    """Send a request below ``/api/v1/`` and hold its answer against the document; the response, with ``.told`` its JSON."""
    sent = {"Authorization": f"Token {token}"} if token else {}
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    response: Any = Client().generic(
        method, f"/api/v1/{path}", data, content_type="application/json", headers=sent | headers
    )
    assert_documented(method, f"/api/v1/{path}", response)
    response.told = json.loads(response.content) if response.content else None
    return response


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """One that finds the document's components."""
    whole = schema | {"components": document()["components"]}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
