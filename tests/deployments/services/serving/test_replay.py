"""manage.py replay: every served decision comes out bit for bit, also after the model was replaced; tampering is seen."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from deployments.services.serving.policy_cache import clear_policy_cache
from privacy.models import Choice, Decision
from tests.factories.care import care_loop, person
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve
from tests.r3al_project.api.api_calls import ask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def served() -> None:
    """Decisions of three generations: the reference, then two versions; some restricted, some unavailable."""
    loop = care_loop(rules="daily_cap = 30")
    _, token = person("ann")
    for generation in range(3):
        for i in range(15):
            more = {"eligible": {"policy": ["wait", "talk"]}} if i % 4 == 0 else {}
            ask(token, f"{generation}-{i}", context={"mood": (i - 7) / 7, "place": "work"}, **more)
        serve(learned(loop, "policy", (TALK_IN_A_GOOD_MOOD, ALWAYS_WALK, ALWAYS_WALK)[generation]))
        serve(learned(loop, "tone", [[0.0] * 4, [0.1, 1.0, 0.0, 0.0]]))
    clear_policy_cache()  # as a new process


def replay(*arguments: str) -> str:
    out = StringIO()
    call_command("replay", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("served")
def test_all_come_out_as_stored() -> None:
    assert "45 decisions replayed, all bit for bit" in replay()
    assert "10 decisions replayed" in replay("--loop", "care", "--last", "10")


def test_nothing_to_replay_is_said_as_such_and_a_loop_that_is_not_there_is_an_error() -> None:
    care_loop()
    for arguments in ((), ("--loop", "care")):
        said = replay(*arguments)
        assert "Nothing was replayed" in said and "bit for bit" not in said
    with pytest.raises(CommandError, match=r"no loop 'nope' \(known: care\)"):
        replay("--loop", "nope")


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("field", ["propensity", "marginal_propensity", "action", "explored", "state"])
def test_a_changed_row_is_named(field: str) -> None:
    choice = Choice.objects.filter(head="policy", explored=True).order_by("-decision_id")[0]
    if field == "state":
        decision = choice.decision
        Decision.objects.filter(pk=decision.pk).update(state=bytes(decision.state)[:-1] + b"x")
        with pytest.raises(CommandError, match=rf"1 of 45 .*decision {decision.pk}: its state cannot be opened"):
            replay()
        return
    value = {"propensity": 0.123, "marginal_propensity": 0.123, "action": (choice.action + 1) % 3, "explored": False}[
        field
    ]
    Choice.objects.filter(pk=choice.pk).update(**{field: value})
    with pytest.raises(CommandError, match=rf"1 of 45 .*decision {choice.decision_id}: policy"):
        replay()


@pytest.mark.usefixtures("served")
def test_a_head_that_should_have_spoken_is_missed() -> None:
    choice = Choice.objects.filter(head="tone").order_by("-decision_id")[0]
    choice.delete()
    with pytest.raises(
        CommandError,
        match=r"1 of 45 .*heads \['policy', 'tone'\] must have choices, but those of \['policy'\] are stored",
    ):
        replay("--all")


def test_a_number_that_counts_nothing_is_one_sentence(db: None) -> None:
    with pytest.raises(CommandError, match="--last is 0; it must lie between 1 and"):
        replay("--last", "0")


def test_a_number_that_no_database_holds_is_one_sentence(db: None) -> None:
    with pytest.raises(CommandError, match="it must lie between 1 and"):
        replay("--last", "9" * 25)
