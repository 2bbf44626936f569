"""Describe in the OpenAPI document what DRF's serializers do not cover: the plain views and the problem documents."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import Any

import msgspec

from core.problem_json import LATER, PROBLEM_TYPES, types_of_status
from deployments.services.serving import requests, responses
from r3al_project.api.answers import outcomes
from r3al_project.api.answers.shape import Shape
from r3al_project.api.http.request_bodies import StrictBody

Document = dict[str, Any]
_REFS = "#/components/schemas/Serving{name}"
# Clients were generated from these names, so the document keeps them although the structs are named otherwise.
_PUBLISHED = {"DecisionRequest": "Request", "DecisionAnswer": "Answer", "HeadAnswer": "Action"}
_INHERITED = (inspect.getdoc(Shape), inspect.getdoc(StrictBody))
_TOKEN: list[Document] = [{"knoxApiToken": []}]


@dataclass(frozen=True)
class Endpoint:
    """One POST endpoint of a plain view.

    answers: meaning and struct, by status.
    refusals: error statuses beyond those that every endpoint has.
    """

    path: str
    operation: str
    summary: str
    body: type[msgspec.Struct]
    answers: dict[int, tuple[str, type[msgspec.Struct]]]
    refusals: tuple[int, ...] = ()


_DECISIONS = "/api/v1/optima/decisions"
ENDPOINTS = (
    Endpoint(
        _DECISIONS, "decide", "Decide for one person. A retry with the same requestId and body gets the same bytes.",
        requests.DecisionRequest, {200: ("The decision: an action for each head.", responses.DecisionAnswer)}, (404, 409),
    ),
    Endpoint(
        f"{_DECISIONS}/{{decision}}/activate", "activate", "Report that the device showed the decision. The first time counts.",
        outcomes.ActivateBody, {200: ("The time at which it was first shown.", outcomes.ActivateAnswer)}, (404,),
    ),
    Endpoint(
        f"{_DECISIONS}/{{decision}}/rewards", "reward",
        "Report the reward of a decision: a total, components, inputs or a label. A label may go with any one of the others.",
        outcomes.RewardBody,
        {
            201: ("The reward is new and was recorded.", outcomes.RewardAnswer),
            200: ("The reward was recorded before.", outcomes.RewardAnswer),
            202: ("The reward came after the deadline. It is kept apart and no policy learns from it.", outcomes.RewardAnswer),
        },
        (404,),
    ),
    Endpoint(
        "/api/v1/signals", "signals", "Send signals about one person. Each signal is kept once by its id.",
        outcomes.SignalsBody, {200: ("The counts of the batch, and each rejected signal.", outcomes.SignalsAnswer)}, (404, 409),
    ),
    Endpoint(
        "/api/v1/training/rewards/calculate", "calculateReward", "Compute a reward. Nothing is stored.",
        outcomes.CalculateBody, {200: ("The total and its components.", outcomes.CalculateAnswer)}, (404,),
    ),
)  # fmt: skip
_MEANINGS = {
    400: "The body is not JSON.",
    401: "The token is missing or not valid.",
    403: "The role does not allow this, or the person has not consented.",
    404: "It does not exist, or it is not yours.",
    408: "The body did not arrive in time.",
    409: "The current state does not allow this. The detail says why.",
    413: "The body is too large.",
    422: "A value does not fit. The detail says which, and errors names the fields.",
    429: "Too many logins failed.",
    503: "The database is away or busy, or the server has too many requests to answer.",
}
_OF_BODIES, _OF_ALL = (400, 408, 413, 422), (503,)  # refusals of every method that takes a body, and of every operation
_RETRY_AFTER: Document = {
    "description": "Seconds until the client should send the request again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
PROBLEM: Document = {
    "type": "object",
    "description": "An error (RFC 9457). Some carry further members.",
    "properties": {
        "type": {
            "type": "string",
            "enum": list(PROBLEM_TYPES),
            "description": "Branch on this, not on the sentence in detail. A type is never renamed.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The problem, and the action to take."},
        "errors": {
            "type": "object",
            "description": "Error sentences, by field. A field inside another is named like hyperparams.gamma.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
    "required": ["type", "title", "status", "detail"],
}


def complete(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """Add the plain views' endpoints, and each operation's error answers. Postprocessing hook of drf-spectacular."""
    for operations in result["paths"].values():
        for method, operation in operations.items():
            _add_locations(operation)
            _add_refusals(operation, _refusals(method, operation))
    schemas, components = _structs()
    result["components"]["schemas"] |= schemas | {"Problem": PROBLEM} | _problems()
    for schema in result["components"]["schemas"].values():
        _say_defaults(schema)
    result["paths"] |= {e.path: {"post": _operation(e, components)} for e in ENDPOINTS}
    result["paths"] = dict(sorted(result["paths"].items()))
    result["components"]["schemas"] = dict(sorted(result["components"]["schemas"].items()))
    return result


def _say_defaults(schema: Document) -> None:
    """Say defaults in words, and leave out what a component inherits from a base class without saying anything of itself.

    Generators of types take a field with ``default`` as always present, and then refuse a request that leaves it out.
    """
    if schema.get("description") in _INHERITED:
        del schema["description"]
    for field in schema.get("properties", {}).values():
        default = field.pop("default", None)
        if default not in (None, "", {}):
            words = f"Default: {json.dumps(default)}."
            field["description"] = f"{field['description']} {words}" if "description" in field else words


def _add_locations(operation: Document) -> None:
    """Document where a long job or a new release can be looked at."""
    for status, answer in operation["responses"].items():
        named = str(answer.get("content", {})).partition("schemas/")[2]
        if status in ("201", "202") and named.startswith(("TrainAnswer", "Anonymize")):
            answer["headers"] = {
                "Location": {"description": "Address of the job or the release.", "schema": {"type": "string"}}
            }


def _structs() -> tuple[Document, dict[type, Document]]:
    """Return the schemas of all structs by their published names, and a reference to each struct's schema."""
    kinds = [e.body for e in ENDPOINTS] + [kind for e in ENDPOINTS for _, kind in e.answers.values()]
    found, components = msgspec.json.schema_components(kinds, ref_template=_REFS)
    found, components = _published((found, components))
    schemas = {f"Serving{_PUBLISHED.get(name, name)}": schema for name, schema in components.items()}
    return schemas, dict(zip(kinds, found, strict=True))


def _published(part: Any) -> Any:
    """Return a part of the document with each struct's name replaced by its published name."""
    if isinstance(part, dict):
        return {key: _published(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_published(value) for value in part]
    for name, published in _PUBLISHED.items():
        if part in (name, _REFS.format(name=name)):
            return part.replace(name, published)
    return part


def _operation(endpoint: Endpoint, components: dict[type, Document]) -> Document:
    operation: Document = {
        "operationId": f"v1_{endpoint.operation}",
        "description": endpoint.summary,
        "tags": ["v1"],
        "security": _TOKEN,
        "requestBody": {"required": True, "content": {"application/json": {"schema": components[endpoint.body]}}},
        "responses": {
            str(status): {"description": meaning, "content": {"application/json": {"schema": components[kind]}}}
            for status, (meaning, kind) in endpoint.answers.items()
        },
    }
    if "{decision}" in endpoint.path:
        place = {"type": "string", "format": "uuid"}
        operation["parameters"] = [{"in": "path", "name": "decision", "required": True, "schema": place}]
    _add_refusals(operation, (*_OF_BODIES, 401, 403, *endpoint.refusals, *_OF_ALL))
    return operation


def _refusals(method: str, operation: Document) -> tuple[int, ...]:
    """Return the error statuses that follow from an operation's inputs: token, body, path and query.

    A login has no token, and is alone in that failures limit it.
    """
    takes, is_login = {p["in"] for p in operation.get("parameters", ())}, {} in operation["security"]
    takes_body = method in ("post", "put")
    found = [401, 429] if is_login else [401, 403]
    found += _OF_BODIES if takes_body else [422] if "query" in takes else []
    found += [404] if "path" in takes else []
    found += [409] if "requestBody" in operation or "header" in takes else []
    return (*found, *_OF_ALL)


def _add_refusals(operation: Document, statuses: tuple[int, ...]) -> None:
    operation["responses"] |= {str(status): _refusal(status) for status in sorted(statuses)}
    operation["responses"]["default"] = {"description": "Another error.", "content": _problem_content("Problem")}


def _refusal(status: int) -> Document:
    headers = {"headers": {"Retry-After": _RETRY_AFTER}} if status in LATER else {}
    return {"description": _MEANINGS[status], "content": _problem_content(f"Problem{status}")} | headers


def _problem_content(schema: str) -> Document:
    return {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _problems() -> dict[str, Document]:
    """Return a schema for each status: a problem document that has one of the status's own types."""
    return {f"Problem{status}": _problem_of_status(status) for status in _MEANINGS}


def _problem_of_status(status: int) -> Document:
    properties: Document = PROBLEM["properties"]
    own = {
        "type": properties["type"] | {"enum": types_of_status(status)},
        "status": {"type": "integer", "enum": [status]},
    }
    return PROBLEM | {"description": _MEANINGS[status], "properties": properties | own}
