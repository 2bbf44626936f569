"""Words about a decision: whose they may be, and what of them is kept."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from core.errors import Forbidden, NotFound
from loops.models import LoopVersion
from privacy.models import Purpose, RewardEvent, ServedDecision
from privacy.services.people.authentication import Caller
from privacy.services.people.consent import consent_withdraw
from privacy.services.records.rewards import RewardInput, decision_activate, reward_add
from tests.factories.decisions import NOW, serve_many
from tests.factories.loops import loop_version
from tests.factories.people import add_people

pytestmark = pytest.mark.django_db
WORD = RewardInput("w1", total=0.1)


@pytest.fixture
def version() -> LoopVersion:
    return loop_version()


@pytest.fixture
def served(version: LoopVersion) -> ServedDecision:
    """A decision that is open for an hour."""
    serve_many(version, add_people(version, 1, decided=False))
    ServedDecision.objects.update(closes_at=timezone.now() + timedelta(hours=1))
    return ServedDecision.objects.get()


def caller(person_id: int | None, *, may_serve: bool = False) -> Caller:
    return Caller(user_id=1, person_id=person_id, may_serve=may_serve)


class TestWhose:
    """What exists is not said, nor by another status: for each caller there is one answer, whether the decision exists or not."""

    @pytest.mark.parametrize("there", [True, False])
    def test_a_strangers_answer_is_the_same(self, version: LoopVersion, served: ServedDecision, there: bool) -> None:
        (stranger,) = add_people(version, 1, first=5, decided=False)
        public_id = served.public_id if there else uuid.uuid4()
        for who, user_id, error in (
            (caller(stranger), None, NotFound),
            (caller(stranger), "somebody else", NotFound),
            (caller(None, may_serve=True), "somebody else", NotFound),
            (caller(None, may_serve=True), None, Forbidden),
            (caller(None), "somebody else", Forbidden),
        ):
            with pytest.raises(error):
                reward_add(caller=who, public_id=public_id, user_id=user_id, reward=WORD)
            with pytest.raises(error):
                decision_activate(caller=who, public_id=public_id, user_id=user_id, at=None)
        assert not RewardEvent.objects.exists()


@pytest.mark.parametrize("consents", [True, False])
def test_words_about_a_decision_need_the_consent_that_the_decision_needed(
    served: ServedDecision, consents: bool
) -> None:
    who = caller(served.person_id)
    if consents:
        consent_withdraw(person_ids=[served.person_id], purposes=[Purpose.TRAINING, Purpose.EVALUATION], source="app")
        reward_add(caller=who, public_id=served.public_id, user_id=None, reward=WORD)
        decision_activate(caller=who, public_id=served.public_id, user_id=None, at=None)
        return
    consent_withdraw(person_ids=[served.person_id], purposes=[Purpose.PERSONALIZATION], source="app")
    with pytest.raises(Forbidden, match="not consented to personalization"):
        reward_add(caller=who, public_id=served.public_id, user_id=None, reward=WORD)
    with pytest.raises(Forbidden, match="not consented to personalization"):
        decision_activate(caller=who, public_id=served.public_id, user_id=None, at=None)
    assert not RewardEvent.objects.exists() and ServedDecision.objects.get().activated_at is None


@pytest.mark.parametrize(
    ("label", "harmful"), [("dismissed", True), (" Not_Now", True), ("thanks", False), (None, None)]
)
def test_a_label_harms_whatever_its_case(served: ServedDecision, label: str | None, harmful: bool | None) -> None:
    word = RewardInput("w1", total=0.1, label=label)
    reward_add(caller=caller(served.person_id), public_id=served.public_id, user_id=None, reward=word)
    assert RewardEvent.objects.get().harmful is harmful


def test_a_retry_is_told_what_was_told_before(served: ServedDecision) -> None:
    def send() -> tuple[bool, bool]:
        kept = reward_add(caller=caller(served.person_id), public_id=served.public_id, user_id=None, reward=WORD)
        return kept.new, kept.late

    assert send() == (True, False)
    ServedDecision.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    assert send() == (False, False), "it came in time"


@pytest.mark.parametrize("hours", [-1, 1_000_000])
def test_shown_lies_between_the_decision_and_now(served: ServedDecision, hours: int) -> None:
    at = NOW + timedelta(hours=hours)
    shown = decision_activate(caller=caller(served.person_id), public_id=served.public_id, user_id=None, at=at)
    assert shown.activated_at is not None
    assert served.decision.decided_at <= shown.activated_at <= timezone.now()
