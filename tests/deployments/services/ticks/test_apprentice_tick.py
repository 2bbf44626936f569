"""Ticks of apprenticeships: they count the app's own choices by people, and say what would have been gained and what is open."""

from __future__ import annotations

import pytest
from django.utils import timezone

from deployments.engine.rollouts.apprentice import (
    APPRENTICE_FINISHED,
    NO_OWN_CHOICES,
    PROMOTES_NOTHING,
    ApprenticeFacts,
    ApprenticeTerms,
    apprentice_verdict,
)
from deployments.engine.rollouts.imitation import ImitationGain
from deployments.engine.rollouts.shadow import NOT_DEPLOYABLE
from deployments.models import Deployment, Incident, RolloutCheck, ServingSlot, ShadowMinute
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.operate import rollout_pause, rollout_resume
from deployments.services.serving.policy_cache import clear_policy_cache
from deployments.services.ticks.apprentice_facts import imitated
from deployments.services.ticks.rollout_tick import rollout_tick
from loops.models import LoopVersion
from privacy.models import Choice, Purpose, ServedDecision
from privacy.services.people.consent import consent_withdraw
from privacy.services.people.erasure import person_erase
from privacy.services.vault.verify import vault_verify
from tests.factories.apprentices import apprentice, people_live, walks_by_chance, walks_in_a_good_mood
from tests.factories.care import care_loop
from tests.factories.lived_weeks import begun_before
from tests.factories.shadows import WorkedByHand, worked_by_hand
from tests.factories.users import service_token
from tests.factories.versions import ALWAYS_WALK, judged, learned
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkedByHand:
    return worked_by_hand(monkeypatch)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


@pytest.fixture
def made(loop: LoopVersion) -> Deployment:
    """A version that always walks, beside the app."""
    return apprentice(judged(learned(loop, "policy", ALWAYS_WALK)))


def days_pass(made: Deployment, days: float) -> None:
    begun_before(made, days / 7)


def last(made: Deployment) -> RolloutCheck:
    made.refresh_from_db()
    return made.checks.latest("pk")


def slot(made: Deployment) -> ServingSlot:
    return slot_for(made.slot.loop, "policy")


def gain(made: Deployment) -> ImitationGain:
    return imitated(made, slot(made))[1]


def test_an_app_with_a_rule_is_imitated_where_it_walks_and_nothing_else_is_known(made: Deployment) -> None:
    people_live(walks_in_a_good_mood, people=12, each=10)
    imitation, found = imitated(made, slot(made))
    assert imitation.overall.people == 12 and imitation.overall.rate is not None
    assert imitation.overall.rate.value == pytest.approx(0.5, abs=0.05)
    assert {name: share.rate and share.rate.value for name, share in imitation.by_action.items()} == {
        "wait": 0.0, "talk": None, "walk": 1.0,
    }  # fmt: skip
    assert (found.varied, found.varied_gain) == (0.0, None) and found.untried == pytest.approx(1 - found.agreed)
    assert found.agreed_reward is not None and found.own is not None and found.agreed_reward.value > found.own.value
    assert found.low is not None and found.high is not None and found.low < -1 < 1 < found.high, "20 scales of .5"


def test_an_app_that_varies_by_itself_shows_what_would_have_been_gained(made: Deployment) -> None:
    """Whoever walks is pleased, and everybody else is indifferent. The app walks two of five times, by chance."""
    answers = people_live(walks_by_chance, people=24, each=10)
    walked = sum(told["actions"]["policy"]["action"] == "walk" for told in answers) / len(answers)
    found = gain(made)
    assert found.agreed == pytest.approx(walked) and found.varied == pytest.approx(1 - walked) and found.untried == 0.0
    assert found.varied_gain is not None and found.agreed_reward is not None and found.low is not None
    assert found.varied_gain.value == pytest.approx(found.agreed_reward.value), (
        "it waits for nothing, and walks for this"
    )
    assert found.varied_gain.low > 0.0
    assert found.low < 0.0, "however the app chose, nothing is certain"


def test_a_tick_stores_what_is_known_once_a_day_with_all_that_it_used(made: Deployment) -> None:
    people_live(lambda mood, n: walks_by_chance(mood, n) if n % 4 else None, people=24, each=8)
    for day in range(3):
        assert rollout_tick() == 0 and last(made).step == "wait" and made.checks.count() == day + 1
        assert rollout_tick() == 0 and made.checks.count() == day + 1
        days_pass(made, 1)
    assert (last(made).facts["own"], last(made).facts["without"]) == (144, 48)
    for check in made.checks.all():
        again = apprentice_verdict(ApprenticeTerms.from_json(check.terms), ApprenticeFacts.from_json(check.facts))
        assert (again.step, list(again.reasons), again.figures) == (check.step, check.reasons, check.figures)
    assert vault_verify().broken == ""


def test_it_ends_at_its_end_date_and_leaves_the_version_to_other_strategies(made: Deployment) -> None:
    token = service_token()
    people_live(walks_in_a_good_mood, people=12, each=10, token=token)
    days_pass(made, 28.1)
    assert rollout_tick() == 1
    check = last(made)
    assert (check.step, check.label, check.acted) == ("end", APPRENTICE_FINISHED, True)
    assert check.reasons[-1] == PROMOTES_NOTHING and "120 of 120 decisions" in check.reasons[0]
    assert (made.state, slot(made).shadow, slot(made).app_chooses) == ("succeeded", None, False)
    assert ModelVersion.objects.get(pk=made.version_id).state == "evaluating" and not Incident.objects.exists()
    clear_policy_cache()
    told = people_live(walks_in_a_good_mood, people=1, each=1, token=token, first="after")[0]
    assert "chosenBy" not in told["actions"]["policy"], "the stable version serves again"
    assert rollout_tick() == 0


def test_an_app_that_never_sends_a_choice_is_said_so(made: Deployment) -> None:
    people_live(lambda mood, n: None, people=12, each=4)
    days_pass(made, 28.1)
    assert rollout_tick() == 1 and last(made).step == "extend"
    days_pass(made, 28)
    assert rollout_tick() == 1
    assert last(made).label == NO_OWN_CHOICES and "0 of 48 decisions" in last(made).reasons[1]
    assert (made.state, slot(made).app_chooses) == ("aborted", False)


def test_failures_of_the_version_end_it_and_the_stable_version_serves(made: Deployment) -> None:
    minute = timezone.now().replace(second=0, microsecond=0)
    ShadowMinute.objects.create(version=made.version, minute=minute, scored=200, errors=20)
    assert rollout_tick() == 1 and last(made).label == NOT_DEPLOYABLE
    assert (made.state, slot(made).app_chooses) == ("aborted", False)


def test_a_paused_one_is_not_judged_begins_anew_and_ends_when_it_is_forgotten(made: Deployment) -> None:
    people_live(walks_in_a_good_mood, people=12, each=3)
    days_pass(made, 1.1)
    rollout_tick()
    rollout_pause(rollout=made, actor="ann", reason="a fault of the app")
    assert rollout_tick() == 0
    rollout_resume(rollout=made, actor="ann", reason="mended")
    assert rollout_tick() == 0 and (last(made).facts["days"], last(made).facts["own"]) == (0, 0)
    rollout_pause(rollout=made, actor="ann", reason="again")
    days_pass(made, 57)
    rollout_tick()
    made.refresh_from_db()
    assert (made.state, slot(made).shadow) == ("aborted", None) and vault_verify().broken == ""


def test_what_a_request_did_not_allow_is_no_disagreement(made: Deployment) -> None:
    """Where only waiting and talking are allowed, a version that always walks waits as the app does."""
    people_live(lambda mood, n: "wait", people=12, each=2)
    before = imitated(made, slot(made))[0].overall.rate
    Choice.objects.filter(head="policy").update(eligible=0b011)
    after = imitated(made, slot(made))[0].overall.rate
    assert before is not None and after is not None and (before.value, after.value) == (0.0, 1.0)


def test_fewer_than_ten_people_are_not_known_and_somebody_erased_is_nobody(made: Deployment) -> None:
    people_live(walks_in_a_good_mood, people=10, each=6)
    assert imitated(made, slot(made))[0].overall.people == 10
    pk = ServedDecision.objects.latest("pk").person_id
    consent_withdraw(person_ids=[pk], purposes=list(Purpose), source="app")
    person_erase(person_id=pk, source="test")
    imitation, found = imitated(made, slot(made))
    assert (imitation.overall.people, imitation.overall.rate) == (0, None)
    assert found.people == 0 and "fewer than 10 people" in found.unknown


def test_a_version_that_no_longer_fits_the_loop_says_nothing(made: Deployment) -> None:
    people_live(walks_in_a_good_mood, people=12, each=2)
    ModelVersion.objects.filter(pk=made.version_id).update(weights=b"broken")
    clear_policy_cache()
    assert "does not fit" in gain(made).unknown
