"""A trial on the dashboard: which version, since when, on how many people, what is known, and what comes next."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from deployments.models import Deployment, HealthCheck
from deployments.selectors.slots import slot_for
from deployments.services.health.check import health_check
from deployments.services.rollouts.trial import trial_start
from loops.models import LoopVersion
from r3al_project.turns.models import Turn
from r3al_project.turns.selectors import turn_due_at
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.care import TOML, care_loop
from tests.factories.releases import new_release
from tests.factories.users import browser
from tests.factories.versions import ALWAYS_WALK, learned, undecided
from training.models import TRIAL_GATE, GateVerdict, ModelMetric, ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/r3al/training-dashboard/"


@pytest.fixture
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


@pytest.fixture
def trial(loop: LoopVersion) -> Deployment:
    version = undecided(learned(loop, "policy", ALWAYS_WALK))
    return trial_start(version=version, actor="turn 1", reason="undecided")


def shown(role: str = "Viewer", url: str = PAGE) -> str:
    return " ".join(browser(role).get(url).content.decode().split())


def look(version: ModelVersion, number: int, *, people: float, verdict: str = "insufficient") -> None:
    """A look at the trial, as a turn stores it."""
    release = new_release(version.loop_version)
    release.parameters, release.noisy_users = {"kind": "trial", "version": version.pk, "look": number}, people
    release.save()
    GateVerdict.objects.create(
        version=version, attempt=1 + number, release=release, verdict=verdict, reason="It does not exclude 0."
    )
    ModelMetric.objects.create(
        version=version, source=TRIAL_GATE, name="improvement", value=0.05, low=-0.1, high=0.2, threshold=0.0, verdict=verdict
    )  # fmt: skip


def test_one_word_says_everywhere_that_a_version_is_on_trial(trial: Deployment) -> None:
    out = StringIO()
    call_command("loop", "list", stdout=out)
    assert f"policy: the reference, {trial.version} is on trial" in out.getvalue()
    pages = {role: shown(role, url) for role, url in (("Viewer", PAGE), ("Operator", reverse("front-page-fragment")))}
    for text in pages.values():
        assert "on trial</span>" in text and "evaluating</span>" not in text


def test_it_says_that_a_trial_runs_and_never_that_nothing_learned_is_deployed(trial: Deployment) -> None:
    text = shown()
    assert f"On trial: {trial.version}" in text
    assert f"Since {trial.created_at:%Y-%m-%d %H:%M} UTC" in text
    assert "<dt>Compared with</dt><dd>the reference, which the other half of the people keep.</dd>" in text
    assert "20% of decisions in both halves" in text
    assert f"{trial.version.name} is on trial, not checked yet" in text, "the headline says it too"
    assert "No learned version is deployed" not in text


def test_the_health_of_the_version_on_trial_is_shown(trial: Deployment) -> None:
    check = health_check(slot=slot_for(trial.slot.loop, "policy"))
    assert check.version == trial.version and HealthCheck.objects.count() == 1
    text = shown()
    assert f"{trial.version.name} is on trial for half of the people, beside the reference." in text
    assert "Not enough data yet (0 of 20 people)." in text and "False interventions" in text


def test_before_the_first_look_and_after_one(trial: Deployment) -> None:
    before = shown()
    assert "No turn has read the trial yet." in before and "At most 3 looks are left." in before
    look(trial.version, 1, people=789.4)
    after = shown("Operator")
    assert "Look 1 of 3 on" in after and "It does not exclude 0." in after and "At most 2 looks are left." in after
    assert "0.05 (-0.1 to 0.2); threshold 0" in after
    look_again = "improvement over the reference"
    assert look_again in after


def test_numbers_of_people_are_noised_and_rounded(trial: Deployment) -> None:
    look(trial.version, 1, people=789.4)
    text = shown()
    assert "about 400 of about 790 in the newest release" in text and "789" not in text


def test_without_a_release_no_number_is_made_up(trial: Deployment) -> None:
    assert "Half of the people. No release has counted them yet." in shown()


def test_the_next_look_is_the_next_turn(trial: Deployment) -> None:
    assert "The loop has no schedule, so start a turn" in shown()
    turn = turn_start(loop_version=trial.version.loop_version, parameters=turn_parameters(), actor="ann")
    assert f"The running {turn} reads the trial" in shown("Operator")


def test_a_schedule_names_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("roles")
    monkeypatch.setattr("tests.factories.care.TOML", TOML.replace("version = 1", 'version = 1\nretrain_every = "30d"'))
    loop = care_loop()
    trial_start(version=undecided(learned(loop, "policy", ALWAYS_WALK)), actor="turn 1", reason="undecided")
    due_at = turn_due_at(loop)
    assert due_at is not None and 29 < (due_at - timezone.now()).days + 1 <= 30
    assert f"The scheduled turn reads the trial on {due_at:%Y-%m-%d at %H:%M} UTC" in shown()


def test_after_a_turn_of_a_clock_that_was_set_back_the_next_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.factories.care.TOML", TOML.replace("version = 1", 'version = 1\nretrain_every = "30d"'))
    loop = care_loop()
    turn = turn_start(loop_version=loop, parameters=turn_parameters(), actor="ann")
    Turn.objects.filter(pk=turn.pk).update(created_at=timezone.now() + timedelta(days=900))
    due_at = turn_due_at(loop)
    assert due_at is not None and due_at <= timezone.now()


def test_it_can_be_stopped_from_the_card_and_from_the_list_of_versions(trial: Deployment) -> None:
    stop = reverse("training-dashboard-rollback", args=[trial.version_id])
    text = shown("Operator")
    assert text.count(f'href="{stop}"') == 2 and ">Stop trial</a>" in text and "</span> on trial</span>" in text
    assert stop not in shown("Viewer"), "who may not stop it sees no button"
