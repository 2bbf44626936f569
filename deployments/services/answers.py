"""What a decision looks like to the app, in JSON: built from what is stored or about to be, so a retry gets the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from deployments.engine.arbiter import Pick
from loops.models import LoopVersion
from privacy.engine.layout import MAIN_HEAD

_encoder = msgspec.json.Encoder()


class Answered(NamedTuple):
    """The stored facts of an answer beside its choices. ``unavailable`` empty: the person may be spoken to."""

    public_id: UUID
    unavailable: str
    expires_at: datetime
    closes_at: datetime


def answer(
    version: LoopVersion, request_id: str, answered: Answered, clamped: Sequence[str], picks: Sequence[Pick]
) -> bytes:
    """The JSON answer. Somebody who is unavailable gets policy's reference action, without a propensity: nothing was drawn."""
    spec = version.spec
    actions: dict[str, Any] = {p.head: _action(spec.head(p.head).actions, p) for p in picks}
    if answered.unavailable:
        actions = {MAIN_HEAD: {"action": spec.head(MAIN_HEAD).reference}}
    return _encoder.encode(
        {
            "decisionId": str(answered.public_id),
            "requestId": request_id,
            "loop": spec.name,
            "loopVersion": version.version,
            "available": not answered.unavailable,
            "reason": answered.unavailable or None,
            "actions": actions,
            "versions": {p.head: p.server.version for p in picks},
            "generations": {p.head: p.server.generation for p in picks},
            "clamped": list(clamped),
            "expiresAt": _time(answered.expires_at),
            "closesAt": _time(answered.closes_at),
        }
    )


def _action(names: Sequence[str], pick: Pick) -> dict[str, Any]:
    order = sorted(range(len(names)), key=lambda k: -pick.values[k])
    eligible = [k for k in order if pick.eligible is None or pick.eligible >> k & 1]
    return {
        "action": names[pick.action],
        "propensity": pick.propensity,
        "marginalPropensity": pick.marginal,
        "explored": pick.explored,
        "fallback": pick.server.fallback or None,
        "ranking": [{"action": names[k], "value": pick.values[k]} for k in eligible],
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
