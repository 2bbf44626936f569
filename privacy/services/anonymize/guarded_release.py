"""Anonymise records, or ask for a second operator where the loop wants one for more than the default privacy parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, TypeVar

from core.json_safe import json_safe
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Approval, Release
from privacy.models.release import ANONYMIZE_DATA
from privacy.services.anonymize.refusals import refusal_permit
from privacy.services.anonymize.run import approval_of_release, charge_and_enqueue, release_key
from privacy.services.approvals.ask import act_or_ask
from privacy.services.approvals.doors import ApprovedDoor, door_register
from privacy.services.approvals.second_operator import OperatorAccount

Made = TypeVar("Made")


def anonymize_or_ask(
    act: Callable[[], Made], *, key: str, loop_version: LoopVersion, request: AnonymizeRequest, by: OperatorAccount
) -> Made | Approval:
    """Do an anonymisation, or write down that it waits. Once it is approved, a worker computes it.

    Args:
        act: ``anonymize`` or ``anonymize_enqueue`` of the same request under the same key.
        key: of the release, so that a retry after the approval finds it. Only its digest is stored.
    """
    loop = loop_version.loop.name
    return act_or_ask(
        act,
        door="anonymize",
        words=f"Anonymise records of loop {loop} by {request.technique}, {_size(request)}.",
        parameters=json_safe({"loop": loop, "release": release_key(key), "request": asdict(request)}),
        by=by,
        reason="",
    )


def _size(request: AnonymizeRequest) -> str:
    return f"with epsilon {request.epsilon:.12g} and delta {request.delta:.12g} where the technique has them"


def _request(parameters: Mapping[str, Any]) -> AnonymizeRequest:
    given = dict(parameters["request"])
    fields = given.pop("fields")
    return AnonymizeRequest(**given, fields=None if fields is None else tuple(fields))


def _permit(parameters: Mapping[str, Any]) -> AbstractContextManager[None]:
    return refusal_permit(loop_version_current(parameters["loop"]), parameters["release"])


def _carry_out(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> Release:
    version, request, key = loop_version_current(parameters["loop"]), _request(parameters), parameters["release"]
    approval_of_release(key, version, request)
    return charge_and_enqueue(key, version, request)[0]


door_register(ApprovedDoor("anonymize", (ANONYMIZE_DATA,), _carry_out, _permit, is_queued=True))
