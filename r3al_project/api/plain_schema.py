"""The API's document where serializers do not reach: serving's plain views, made from their structs, and problem documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from deployments.services.serving import requests, responses
from loops.engine.reward import COMPONENTS
from privacy.engine.data_types import DATA_TYPES
from r3al_project.api import outcomes

Document = dict[str, Any]
_REFS = "#/components/schemas/Serving{name}"
# Clients were generated from these names, so a struct that is called otherwise now keeps its own in the document.
_PUBLISHED = {"DecisionRequest": "Request", "DecisionAnswer": "Answer", "HeadAnswer": "Action"}
_TOKEN: list[Document] = [{"knoxApiToken": []}]


@dataclass(frozen=True)
class Endpoint:
    """A POST of an app. ``answers``: meaning and struct by status; ``refusals``: beside those that every one has."""

    path: str
    operation: str
    summary: str
    body: type[msgspec.Struct]
    answers: dict[int, tuple[str, type[msgspec.Struct]]]
    refusals: tuple[int, ...] = ()


_DECISIONS = "/api/v1/optima/decisions"
ENDPOINTS = (
    Endpoint(
        _DECISIONS, "decide", "Decide for one person; a retry with the same requestId and body gets the same bytes.",
        requests.DecisionRequest, {200: ("What to do now.", responses.DecisionAnswer)}, (404, 409),
    ),
    Endpoint(
        f"{_DECISIONS}/{{decision}}/activate", "activate", "The device showed the decision; the first time counts.",
        outcomes.ActivateBody, {200: ("When it was first shown.", outcomes.ActivateAnswer)}, (404,),
    ),
    Endpoint(
        f"{_DECISIONS}/{{decision}}/rewards", "reward",
        "What followed a decision: one of total, components and inputs, perhaps with a label, or a label alone.",
        outcomes.RewardBody,
        {
            201: ("Kept.", outcomes.RewardAnswer),
            200: ("Known already.", outcomes.RewardAnswer),
            202: ("Too late: kept apart and never learned from.", outcomes.RewardAnswer),
        },
        (404,),
    ),
    Endpoint(
        "/api/v1/signals", "signals", "What the app heard of one person; each signal is kept once by its id.",
        outcomes.SignalsBody, {200: ("What became of each.", outcomes.SignalsAnswer)}, (404, 409),
    ),
    Endpoint(
        "/api/v1/training/rewards/calculate", "calculateReward", "Compute a reward; nothing is stored.",
        outcomes.CalculateBody, {200: ("The total and its components.", outcomes.CalculateAnswer)}, (404,),
    ),
)  # fmt: skip
_MEANINGS = {
    400: "The body is not JSON.",
    401: "There is no valid token.",
    403: "Not this role, or not consented.",
    404: "Not there, or not yours.",
    409: "Not now; the detail says why.",
    413: "The body is too large.",
    422: "Something does not fit; the detail says what, errors names fields.",
}
PROBLEM: Document = {
    "type": "object",
    "description": "An error (RFC 9457). Some carry further members.",
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, and what to do."},
        "errors": {
            "type": "object",
            "description": "Sentences by the field that they are about.",
            "additionalProperties": {},
        },
    },
    "required": ["type", "title", "status", "detail"],
}


def complete(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """Postprocessing hook of drf-spectacular: adds serving's endpoints, and to every operation what it refuses with."""
    for operations in result["paths"].values():
        for operation in operations.values():
            _refuses(operation, _refusals(operation))
    schemas, components = _structs()
    result["components"]["schemas"] |= schemas | {"Problem": PROBLEM}
    result["paths"] |= {e.path: {"post": _operation(e, components)} for e in ENDPOINTS}
    result["paths"] = dict(sorted(result["paths"].items()))
    result["components"]["schemas"] = dict(sorted(result["components"]["schemas"].items()))
    return result


def _structs() -> tuple[Document, dict[type, Document]]:
    """Components of all structs, under names of their own, and where each is found."""
    kinds = [e.body for e in ENDPOINTS] + [kind for e in ENDPOINTS for _, kind in e.answers.values()]
    found, components = msgspec.json.schema_components(kinds, ref_template=_REFS)
    found, components = _published((found, components))
    schemas = {f"Serving{_PUBLISHED.get(name, name)}": schema for name, schema in components.items()}
    # Names that the types leave open, because their errors name what is known.
    names = {"propertyNames": {"enum": list(COMPONENTS)}}
    schemas["ServingRewardBody"]["properties"]["components"]["anyOf"][0] |= names
    schemas["ServingCalculateAnswer"]["properties"]["components"] |= names
    schemas["ServingSignalBody"]["properties"]["type"] |= {"enum": list(DATA_TYPES)}
    return schemas, dict(zip(kinds, found, strict=True))


def _published(part: Any) -> Any:
    """Return a part of the document in which references and titles say the published names."""
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
            str(status): {"description": said, "content": {"application/json": {"schema": components[kind]}}}
            for status, (said, kind) in endpoint.answers.items()
        },
    }
    if "{decision}" in endpoint.path:
        place = {"type": "string", "format": "uuid"}
        operation["parameters"] = [{"in": "path", "name": "decision", "required": True, "schema": place}]
    _refuses(operation, (400, 401, 403, 413, 422, *endpoint.refusals))
    return operation


def _refusals(operation: Document) -> tuple[int, ...]:
    """Statuses that follow from what an operation takes: a token, a body, a place, a query."""
    takes = {p["in"] for p in operation.get("parameters", ())}
    found = [401] if {} in operation["security"] else [401, 403]
    found += [400, 422] if "requestBody" in operation else [422] if "query" in takes else []
    found += [404] if "path" in takes else []
    return (*found, 409) if "requestBody" in operation or "header" in takes else tuple(found)


def _refuses(operation: Document, statuses: tuple[int, ...]) -> None:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"] |= {str(s): {"description": _MEANINGS[s], "content": content} for s in sorted(statuses)}
    operation["responses"]["default"] = {"description": "Another error.", "content": content}
