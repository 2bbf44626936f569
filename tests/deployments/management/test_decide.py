"""manage.py decide: a file of states in, a file of choices out; what cannot be done is said before anything is written."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from deployments.engine.rollouts.strategies import TRIAL
from deployments.models import ServingSlot
from deployments.selectors.slots import candidate_arm
from deployments.services.rollouts.start import rollout_start
from privacy.services.people.identity import person_key
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned, serve, undecided
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
STATES = "who,at,mood,place,gap\nann,2025-06-01T09:00:00+00:00,0.5,home,0\nbob,2025-06-01T10:00:00+00:00,-0.5,work,1\n"


@pytest.fixture
def states(tmp_path: Path) -> Path:
    serve(learned(care_loop(), "policy", ALWAYS_WALK))
    path = tmp_path / "states.csv"
    path.write_text(STATES)
    return path


def decide(source: Path, target: Path, *more: str) -> str:
    out = StringIO()
    call_command("decide", "--loop", "care", "--input", str(source), "--output", str(target), *more, stdout=out)
    return out.getvalue()


def test_every_state_gets_its_choice(states: Path) -> None:
    target = states.with_name("choices.csv")
    name = ModelVersion.objects.get(kind="linear_q").name
    assert "2 states scored by" in decide(states, target)
    assert target.read_text().splitlines() == [
        "row,action,p_wait,p_talk,p_walk,version", f"1,walk,0,0,1,{name}", f"2,walk,0,0,1,{name}"
    ]  # fmt: skip


def test_the_input_is_never_overwritten_by_whatever_name(states: Path) -> None:
    link = states.with_name("link.csv")
    link.symlink_to(states)
    for target in (states, link, states.parent / "." / states.name):
        with pytest.raises(CommandError, match="is the input itself"):
            decide(states, target)
    assert states.read_text() == STATES


def test_folders_are_not_made_and_not_written_over(states: Path) -> None:
    missing = states.parent / "new" / "choices.csv"
    with pytest.raises(CommandError, match=r"there is no folder .*new"):
        decide(states, missing)
    with pytest.raises(CommandError, match="is a folder"):
        decide(states, states.parent)
    assert sorted(p.name for p in states.parent.iterdir()) == ["states.csv"]


def test_a_missing_or_empty_input_is_asked_for_as_states(states: Path) -> None:
    empty = states.with_name("empty.csv")
    empty.touch()
    for source in (states.with_name("none.csv"), empty):
        with pytest.raises(CommandError, match="file of states"):
            decide(source, states.with_name("choices.csv"))


def test_a_version_is_asked_for_by_its_name(states: Path) -> None:
    target, served = states.with_name("choices.csv"), ModelVersion.objects.get(kind="linear_q")
    reference = ModelVersion.objects.get(kind="reference", head="policy")
    for name in (reference.name, str(reference.pk)):
        assert f"scored by care/policy {reference.name} (the reference)" in decide(
            states, target, "--version", name, "--force"
        )
    assert f"scored by care/policy {served.name}" in decide(states, target, "--force")
    for name, why in (("mine", "versions have names like model_12"), ("model_999", "no version model_999")):
        with pytest.raises(CommandError, match=why):
            decide(states, target, "--version", name, "--force")


@pytest.fixture
def on_trial(tmp_path: Path) -> Path:
    """States of forty people, while a version that always walks is on trial."""
    loop = care_loop()
    rollout_start(strategy=TRIAL, version=undecided(learned(loop, "policy", ALWAYS_WALK)), actor="me", reason="open")
    path = tmp_path / "states.csv"
    rows = [f"u{i},2025-06-01T09:00:00+00:00,0.5,home,0" for i in range(40)]
    path.write_text("\n".join(["who,at,mood,place,gap", *rows, ""]))
    return path


def test_during_a_trial_each_person_is_scored_by_their_arm(on_trial: Path) -> None:
    target, slot = on_trial.with_name("choices.csv"), ServingSlot.objects.get(head="policy")
    said, in_candidate = decide(on_trial, target), candidate_arm(slot)
    rows = [line.split(",") for line in target.read_text().splitlines()[1:]]
    expected = [in_candidate(person_key(population=care_loop().spec.population, identifier=f"u{i}")) for i in range(40)]
    assert 5 < sum(expected) < 35
    assert [row[1] == "walk" for row in rows] == expected
    assert slot.candidate is not None
    assert {row[-1] for row, ours in zip(rows, expected, strict=True) if ours} == {slot.candidate.name}
    assert f"{slot.candidate} ({sum(expected)})" in said


def test_during_a_trial_a_file_without_people_is_scored_by_the_present_version_and_says_so(on_trial: Path) -> None:
    target, errors = on_trial.with_name("choices.csv"), StringIO()
    on_trial.write_text(on_trial.read_text().replace("who,", "somebody,"))
    call_command(
        "decide", "--loop", "care", "--input", str(on_trial), "--output", str(target), stdout=StringIO(), stderr=errors
    )
    assert "walk" not in target.read_text().replace("p_walk", "")
    assert "no column 'who'" in errors.getvalue()


def test_a_file_that_exists_is_overwritten_with_force_alone(states: Path) -> None:
    target = states.with_name("choices.csv")
    target.write_text("of yesterday\n")
    with pytest.raises(CommandError, match=r"exists already; choose another --output, or overwrite it with --force"):
        decide(states, target)
    assert target.read_text() == "of yesterday\n"
    decide(states, target, "--force")
    assert target.read_text().startswith("row,action,")
