"""What a generator of types, such as openapi-typescript with its defaults, makes of the document.

It takes a field with ``default`` as always present, an open schema as ``unknown``, and a text without ``enum`` as any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from loops.engine.reward import COMPONENTS
from r3al_project.api.answers.outcomes import RewardComponents, WeighedComponents
from tests.r3al_project.api.documented import document

CAMEL = re.compile(r"[a-z]+[0-9]*([A-Z][a-z0-9]*)*")
# Facts whose names and kinds depend on the technique or on the kind of event.
OPEN = {"ReleaseAnswer.parameters", "ReleaseDetailAnswer.parameters", "AnonymizeAnswer.parameters", "EventAnswer.what",
        "RolloutAnswer.terms", "RolloutCheckAnswer.figures", "ApprovalAnswer.parameters"}  # fmt: skip
CHOICES = {"status", "state", "verdict", "technique", "dataType", "sourceDataType", "period", "deploymentType", "code", "stage",
           "outcome", "limitedBy", "mode", "source", "fallback", "unavailable", "strategy", "step", "waitsFor"}  # fmt: skip
NO_CHOICES = {
    "ExportedDecision.state": "features by name", "ExportedDecision.outcome": "an object",
    "RolloutAnswer.stage": "a number", "RolloutCheckAnswer.stage": "a number",
}  # fmt: skip
# Numbers of a body without a bound of their own: the loop's file or the technique bounds them.
UNBOUNDED = {"ServingRewardBody.total", "AnonymizeBody.k", "AnonymizeBody.diversity"}


def fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Component, name and schema of every field."""
    for component, schema in document()["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            yield component, name, field


def inside(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all that it consists of."""
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from inside(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from inside(part)


def resolved(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in inside(field):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        yield document()["components"]["schemas"][name] if name else part


def test_no_field_has_a_default_so_that_none_must_be_sent() -> None:
    assert not [f"{c}.{n}" for c, n, field in fields() if any("default" in part for part in inside(field))]


def test_only_what_has_no_default_is_required() -> None:
    required = {c: set(document()["components"]["schemas"][c].get("required", ())) for c, _, _ in fields()}
    assert required["ServingRequest"] == {"requestId"} and required["ServingSignalsBody"] == {"signals"}
    assert required["ServingRewardBody"] == {"rewardId"} and required["ServingCalculateBody"] == set()
    assert required["TrainBody"] == {"modelType"} and required["AnonymizeBody"] == {"dataType", "technique"}
    assert required["PersonBody"] == {"userId"} and required["DeployBody"] == set()


def test_names_are_in_camel_case() -> None:
    assert not [f"{c}.{n}" for c, n, _ in fields() if not CAMEL.fullmatch(n)]
    taken = [p["name"] for path in document()["paths"].values() for o in path.values() for p in o.get("parameters", ())]
    assert not [n for n in taken if not CAMEL.fullmatch(n) and n != "Idempotency-Key"]


def test_what_has_a_known_shape_is_not_unknown() -> None:
    unknown = {f"{c}.{n}" for c, n, field in fields() if field == {} or field.get("additionalProperties") == {}}
    assert unknown == OPEN


def test_a_choice_is_an_enum() -> None:
    texts = [(c, n, f) for c, n, f in fields() if n in CHOICES and f"{c}.{n}" not in NO_CHOICES and c != "Problem"]
    assert len(texts) > 25
    assert not [f"{c}.{n}" for c, n, f in texts if not any("enum" in part for part in resolved(f))]


def test_times_have_a_format() -> None:
    named = [
        (c, n, f) for c, n, f in fields() if n in {"at", "localTime", "expiry", "from", "until"} or n.endswith("At")
    ]
    lacking = {f"{c}.{n}" for c, n, f in named if not any(part.get("format") == "date-time" for part in inside(f))}
    assert lacking == {"ExportedConsent.from"}, "who reported a consent, not when"


def test_numbers_of_a_body_are_bounded() -> None:
    bodies = {c for c, _, _ in fields() if c.endswith(("Body", "Hyperparams", "Inputs", "Request"))}
    numbers = {
        f"{c}.{n}"
        for c, n, field in fields()
        for part in inside(field)
        if c in bodies and part.get("type") in ("number", "integer") and n not in ("context", "values")
        if not {"minimum", "maximum"} & part.keys()
    }
    assert numbers <= UNBOUNDED


def test_no_description_speaks_of_our_classes() -> None:
    said = [s.get("description", "") for s in document()["components"]["schemas"].values()]
    assert not [text for text in said if text.startswith(("The shape of an answer", "Fields of a body"))]


def test_the_components_of_a_reward_are_the_models() -> None:
    assert RewardComponents.__struct_fields__ == WeighedComponents.__struct_fields__ == COMPONENTS


def test_a_job_says_where_it_is() -> None:
    for path in ("training/models", "training/anonymizations"):
        assert "Location" in document()["paths"][f"/api/v1/{path}"]["post"]["responses"]["202"]["headers"]
