"""Activation, rewards, closing, signals and the reward model, through the API and the real tables."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from privacy.models import Decision, Purpose, RewardEvent, RewardSignal, ServedDecision, ServingState, Signal
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.records.rewards import MOST_REWARDS
from r3al_project.api.answers.outcomes import SignalsBody, SignalsEnvelope
from tests.factories.care import care_loop, person
from tests.factories.sealed import memory_of, outcome_of
from tests.factories.users import service_token
from tests.r3al_project.api.api_calls import ask, post
from tests.races import in_threads

pytestmark = pytest.mark.django_db
NOW = "2025-06-03T12:00:00+02:00"


@pytest.fixture
def ann() -> str:
    care_loop()
    return person("ann")[1]


def decided(token: str, request_id: str = "r1", **more: Any) -> str:
    """A decision's public id."""
    return str(ask(token, request_id, **more).told["decisionId"])


def reward(token: str, decision: str, body: dict[str, Any]) -> Any:
    return post(f"/api/v1/optima/decisions/{decision}/rewards", token, body)


def deadline_passes() -> None:
    """As if a day had gone by."""
    past = timezone.now() - timedelta(seconds=1)
    ServedDecision.objects.filter(closed_at__isnull=True).update(closes_at=past)


def outcome(decision: str) -> tuple[list[float], bool | None]:
    """Total and components, NaN as None, and harm."""
    stored = RewardSignal.objects.get(decision__served__public_id=decision)
    return [None if np.isnan(x) else round(x, 6) for x in outcome_of(stored)], stored.harmful  # type: ignore[misc]


class TestRewards:
    def test_a_word_is_kept_once(self, ann: str) -> None:
        decision = decided(ann)
        first = reward(ann, decision, {"rewardId": "w1", "total": 0.3})
        again = reward(ann, decision, {"rewardId": "w1", "total": 0.3})
        other = reward(ann, decision, {"rewardId": "w1", "total": 0.4})
        assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
        assert RewardEvent.objects.count() == 1 and "another body" in other.told["detail"]

    def test_it_closes_once_at_the_deadline(self, ann: str) -> None:
        decision = decided(ann)
        reward(ann, decision, {"rewardId": "w1", "total": 0.3, "label": "dismissed"})
        reward(ann, decision, {"rewardId": "w2", "total": 0.7})
        assert outcomes_close() == 0, "not before"
        deadline_passes()
        assert outcomes_close() == 1 and outcomes_close() == 0
        assert outcome(decision) == ([0.3, *[None] * 6], True), "the earliest counts; the label harms"
        served = ServedDecision.objects.get()
        assert served.closed_at is not None

    def test_a_late_word_is_kept_apart(self, ann: str) -> None:
        decision = decided(ann)
        deadline_passes()
        late = reward(ann, decision, {"rewardId": "w1", "total": 0.9})
        assert late.status_code == 202 and late.told["late"] is True
        outcomes_close()
        assert outcome(decision)[0][0] == 0.0, "nothing came in time: the loop's default"
        assert reward(ann, decision, {"rewardId": "w2", "total": 0.9}).status_code == 202
        assert outcome(decision)[0][0] == 0.0

    def test_components_outside_their_bounds_are_named(self, ann: str) -> None:
        decision = decided(ann)
        body = {"rewardId": "w1", "components": {"sentiment": 5.0, "engagement": -1.0, "empathy": -0.1}}
        first, again = reward(ann, decision, body), reward(ann, decision, body)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.told["clamped"] == again.told["clamped"] == ["sentiment", "empathy"]

    def test_a_decision_has_at_most_a_hundred(self, ann: str) -> None:
        decision = decided(ann)
        for i in range(MOST_REWARDS):
            assert reward(ann, decision, {"rewardId": f"w{i}", "label": "liked"}).status_code == 201
        refused = reward(ann, decision, {"rewardId": "one more", "total": 0.1})
        assert refused.status_code == 409 and refused.told["type"] == "urn:r3al:problem:too-many-rewards"
        assert reward(ann, decision, {"rewardId": "w0", "label": "liked"}).status_code == 200, (
            "a retry is no further one"
        )
        assert reward(ann, decided(ann, "r2"), {"rewardId": "w0", "total": 0.1}).status_code == 201
        assert RewardEvent.objects.count() == MOST_REWARDS + 1

    def test_components_make_a_total_and_stay_in_bounds(self, ann: str) -> None:
        decision = decided(ann)
        reward(ann, decision, {"rewardId": "w1", "components": {"sentiment": 5.0, "empathy": 0.5}})
        deadline_passes()
        outcomes_close()
        total, sentiment, *_, empathy, _, _ = outcome(decision)[0]
        assert (sentiment, empathy) == (2.0, 0.5) and total == pytest.approx(0.4 * 2.0 + 0.1 * 0.5)

    def test_what_was_observed_makes_components(self, ann: str) -> None:
        decision = decided(ann)
        inputs = {"sentimentBefore": -0.3, "sentimentAfter": 0.2, "engagementBefore": 0.5, "engagementAfter": 0.8}
        reward(ann, decision, {"rewardId": "w1", "inputs": inputs | {"consentGiven": True, "privacyRespected": True}})
        deadline_passes()
        outcomes_close()
        assert outcome(decision)[0][:4] == [pytest.approx(0.4 * 0.5 + 0.4 * 0.3 + 0.2), 0.5, 0.3, 1.0]

    def test_somebody_elses_decision_is_not_there(self, ann: str) -> None:
        decision = decided(ann)
        _, ben = person("ben")
        for token, more in ((ben, {}), (service_token(), {"userId": "ben"})):
            refused = reward(token, decision, {"rewardId": "w1", "total": 0.1, **more})
            assert refused.status_code == 404 and "no such decision" in refused.told["detail"]
        assert not RewardEvent.objects.exists()

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"total": 1e308}, "lies within"),
            ({"total": 0.1, "components": {"sentiment": 0.1}}, "give one of"),
            ({}, "give one of"),
            ({"components": {}}, "empty"),
            ({"components": {"joy": 1.0}}, "components.joy is not known; the fields are sentiment, "),
            ({"inputs": {"sentimentBefore": 3.0}}, "between -1 and 1"),
            ({"inputs": {"joy": 3.0}}, "joy"),
            ({"label": "x" * 41}, "1 to 40"),
            ({"total": "much"}, "does not fit"),
            ({"total": 0.1, "at": "2025-06-03T12:00:00Z"}, "at is not known; the fields are rewardId, "),
        ],
    )
    def test_words_that_cannot_be_used(self, ann: str, body: dict[str, Any], words: str) -> None:
        refused = reward(ann, decided(ann), {"rewardId": "w1"} | body)
        assert refused.status_code == 422 and words in refused.told["detail"]
        assert not RewardEvent.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_many_closers_and_senders_at_once(self, ann: str) -> None:
        """Every word is in the outcome or late, every decision is closed once."""
        decisions = [decided(ann, f"r{i}") for i in range(24)]
        deadline_passes()
        ServedDecision.objects.filter(public_id__in=decisions[:12]).update(
            closes_at=timezone.now() + timedelta(hours=1)
        )

        def work(i: int) -> int:
            if i % 3:
                return outcomes_close(limit=5)
            return int(reward(ann, decisions[i], {"rewardId": "w", "total": 0.2}).status_code)

        in_threads(work, range(24), threads=6)
        outcomes_close()
        assert RewardSignal.objects.count() == ServedDecision.objects.filter(closed_at__isnull=False).count() == 12
        assert (
            RewardEvent.objects.filter(late=True).count()
            == RewardEvent.objects.filter(served__closed_at__isnull=False).count()
        )


def test_nobody_was_spoken_to_so_there_is_nothing_to_learn() -> None:
    care_loop(rules="daily_cap = 0")
    _, token = person("ann")
    assert ask(token, "r1").told["reason"] == "daily_cap"
    deadline_passes()
    assert outcomes_close() == 1 and not RewardSignal.objects.exists()


def test_activation_counts_once(ann: str) -> None:
    decision = decided(ann)
    url = f"/api/v1/optima/decisions/{decision}/activate"
    first, again = post(url, ann, {}), post(url, ann, {"at": NOW})
    assert first.status_code == again.status_code == 200 and first.content == again.content
    assert post(url, ann, {"at": "2025-06-03T12:00:00"}).status_code == 422
    assert post(url, person("ben")[1], {}).status_code == 404


def test_what_was_shown_after_its_expiry_is_recorded_and_said(ann: str) -> None:
    decision = decided(ann)
    ServedDecision.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    told = post(f"/api/v1/optima/decisions/{decision}/activate", ann, {}).told
    assert told["expired"] is True and ServedDecision.objects.get().activated_at is not None
    other = decided(ann, "r2")
    assert post(f"/api/v1/optima/decisions/{other}/activate", ann, {}).told["expired"] is False


def test_a_decision_of_an_unavailable_person_has_nothing_to_show() -> None:
    care_loop(rules="daily_cap = 0")
    _, token = person("ann")
    refused = post(f"/api/v1/optima/decisions/{decided(token)}/activate", token, {})
    assert refused.status_code == 409 and refused.told["type"] == "urn:r3al:problem:nothing-to-show"
    assert "daily_cap" in refused.told["detail"] and ServedDecision.objects.get().activated_at is None


class TestSignals:
    URL = "/api/v1/signals"

    def send(self, token: str, *signals: dict[str, Any], **more: Any) -> Any:
        return post(self.URL, token, {"loop": "care", "signals": list(signals), **more})

    def pulse(self, key: str, at: str = NOW, **values: Any) -> dict[str, Any]:
        return {"id": key, "type": "pulse", "at": at, "values": values or {"mood": 0.5}}

    def test_a_batch_is_kept_once_and_remembered(self, ann: str) -> None:
        told = self.send(ann, self.pulse("s1"), self.pulse("s2", place="work", mood=7)).told
        assert told == {"added": 2, "unchanged": 0, "clamped": 1, "ahead": 0, "rejected": []}
        assert self.send(ann, self.pulse("s1")).told["unchanged"] == 1
        assert Signal.objects.count() == 2
        assert memory_of(ServingState.objects.get())[:2] == [1.0, 1.0]
        ServingState.objects.update(observed_at=timezone.now())
        assert ask(ann, "r1", context={}).told["available"], "what was heard is enough to decide"

    def test_an_older_signal_does_not_undo_a_newer_one(self, ann: str) -> None:
        self.send(ann, self.pulse("s1", mood=0.5))
        self.send(ann, self.pulse("s2", at="2025-06-02T12:00:00Z", mood=-1, place="work"))
        assert memory_of(ServingState.objects.get())[:2] == [0.5, 1.0], "only what was not known is taken from it"

    @pytest.mark.parametrize("values", ['{"mood": null, "mood": 0.5}', '{"mood": null}, "values": 3'])
    def test_a_name_that_stands_twice_spoils_its_own_signal_alone(self, ann: str, values: str) -> None:
        good, bad = json.dumps(self.pulse("s1")), f'{{"id": "b1", "type": "pulse", "at": "{NOW}", "values": {values}}}'
        told = post(self.URL, ann, f'{{"loop": "care", "signals": [{good}, {bad}]}}'.encode()).told
        assert told["added"] == 1 and [r["index"] for r in told["rejected"]] == [1]

    def test_bad_items_are_named_and_the_good_are_kept(self, ann: str) -> None:
        bad = [
            self.pulse("b1", joy=1), self.pulse("b2", at="2999-01-01T00:00:00Z"), self.pulse("b3") | {"type": "dream"},
            self.pulse("b4") | {"values": {}}, self.pulse("b5", at="2025-06-03T12:00:00"),
        ]  # fmt: skip
        told = self.send(ann, self.pulse("s1"), *bad, self.pulse("s1", mood=-1)).told
        assert told["added"] == 1 and [r["index"] for r in told["rejected"]] == [1, 2, 3, 4, 5, 6]
        assert "with other content" in told["rejected"][-1]["reason"] and Signal.objects.count() == 1
        codes = [r["code"] for r in told["rejected"]]
        assert codes == [
            "invalid-input",
            "clock-ahead",
            "invalid-input",
            "invalid-input",
            "invalid-input",
            "key-reused",
        ]

    @pytest.mark.parametrize(
        ("wrong", "field", "words"),
        [
            ({"values": {"mood": None}}, "values.mood", "leave out"),
            ({"values": {"place": "home", "mood": True}}, "values.mood", "a number or the name of a category"),
            ({"values": {"mood": [1]}}, "values.mood", "a number or the name of a category"),
            ({"values": {"mood": "much"}}, "values.mood", "finite number"),
            ({"values": {"place": "mars"}}, "values.place", "home, work"),
            ({"values": {"joy": 1}}, "values.joy", "its features are"),
            ({"values": []}, "values", "an object"),
            ({"values": {}}, "values", "at least one"),
            ({"at": "yesterday"}, "at", "2026-01-31T08:00:00+01:00"),
            ({"at": "2025-06-03T12:00:60Z"}, "at", "2026-01-31T08:00:00+01:00"),
            ({"at": "2025-06-03T12:00:00+25:00"}, "at", "2026-01-31T08:00:00+01:00"),
            ({"at": "2025-06-03T12:00:00"}, "at", "2026-01-31T08:00:00+01:00"),
            ({"at": 1_750_000_000}, "at", "2026-01-31T08:00:00+01:00"),
            ({"at": "1999-06-03T12:00:00Z"}, "at", "clock"),
            ({"id": 17}, "id", "1 to 100"),
            ({"id": ""}, "id", "1 to 100"),
            ({"type": "dream"}, "type", "pulse"),
            ({"type": None}, "type", "pulse"),
            ({"vales": {}}, "vales", "did you mean values?"),
        ],
    )
    def test_one_that_does_not_fit_is_rejected_alone(self, ann: str, wrong: Any, field: str, words: str) -> None:
        told = self.send(ann, self.pulse("s1"), self.pulse("bad") | wrong, self.pulse("s2")).told
        assert told["added"] == Signal.objects.count() == 2
        (rejected,) = told["rejected"]
        named = rejected["id"] == ("bad" if "id" not in wrong else "")
        assert (rejected["index"], rejected["field"], rejected["code"], named) == (1, field, "invalid-input", True)
        assert field in rejected["reason"] and words in rejected["reason"]

    @pytest.mark.parametrize(
        ("raw", "name", "field"),
        [
            (b"true", "", ""),
            (b"null", "", ""),
            (b"[]", "", ""),
            (b"1e400", "", ""),
            (b'{"id": "b", "type": "pulse", "at": "2025-06-03T12:00:00Z"}', "b", "values"),
            (
                b'{"id": "b", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {"mood": 1e400}}',
                "b",
                "values.mood",
            ),
            (
                b'{"id": "b", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {"mood": ' + b"9" * 5000 + b"}}",
                "b",
                "values.mood",
            ),
            (b'{"id": "b", "id": "b", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {"mood": 1}}', "b", ""),
            (b'{"id": "b", "type": "pulse", "at": "2025-06-03T12:00:00Z", "values": {"mood": 1, "mood": 2}}', "b", ""),
        ],
    )
    def test_what_only_raw_json_can_hold_is_rejected_alone(self, ann: str, raw: bytes, name: str, field: str) -> None:
        good = [json.dumps(self.pulse(key)).encode() for key in ("s1", "s2")]
        told = post(self.URL, ann, b'{"loop": "care", "signals": [%s]}' % b", ".join([good[0], raw, good[1]])).told
        assert told["added"] == Signal.objects.count() == 2
        assert [(r["index"], r["id"], r["field"], r["code"]) for r in told["rejected"]] == [
            (1, name, field, "invalid-input")
        ]

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            (b'{"loop": "care", "signals": {"id": "s1"}}', 422, "signals"),
            (b'{"loop": "care", "signals": []}', 422, "signals"),
            (b'{"loop": "care"}', 422, "signals"),
            (b'{"loop": "care", "signals": [%s]}' % b",".join([b"1"] * 501), 422, "signals"),
            (b'{"loop": 7, "signals": [{}]}', 422, "loop"),
            (b'{"loop": "care", "loop": "care", "signals": [{}]}', 400, None),
            (b'{"loop": "care", "signals": [{"values": NaN}]}', 400, None),
            (b'{"loop": "care", "signals": [{]}', 400, None),
            (b'{"loop": "care", "signals": [' + b"[" * 2000 + b"]" * 2000 + b"]}", 400, None),
        ],
    )
    def test_only_the_envelope_refuses_the_whole(self, ann: str, body: bytes, status: int, field: str | None) -> None:
        refused = post(self.URL, ann, body)
        assert refused.status_code == status and "rejected" not in refused.told
        assert list(refused.told.get("errors", {None: []})) == [field]

    def test_signals_are_read_as_they_are_documented(self) -> None:
        assert {**SignalsEnvelope.__annotations__}.keys() == {**SignalsBody.__annotations__}.keys() == {"signals"}

    @pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(hours=14)])
    def test_a_phone_whose_clock_is_fast_loses_nothing(self, ann: str, ahead: timedelta) -> None:
        """Ten minutes by a wrong clock, 14 hours by a wrong zone: both pulses are stored as of now, the later one counts."""
        now = timezone.now()
        pulses = [self.pulse(f"s{i}", at=(now + ahead + timedelta(seconds=s)).isoformat(), mood=mood)
                  for i, (s, mood) in enumerate([(30, 0.9), (0, 0.1)])]  # fmt: skip
        told = self.send(ann, *pulses).told
        assert told == {"added": 2, "unchanged": 0, "clamped": 0, "ahead": 2, "rejected": []}
        observed = list(Signal.objects.values_list("observed_at", flat=True))
        assert all(now <= at <= timezone.now() for at in observed)
        assert memory_of(ServingState.objects.get())[0] == 0.9, "the device's own order holds"
        assert self.send(ann, *pulses).told == {"added": 0, "unchanged": 2, "clamped": 0, "ahead": 0, "rejected": []}

    def test_a_batch_of_which_nothing_can_be_stored_is_no_success(self, ann: str) -> None:
        refused = self.send(ann, self.pulse("s1", at="2999-01-01T00:00:00Z"), self.pulse("s2", joy=1))
        assert refused.status_code == 422 and "no signal of the batch" in refused.told["detail"]
        assert [(r["index"], r["code"]) for r in refused.told["rejected"]] == [(0, "clock-ahead"), (1, "invalid-input")]
        assert not Signal.objects.exists()

    def test_without_consent_nothing_is_kept(self, ann: str) -> None:
        _, token = person("ben", consents=(Purpose.TRAINING,))
        assert self.send(token, self.pulse("s1")).status_code == 403 and not Signal.objects.exists()

    def test_a_service_speaks_for_people_it_names(self, ann: str) -> None:
        token = service_token()
        assert self.send(token, self.pulse("s1"), userId="ann").told["added"] == 1
        assert self.send(token, self.pulse("s1")).status_code == 403
        assert self.send(token, self.pulse("s1"), userId="nobody").status_code == 404
        assert self.send(ann, *[self.pulse(f"s{i}") for i in range(501)]).status_code == 422
        assert self.send("0" * 64, self.pulse("s9")).status_code == 401


def test_the_blueprints_reward_is_calculated(ann: str) -> None:
    """The blueprint's payload as it stands: .4 x .5 + .4 x .3 + .2 x 1 + .1 x exp(-2.5 h / 1 h)."""
    body = {
        "sentimentBefore": -0.3, "sentimentAfter": 0.2, "engagementBefore": 0.5, "engagementAfter": 0.8,
        "actionType": "intervene", "actionTiming": 2.5, "consentGiven": True, "privacyRespected": True, "loop": "care",
    }  # fmt: skip
    told = post("/api/v1/training/rewards/calculate", ann, body).told
    assert told["total"] == pytest.approx(0.4 * 0.5 + 0.4 * 0.3 + 0.2 + 0.1 * np.exp(-2.5))
    assert told["components"]["sentiment"] == {"value": pytest.approx(0.5), "weight": 0.4, "bounds": [-2.0, 2.0]}
    assert told["components"]["empathy"]["value"] is None
    refused = post("/api/v1/training/rewards/calculate", ann, body | {"sentimentBefore": -3})
    assert refused.status_code == 422 and "between -1 and 1" in refused.told["detail"]
    assert not Decision.objects.exists()
    assert told["notes"] == [
        "actionType 'intervene' is no action of loop 'care' and does not count; there are wait, talk, walk"
    ]


def test_what_a_calculation_leaves_out_is_said_and_unknown_names_are_refused(ann: str) -> None:
    def calculated(**more: Any) -> Any:
        return post("/api/v1/training/rewards/calculate", ann, {"loop": "care", "sentimentAfter": 0.1} | more)

    assert calculated(actionType="talk", affect={"mood": 0.5}).told["notes"] == []
    for wrong, words in (
        ({"affect": {"moood": 0.5}}, "affect.moood"),
        ({"affect": {"mood": 2}}, "between 0 and 1"),
        ({"affect": {"place": 0.5}}, "not a numeric feature"),
        ({"timing": "soon"}, "timing is 'soon'"),
    ):
        refused = calculated(**wrong)
        assert refused.status_code == 422 and words in refused.told["detail"]
