"""Shadows: they decide after the answer and beside it. Whatever they do, the answer is the same, and only figures are left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.engine.action_selection import choose_alone
from deployments.models import ServingSlot, ShadowMinute
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.start import rollout_start
from deployments.services.serving import shadow
from deployments.services.serving.policy_cache import clear_policy_cache, served_loop
from deployments.services.serving.shadow import (
    CHOICE_SECONDS,
    MOST_WAITING,
    ShadowTask,
    ShadowWorker,
    TimeBudget,
    compare_choice,
)
from deployments.services.serving.shadow_figures import ShadowFigures
from loops.models import LoopVersion
from privacy.models import Choice
from tests.factories.care import care_loop, person
from tests.factories.shadows import WorkedByHand, worked_by_hand
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, judged, learned, serve
from tests.r3al_project.api.api_calls import ask
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkedByHand:
    return worked_by_hand(monkeypatch)


@pytest.fixture
def loop() -> LoopVersion:
    return care_loop()


def in_shadow(version: ModelVersion) -> ModelVersion:
    rollout_start(strategy="shadow_test", version=judged(version), actor="ann", reason="look first")
    clear_policy_cache()
    return version


def figures() -> dict[str, int]:
    rows = list(ShadowMinute.objects.all())
    return {
        name: sum(getattr(row, name) for row in rows)
        for name in ("scored", "late", "errors", "dropped", "compared", "agreed")
    }


def ask_all(token: str, count: int, first: int = 0) -> list[Any]:
    """Answers to requests in alternating moods: TALK_IN_A_GOOD_MOOD talks in every other one."""
    moods = (0.5, -0.5)
    contexts = [{"mood": moods[i % 2], "place": "home"} for i in range(first, first + count)]
    return [ask(token, f"r{first + i}", context=context).told for i, context in enumerate(contexts)]


def test_its_choices_are_compared_with_the_stable_versions_after_the_answer(
    loop: LoopVersion, worker: WorkedByHand
) -> None:
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    _, token = person("ann")
    ask_all(token, 20)
    assert not ShadowMinute.objects.exists(), "nothing happens within the requests"
    worker.work_through()
    assert figures() == {"scored": 20, "late": 0, "errors": 0, "dropped": 0, "compared": 20, "agreed": 0}
    row = ShadowMinute.objects.values("intervened", "stable_intervened").first()
    assert row is not None and row["intervened"] == 20 and 0 < row["stable_intervened"] < 20


def test_two_versions_that_act_alike_agree_always(loop: LoopVersion, worker: WorkedByHand) -> None:
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    in_shadow(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    _, token = person("ann")
    ask_all(token, 20)
    worker.work_through()
    assert (figures()["compared"], figures()["agreed"]) == (20, 20)


def test_drawn_actions_are_not_counted_as_agreement(loop: LoopVersion, worker: WorkedByHand) -> None:
    """Where everything explores, both draw the same action. Their greedy ones still differ."""
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    ServingSlot.objects.update(exploration_bp=10_000)
    clear_policy_cache()
    _, token = person("ann")
    ask_all(token, 20)
    worker.work_through()
    assert (figures()["compared"], figures()["agreed"]) == (20, 0)


def test_an_answer_is_the_same_with_a_shadow_and_without(loop: LoopVersion, worker: WorkedByHand) -> None:
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    _, token = person("ann")
    without = ask_all(token, 6)
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    beside = ask_all(token, 6, first=6)
    assert {a["versions"]["policy"] for a in without} == {a["versions"]["policy"] for a in beside}
    assert [set(a) for a in without] == [set(a) for a in beside]
    assert Choice.objects.filter(version=slot_for(loop.loop, "policy").shadow_id).count() == 0


def test_a_retry_and_somebody_unavailable_are_not_offered(worker: WorkedByHand) -> None:
    loop = care_loop(rules='cooldown = "30d"')
    serve(learned(loop, "policy", ALWAYS_WALK))
    in_shadow(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    _, token = person("ann")
    first = ask_all(token, 1)[0]
    assert ask_all(token, 1)[0] == first
    if first["actions"]["policy"]["action"] != "wait":
        assert not ask_all(token, 1, first=5)[0]["available"]
    worker.work_through()
    assert figures()["scored"] == 1


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every shadow's policy raises."""
    real = choose_alone

    def raises(policy: Any, *arguments: Any, **more: Any) -> Any:
        if policy.version in {s.version for s in served_loop("care").shadows}:
            raise ZeroDivisionError("a planted fault")
        return real(policy, *arguments, **more)

    monkeypatch.setattr(shadow, "choose_alone", raises)


def test_a_failing_shadow_is_counted_and_hurts_nobody(loop: LoopVersion, worker: WorkedByHand, fails: None) -> None:
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    _, token = person("ann")
    assert all(told["available"] for told in ask_all(token, 12))
    worker.work_through()
    assert figures() == {"scored": 0, "late": 0, "errors": 12, "dropped": 0, "compared": 0, "agreed": 0}


def test_a_version_that_no_longer_fits_the_loop_is_an_error(loop: LoopVersion, worker: WorkedByHand) -> None:
    version = in_shadow(learned(loop, "policy", ALWAYS_WALK))
    ModelVersion.objects.filter(pk=version.pk).update(weights=b"broken")
    clear_policy_cache()
    _, token = person("ann")
    ask_all(token, 3)
    worker.work_through()
    assert (figures()["errors"], figures()["scored"]) == (3, 0)


def test_a_slow_choice_is_late(loop: LoopVersion, worker: WorkedByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    real = choose_alone

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(CHOICE_SECONDS * 1.1)
        return real(*arguments, **more)

    monkeypatch.setattr(shadow, "choose_alone", slow)
    _, token = person("ann")
    ask_all(token, 5)
    worker.work_through()
    assert (figures()["scored"], figures()["late"]) == (5, 5)


def task(loop: LoopVersion, mask: int | None = None) -> ShadowTask:
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    serving, state = served_loop("care").shadows[0], [0.5, 0.0, 1.0]
    served = choose_alone(serving.stable, state, seed=b"s" * 16, exploration=0.2, mask=mask)
    return ShadowTask(serving, state, b"s" * 16, 0.2, served)


def test_a_full_queue_drops_and_counts(loop: LoopVersion, worker: WorkedByHand) -> None:
    offered = task(loop)
    for _ in range(MOST_WAITING + 7):
        worker.offer(offered)
    worker.figures.write()
    assert figures()["dropped"] == 7 and figures()["scored"] == 0


def test_it_keeps_to_restricted_actions(loop: LoopVersion) -> None:
    """ALWAYS_WALK may only wait or talk here, so it waits, as the reference does."""
    offered = task(loop, mask=0b011)
    comparison, seconds = compare_choice(offered)
    assert comparison == (True, False, False) and 0 <= seconds < CHOICE_SECONDS


def test_somebody_in_the_holdback_is_compared_with_the_stable_version(loop: LoopVersion) -> None:
    offered = task(loop)
    other = offered.served._replace(version=offered.shadow.stable.version + 1, values=(0.0, 9.0, 0.0))
    comparison, _ = compare_choice(offered._replace(served=other))
    assert comparison == (False, True, False), "the reference waits, whatever the holdback would have done"


def test_it_spends_no_more_than_its_share_of_the_time() -> None:
    budget = TimeBudget(0.1, 1.0)
    assert not budget.is_spent
    for _ in range(10):
        budget.spend(0.009)
    assert not budget.is_spent, "a tenth of a second is a burst"
    budget.spend(0.02)
    assert budget.is_spent


def test_a_worker_that_has_spent_its_time_rests(loop: LoopVersion, worker: WorkedByHand) -> None:
    offered = task(loop)
    worker.offer(offered)
    worker._budget.spend(10.0)
    assert worker.work() is False
    worker.figures.write()
    assert not ShadowMinute.objects.exists()


def ends(worker: ShadowWorker) -> bool:
    """Whether the worker's thread ends within ten seconds."""
    end = time.monotonic() + 10
    while worker._thread is not None and time.monotonic() < end:
        time.sleep(0.05)
    return worker._thread is None


@pytest.fixture
def threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShadowWorker]:
    monkeypatch.setattr(shadow, "_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(shadow, "WRITE_SECONDS", 0.1)
    worker = ShadowWorker(ShadowFigures())
    monkeypatch.setattr(shadow, "_worker", worker)
    yield worker
    assert ends(worker)


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_by_itself_and_ends_when_nothing_comes(threaded: ShadowWorker) -> None:
    loop = care_loop()
    in_shadow(learned(loop, "policy", ALWAYS_WALK))
    _, token = person("ann")
    ask_all(token, 12)
    assert "shadow" in {thread.name for thread in threading.enumerate()}
    assert ends(threaded) and figures()["scored"] == 12
    ask_all(token, 3, first=20)
    assert ends(threaded) and figures()["scored"] == 15, "it starts again"
