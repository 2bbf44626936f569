"""Stand in for the people's app: ask for decisions by the service that answers every app, and report what people did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from knox.models import AuthToken

from deployments.services.serving.decide import decide
from deployments.services.serving.requests import DecisionRequest
from deployments.services.serving.responses import DecisionAnswer
from privacy.services.people.authentication import Token, caller_of, token_read
from privacy.services.records.rewards import RewardInput, reward_add

APP_ACCOUNT = "story-app"


def app_account_create() -> str:
    """Create the app's service account, and return the header of its requests."""
    user = get_user_model().objects.create_user(APP_ACCOUNT)
    user.groups.add(Group.objects.get(name="Service"))
    return f"Token {AuthToken.objects.create(user)[1]}"


class StoryApp:
    """Ask and report on behalf of people, with the app's own token."""

    def __init__(self, loop: str, header: str) -> None:
        """Take the loop's name and the Authorization header of the app."""
        self.loop, self.header, self._asked = loop, header, 0

    def ask(self, user_id: str, context: Mapping[str, float], at: datetime) -> tuple[UUID, dict[str, str]] | None:
        """Return the decision's id and the chosen actions by head, or None for a person who is not available."""
        self._asked += 1
        request = DecisionRequest(
            request_id=f"story-{self._asked}", loop=self.loop, user_id=user_id, context=dict(context), local_time=at
        )
        answer = msgspec.json.decode(decide(self._token(), request).body, type=DecisionAnswer)
        if not answer.available:
            return None
        return answer.decision_id, {head: chosen.action for head, chosen in answer.actions.items()}

    def report(self, user_id: str, decision: UUID, components: dict[str, float], label: str) -> None:
        """Report the reward of a decision."""
        reward = RewardInput("1", components=components, label=label or None)
        reward_add(caller=caller_of(self._token()), public_id=decision, user_id=user_id, reward=reward)

    def _token(self) -> Token:
        return token_read(self.header)
