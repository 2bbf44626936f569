"""POST /api/v1/optima/decisions: what is answered, what is written, and what is refused without writing anything."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from deployments.models import LatencyMinute, ServingSlot
from deployments.services.rollouts.slots import slots_seed
from deployments.services.serving import decide
from deployments.services.serving import policy_cache as served_policies
from deployments.services.serving.latency import latency_write
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.services import loop_add
from privacy.models import Choice, Decision, Person, Purpose, ServedDecision, ServingState
from privacy.services.people.accounts import person_register
from privacy.services.people.consent import consent_grant
from privacy.services.people.devices import NOBODY
from privacy.services.people.erasure import person_erase
from privacy.services.records.serving_write import DecisionToWrite, decision_write
from tests.factories.care import CONTEXT, TOML, care_loop, people_named, person
from tests.factories.sealed import state_values
from tests.factories.users import service_token
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve
from tests.r3al_project.api.api_calls import URL, ask, post
from tests.races import in_threads

pytestmark = pytest.mark.django_db


def test_an_answer_says_what_to_do_and_how_it_came_about() -> None:
    loop = care_loop()
    pk, token = person("ann")
    told = ask(token, "r1").told
    assert told["available"] and told["reason"] is None and told["requestId"] == "r1"
    policy = told["actions"]["policy"]
    names = {"wait": 0.5, "talk": 0.25, "walk": 0.25}
    assert {r["action"] for r in policy["ranking"]} == set(names)
    assert policy["explored"], "nothing learned serves yet, so everything is drawn"
    assert policy["propensity"] == policy["marginalPropensity"] == names[policy["action"]]
    stored = Decision.objects.get()
    assert stored.person_id == pk and stored.available and stored.loop_version == loop
    assert state_values(stored) == [0.25, 0.0, 1.0], "nobody spoke to ann yet: the gap is widest"
    assert str(stored.served.public_id) == told["decisionId"]
    choice = stored.choices.get(head="policy")
    assert (choice.propensity, choice.marginal_propensity, choice.explored) == (
        policy["propensity"], policy["marginalPropensity"], policy["explored"],
    )  # fmt: skip


def test_a_retry_gets_the_same_bytes_and_writes_nothing() -> None:
    care_loop()
    _, token = person("ann")
    first, again = ask(token, "r1"), ask(token, "r1")
    assert first.content == again.content and Decision.objects.count() == 1
    other = ask(token, "r1", context={"mood": -0.5, "place": "home"})
    assert other.status_code == 422 and "another body" in other.told["detail"] and Decision.objects.count() == 1
    assert ask(token, "r2").told["decisionId"] != first.told["decisionId"]


def test_somebody_erased_and_registered_again_meanwhile_is_asked_for_their_consent_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was decided for the person of before is sealed with a key that is gone: it may not be written for the new one."""
    care_loop()
    pk, _ = person("ann")
    service = service_token()
    real = decision_write

    def meanwhile(decided: DecisionToWrite) -> int:
        monkeypatch.setattr(decide, "decision_write", real)
        person_erase(person_id=pk, source="test")
        register()
        return real(decided)

    def register() -> None:
        given = dict.fromkeys(Purpose, True)
        person_register(
            population="people", identifier="ann", consents=given, text_version="1", source="test", device=False,
            reporter=NOBODY,
        )  # fmt: skip

    monkeypatch.setattr(decide, "decision_write", meanwhile)
    refused = ask(service, "r1", userId="ann")
    assert refused.status_code == 403 and "consented" in refused.told["detail"]
    assert not Decision.objects.exists() and not ServingState.objects.exists()
    register()
    assert ask(service, "r2", userId="ann").status_code == 403, "a service cannot say it for them"
    consent_grant(person_ids=[pk], purposes=[Purpose.PERSONALIZATION], source="app")
    assert ask(service, "r3", userId="ann").status_code == 200


def test_a_retry_gets_the_same_bytes_after_the_model_was_replaced() -> None:
    loop = care_loop()
    _, token = person("ann")
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    first = ask(token, "r1", context=CONTEXT | {"mood": 5})
    assert first.told["clamped"] == ["mood"]
    serve(learned(loop, "policy", ALWAYS_WALK))
    assert ask(token, "r1", context=CONTEXT | {"mood": 5}).content == first.content


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("same", [True, False])
def test_two_phones_at_once(same: bool) -> None:
    """The same request is answered once; two requests both are, and the cap of one intervention a day holds."""
    loop = care_loop(rules="daily_cap = 1")
    pk, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()

    def phone(i: int) -> Any:
        return ask(token, "r" if same else f"r{i}")

    answers = in_threads(phone, range(8), threads=4)
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == (1 if same else 8)
    assert Decision.objects.count() == (1 if same else 8)
    assert Choice.objects.filter(head="policy", action=2).count() == 1, "one walk a day"
    assert ServingState.objects.get(person_id=pk).interventions_today == 1


def _local(hour: int, day: int = 3) -> str:
    return f"2025-06-{day:02}T{hour:02}:00:00+02:00"


@pytest.mark.parametrize(
    ("rules", "asked", "reason"),
    [
        ('quiet_hours = ["22:30", "07:00"]', {"localTime": _local(23)}, "quiet_hours"),
        ('quiet_hours = ["22:30", "07:00"]', {"localTime": _local(6)}, "quiet_hours"),
        ('quiet_hours = ["22:30", "07:00"]', {"localTime": _local(12)}, None),
        ('cooldown = "2h"', {}, "cooldown"),
        ("daily_cap = 1", {}, "daily_cap"),
        ("distress = { mood = { at_most = -0.9 } }", {"context": {"mood": -0.95, "place": "home"}}, "distress"),
        ("distress = { mood = { at_most = -0.9 } }", {"context": {"mood": -0.5, "place": "home"}}, None),
    ],
)
def test_reasons_not_to_speak_are_found_before_anything_is_drawn(
    rules: str, asked: dict[str, Any], reason: str | None
) -> None:
    loop = care_loop(rules=rules)
    _, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    if not asked:
        assert ask(token, "before").told["actions"]["policy"]["action"] == "walk"
    told = ask(token, "now", **asked).told
    assert (told["available"], told["reason"]) == (reason is None, reason)
    stored = ServedDecision.objects.order_by("-pk")[0]
    assert stored.unavailable == (reason or "") and stored.decision.available is (reason is None)
    if reason:
        assert told["actions"] == {"policy": {"action": "wait"}} and not stored.decision.choices.exists()


def test_what_was_never_heard_is_no_data_and_what_was_is_remembered() -> None:
    care_loop()
    _, token = person("ann")
    told = ask(token, "r1", context={"mood": 0.1})
    assert told.told["reason"] == "no_data" and told.told["missing"] == ["place"]
    assert ask(token, "r1", context={"mood": 0.1}).content == told.content
    assert ask(token, "r2", context={"place": "work"}).told["available"], "mood was heard a moment ago"
    state = state_values(Decision.objects.order_by("-pk")[0])
    assert state[:2] == [0.1, 1.0]
    ServingState.objects.update(observed_at=datetime.now().astimezone() - timedelta(days=8))
    assert ask(token, "r3", context={"place": "work"}).told["reason"] == "no_data"


def test_what_was_forgotten_stays_forgotten_when_something_else_is_heard() -> None:
    care_loop()
    _, token = person("ann")
    ask(token, "r1")
    ServingState.objects.update(observed_at=datetime.now().astimezone() - timedelta(days=8))
    assert ask(token, "r2", context={"place": "work"}).told["reason"] == "no_data"
    assert ask(token, "r3", context={"place": "work"}).told["reason"] == "no_data", "mood was not heard since"


def test_a_phone_whose_clock_is_wrong_does_not_shorten_the_cool_down() -> None:
    loop = care_loop(rules='cooldown = "2h"')
    _, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    assert ask(token, "r1").told["available"]
    assert ask(token, "r2", localTime="2099-01-01T12:00:00Z").told["reason"] == "cooldown"
    ServingState.objects.update(last_intervention_at=datetime.now().astimezone() - timedelta(hours=2))
    assert ask(token, "r3", localTime="2020-01-01T12:00:00Z").told["available"]


def test_a_phone_whose_clock_is_moved_gives_no_further_days() -> None:
    loop = care_loop(rules="daily_cap = 1")
    _, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    days = ["2020-01-01", "2099-01-01", "2020-01-02", "2098-01-01", "2099-05-01", "2020-01-01"]
    told = [ask(token, f"r{i}", localTime=f"{day}T12:00:00Z").told["available"] for i, day in enumerate(days)]
    assert told == [True, True, False, False, False, False], "yesterday's, and tomorrow's: no zone is further from ours"


def test_a_clock_that_says_when_its_parts_begin_is_read_off_the_persons_time() -> None:
    clock = '[features.part]\ncategories = ["day", "night"]\ndynamics = "clock"\nstarts = ["07:00", "21:30"]\n[features.gap]'
    text = TOML.replace("RULES", "").replace("DEADLINE", "24h").replace("[features.gap]", clock)
    slots_seed(loop_version=loop_add(text=text, source="care.toml")[0])
    clear_policy_cache()
    _, token = person("ann")
    for i, (at, part) in enumerate({"06:59": 1.0, "07:00": 0.0, "21:29": 0.0, "21:30": 1.0, "00:00": 1.0}.items()):
        ask(token, f"r{i}", localTime=f"2025-06-01T{at}:00+02:00")
        assert state_values(Decision.objects.latest("pk"))[2] == part, at


def test_a_new_version_of_the_loop_goes_on_serving() -> None:
    """With another feature the learned version no longer fits, which is flagged; the reference fits any loop with its actions."""
    loop = care_loop()
    _, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    first = ask(token, "r1")
    more = TOML.replace("RULES", "").replace("DEADLINE", "24h").replace("version = 1", "version = 2")
    text = more.replace("[features.gap]", '[features.luck]\nbounds = [0, 1]\ndynamics = "constant"\n[features.gap]')
    loop_add(text=text, source="care.toml")
    clear_policy_cache()
    assert ask(token, "r1").content == first.content, "a retry is read against the loop that decided"
    told = ask(token, "r2", context=CONTEXT | {"luck": 1.0}).told
    assert told["available"] and told["loopVersion"] == 2 and told["actions"]["policy"]["fallback"] == "reference"
    heads = Choice.objects.filter(decision__loop_version__version=2)
    assert not heads.get(head="policy").learnable
    assert all(c.learnable and not c.fallback for c in heads.filter(head="tone"))


def test_latencies_are_counted_under_the_version_that_answered() -> None:
    loop = care_loop()
    _, token = person("ann")
    version = learned(loop, "policy", ALWAYS_WALK)
    serve(version)
    latency_write()
    LatencyMinute.objects.all().delete()
    for i in range(5):
        ask(token, f"r{i}")
    ask(token, "r0")
    assert ask(token, "bad", context={"mooood": 1}).status_code == 422
    latency_write()
    latency_write()
    rows = LatencyMinute.objects.filter(version=version)
    assert sum(r.requests for r in rows) == 6, "answers are counted, retries too, and refusals not"
    assert all(0 < r.slowest_us <= r.total_us for r in rows)


def test_time_since_an_intervention_is_computed() -> None:
    loop = care_loop()
    _, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    for i in range(2):
        ask(token, f"r{i}")
    gaps = [state_values(d)[2] for d in Decision.objects.order_by("pk")]
    assert gaps == [1.0, 0.0]


def test_the_other_heads_speak_only_when_policy_intervenes() -> None:
    care_loop()
    _, token = person("ann")
    seen: Counter[str] = Counter()
    for i in range(40):
        actions = ask(token, f"r{i}").told["actions"]
        assert ("tone" in actions) == (actions["policy"]["action"] != "wait")
        seen[actions["policy"]["action"]] += 1
    assert len(seen) == 3


def test_propensities_are_the_frequencies_that_they_claim() -> None:
    """400 decisions at exploration .2 under a policy that walks: walk .8 + .2 x .25 = .85. False alarm rate 1e-6 a bound."""
    loop = care_loop()
    token = service_token()
    people_named([f"p{i}" for i in range(40)], consents=(Purpose.PERSONALIZATION,))
    serve(learned(loop, "policy", ALWAYS_WALK))
    for i in range(400):
        assert ask(token, f"r{i}", userId=f"p{i % 40}").status_code == 200
    walks = list(Choice.objects.filter(head="policy", action=2).values_list("marginal_propensity", flat=True))
    assert set(np.round([p or 0.0 for p in walks], 12)) == {0.85}
    assert binom.ppf(1e-6, 400, 0.85) <= len(walks) <= binom.ppf(1 - 1e-6, 400, 0.85)
    explored = Choice.objects.filter(head="policy", explored=True).count()
    assert binom.ppf(1e-6, 400, 0.2) <= explored <= binom.ppf(1 - 1e-6, 400, 0.2)
    greedy = Choice.objects.filter(head="policy", explored=False)
    assert set(greedy.values_list("propensity", flat=True)) == {1.0}
    tones = Choice.objects.filter(head="tone", decision__choices__head="policy", decision__choices__action=1)
    assert set(tones.values_list("explored", "marginal_propensity")) <= {(True, 0.5)}, "who talks was exploring"


def test_restricted_actions_are_kept_to_and_teach_nothing() -> None:
    loop = care_loop()
    _, token = person("ann")
    serve(learned(loop, "policy", ALWAYS_WALK))
    for i in range(20):
        told = ask(token, f"r{i}", eligible={"policy": ["wait", "talk"]}).told
        assert told["actions"]["policy"]["action"] != "walk"
        assert {r["action"] for r in told["actions"]["policy"]["ranking"]} == {"wait", "talk"}
    assert not Choice.objects.filter(head="policy", learnable=True).exists()
    assert set(Choice.objects.filter(head="policy").values_list("eligible", flat=True)) == {0b011}
    explored = Choice.objects.filter(head="policy", explored=True)
    assert all(c.propensity == pytest.approx((2 / 3, 1 / 3)[c.action]) for c in explored)
    refused = ask(token, "without", eligible={"policy": ["talk"]})
    assert refused.status_code == 422 and "must contain 'wait'" in refused.told["detail"]


def test_a_broken_candidate_falls_back_and_is_flagged() -> None:
    loop = care_loop()
    _, token = person("ann")
    broken = learned(loop, "policy", ALWAYS_WALK)
    serve(broken)
    type(broken).objects.filter(pk=broken.pk).update(weights=b"not an array")
    clear_policy_cache()
    told = ask(token, "r1").told
    assert told["actions"]["policy"]["fallback"] == "reference"
    choice = Choice.objects.get(head="policy")
    assert choice.fallback == "reference" and not choice.learnable
    good = learned(loop, "policy", TALK_IN_A_GOOD_MOOD)
    ServingSlot.objects.filter(head="policy").update(stable=good, candidate=broken, weight_bp=10_000)
    clear_policy_cache()
    assert ask(token, "r2").told["actions"]["policy"]["fallback"] == "stable"


def test_a_swap_is_seen_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = care_loop()
    _, token = person("ann")
    one, two = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    serve(one)
    assert ask(token, "r1").told["versions"]["policy"] == one.pk
    ServingSlot.objects.filter(head="policy").update(stable=two, generation=99)
    assert ask(token, "r2").told["versions"]["policy"] == one.pk, "it is read once a second"
    clock = time.monotonic() + served_policies.SLOT_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    told = ask(token, "r3").told
    assert (told["versions"]["policy"], told["generations"]["policy"]) == (two.pk, 99)


def test_the_holdback_goes_on_with_what_served_before() -> None:
    loop = care_loop()
    before, now = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    serve(before)
    serve(now)
    ServingSlot.objects.filter(head="policy").update(holdback=before, holdback_bp=5_000)
    clear_policy_cache()
    token = service_token()
    served = {}
    for i in range(30):
        person(f"p{i}", consents=(Purpose.PERSONALIZATION,))
        served[f"p{i}"] = [ask(token, f"{i}-{n}", userId=f"p{i}").told["versions"]["policy"] for n in range(2)]
    assert all(one == two for one, two in served.values()), "a person stays with their arm"
    assert {one for one, _ in served.values()} == {before.pk, now.pk}


class TestRefused:
    """Right status, a problem document that says what to do, nothing written."""

    @pytest.fixture(autouse=True)
    def _nothing_is_written(self) -> Any:
        care_loop()
        self.pk, self.token = person("ann")
        yield
        assert not Decision.objects.exists() and not ServingState.objects.exists()

    def refused(self, response: Any, status: int, words: str) -> None:
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/problem+json"
        assert response.told["status"] == status and words in response.told["detail"], response.told

    def test_no_token_and_a_foreign_one(self) -> None:
        self.refused(ask("", "r"), 401, "Authorization")
        self.refused(ask("0" * 64, "r"), 401, "unknown, revoked or expired")

    def test_no_consent(self) -> None:
        _, token = person("ben", consents=())
        self.refused(ask(token, "r"), 403, "not consented to personalization")

    def test_somebody_elses_name_and_nobodys(self) -> None:
        person("ben")
        self.refused(ask(self.token, "r", userId="ben"), 403, "its own person")
        service = service_token()
        self.refused(ask(service, "r", userId="nobody"), 404, "register them")
        self.refused(ask(service, "r"), 403, "name the person in userId")
        assert not Person.objects.filter(pk__gt=self.pk + 1).exists()

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            (b"{", 400, "not JSON"),
            (b"\xff\xfe", 400, "not JSON"),
            (b'{"requestId": "r", "loop": "care", "context": {"\xff": 1}}', 400, "not JSON"),
            (b'{"requestId": "r", "loop": "\\u0000"}', 404, "no loop"),
            (b"[" * 60_000, 422, "does not fit"),
            (b"[]", 422, "does not fit"),
            (b'{"requestId": "r", "loop": "care", "context": {"mood": NaN}}', 400, "not JSON"),
            (b'{"requestId": "r", "loop": "care", "context": {"mood": 1e999}}', 422, "out of range"),
            (b'{"requestId": "", "loop": "care"}', 422, "1 to 100"),
            (b'{"requestId": "r", "loop": "nowhere"}', 404, "no loop 'nowhere'"),
            (b'{"requestId": "r", "loop": "care", "context": {"moood": 1}}', 422, "context.moood is not a feature"),
            (b'{"requestId": "r", "loop": "care", "context": {"mood": "good"}}', 422, "takes a finite number"),
            (b'{"requestId": "r", "loop": "care", "context": {"place": "moon"}}', 422, "home, work"),
            (b'{"requestId": "r", "loop": "care", "eligible": {"policy": ["wait", "fly"]}}', 422, "'fly'"),
            (b'{"requestId": "r", "loop": "care", "eligible": {"mind": ["wait"]}}', 422, "not a head"),
            (b'{"requestId": "r", "loop": "care", "localTime": "2025-06-01T08:00:00"}', 422, "offset"),
            (b'{"requestId": "r", "loop": "care", "surprise": 1}', 422, "surprise"),
            (b'{"requestId": "r", "context": "' + b"x" * 1_000_000 + b'"}', 413, "larger than"),
        ],
    )
    def test_bodies_that_do_not_fit(self, body: bytes, status: int, words: str) -> None:
        self.refused(post(URL, self.token, body), status, words)

    def test_another_method(self) -> None:
        from django.test import Client

        response = Client().get(URL)
        assert response.status_code == 405
