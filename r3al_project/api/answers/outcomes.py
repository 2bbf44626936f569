"""Declare the bodies and answers of signals, activations, rewards and reward calculations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from core.durations import DAY, HOUR
from core.identifiers import LONGEST_IDENTIFIER
from loops.engine.reward import COMPONENTS
from loops.selectors import DEFAULT_LOOP
from privacy.engine.data_types import DATA_TYPES
from privacy.services.records.rewards import LONGEST_LABEL, LONGEST_REWARD_ID
from privacy.services.records.signals import LARGEST_BATCH, LONGEST_SIGNAL_ID, REJECTION_CODES

LONGEST_DELAY = 366.0 * DAY  # seconds


def _limits(**schema: Any) -> msgspec.Meta:
    """Return limits for the OpenAPI document. The services enforce them, with errors that say more."""
    return msgspec.Meta(extra_json_schema=schema)


_Time = Annotated[datetime, _limits(format="date-time")]
_UserId = Annotated[str, _limits(minLength=1, maxLength=LONGEST_IDENTIFIER)]
_Sentiment = Annotated[float, _limits(minimum=-1, maximum=1)]
_Share = Annotated[float, _limits(minimum=0, maximum=1)]
_Delay = Annotated[float, _limits(minimum=0, maximum=LONGEST_DELAY)]
_Hours = Annotated[float, _limits(minimum=0, maximum=LONGEST_DELAY / HOUR)]


class SignalBody(msgspec.Struct, rename={"kind": "type"}, forbid_unknown_fields=True):
    """One signal. ``at`` may lie up to a day in the future, since a device's clock may be fast: it then counts as now."""

    id: Annotated[str, _limits(minLength=1, maxLength=LONGEST_SIGNAL_ID)]
    kind: Annotated[str, _limits(enum=list(DATA_TYPES))]
    at: _Time
    values: Annotated[dict[str, float | str], _limits(minProperties=1)]


class BatchBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What a batch of signals has beside the signals."""

    loop: str = DEFAULT_LOOP
    user_id: _UserId | None = None


class SignalsBody(BatchBody, kw_only=True):
    signals: Annotated[list[SignalBody], _limits(minItems=1, maxItems=LARGEST_BATCH)]


class SignalsEnvelope(BatchBody, kw_only=True):
    """``SignalsBody`` as it is read: each signal on its own, so that one which does not fit spoils no other."""

    signals: list[msgspec.Raw]


class ActivateBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    at: _Time | None = None
    user_id: _UserId | None = None


class Observations(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Observations that a reward is computed from. Sentiment lies in [-1, 1], engagement and rating in [0, 1]."""

    sentiment_before: _Sentiment | None = None
    sentiment_after: _Sentiment | None = None
    engagement_before: _Share | None = None
    engagement_after: _Share | None = None
    rating: _Share | None = None
    consent_given: bool | None = None
    privacy_respected: bool | None = None


class RewardInputs(Observations):
    """Observations that a reward is computed from. Sentiment lies in [-1, 1], engagement and rating in [0, 1]."""

    delay_seconds: _Delay | None = None


class RewardComponents(msgspec.Struct, forbid_unknown_fields=True):
    """Components of a reward. Sentiment lies in [-2, 2], engagement in [-1, 1], the others in [0, 1].

    A value outside its bounds is moved to the nearest one, and ``clamped`` of the answer names it.
    """

    sentiment: float | UnsetType = UNSET
    engagement: float | UnsetType = UNSET
    compliance: float | UnsetType = UNSET
    empathy: float | UnsetType = UNSET
    timing: float | UnsetType = UNSET
    uptake: float | UnsetType = UNSET


class RewardBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    reward_id: Annotated[str, _limits(minLength=1, maxLength=LONGEST_REWARD_ID)]
    total: float | None = None
    components: RewardComponents | None = None
    inputs: RewardInputs | None = None
    label: Annotated[str, _limits(minLength=1, maxLength=LONGEST_LABEL)] | None = None
    user_id: _UserId | None = None


class CalculateBody(Observations):
    """Inputs of one reward calculation. ``actionTiming`` counts the hours from the decision until the person saw it.

    ``timing``: action of the head that the loop's ``best_delay`` names, if that is not the main head.
    """

    action_type: str = ""
    action_timing: _Hours | None = None
    affect: dict[str, _Share] = {}
    timing: str | None = None
    loop: str = DEFAULT_LOOP


class Rejected(msgspec.Struct):
    """A signal that was rejected. ``id`` is empty if it cannot be read.

    ``index``: its place in the batch, from 0. ``field``: what does not fit, like ``values.mood``. It is empty for the signal as
    a whole. ``reason`` says what to send instead.
    """

    index: int
    id: str
    field: str
    code: Annotated[str, _limits(enum=list(REJECTION_CODES))]
    reason: str


class SignalsAnswer(msgspec.Struct):
    """Counts of a batch. ``clamped`` counts the values that were moved to the bounds of their features.

    ``ahead`` counts the added signals that a fast clock dated later than now. They count as observed now.
    """

    added: int
    unchanged: int
    clamped: int
    ahead: int
    rejected: list[Rejected]


class ActivateAnswer(msgspec.Struct, rename="camel"):
    """The time at which the decision was first shown. ``expired``: that was after its ``expiresAt``."""

    decision_id: UUID
    activated_at: _Time
    expired: bool


class RewardAnswer(msgspec.Struct, rename="camel"):
    """A recorded reward. A ``late`` one arrived after the deadline: it is kept apart and no policy learns from it.

    ``clamped`` names the components that were moved to the nearest bound.
    """

    reward_id: str
    late: bool
    clamped: list[Annotated[str, _limits(enum=list(COMPONENTS))]]


class Weighed(msgspec.Struct):
    """One component of a reward. Its ``value`` is null when no given input determines it."""

    value: float | None
    weight: float
    bounds: tuple[float, float]


class WeighedComponents(msgspec.Struct):
    """All components of a reward."""

    sentiment: Weighed
    engagement: Weighed
    compliance: Weighed
    empathy: Weighed
    timing: Weighed
    uptake: Weighed


class CalculateAnswer(msgspec.Struct):
    """A reward that was computed and not stored. Its ``total`` is null when no component is known.

    ``notes``: one sentence for each input that does not count.
    """

    total: float | None
    components: WeighedComponents
    loop: str
    notes: list[str]
