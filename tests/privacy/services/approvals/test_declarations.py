"""A loop file cannot take the second operator away without one, on whichever road it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Conflict, Forbidden
from deployments.models import Deployment
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import Approval
from privacy.selectors.approvals import acts_guarded
from privacy.services.approvals.decide import approval_approve
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded
from r3al_project.turns.guarded_acts import loop_file_or_ask
from tests.factories.care import care_loop
from tests.factories.operators import approvals_declared, guarded_loop, operator, outdated_version, waiting_override

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return guarded_loop(["override", "epsilon"])


def file_with(loop: LoopVersion, folder: Path, *acts: str) -> Path:
    """The loop's next file, which asks for a second operator in these acts."""
    declared = approvals_declared(["override", "epsilon"])
    text = loop.source.replace(declared, approvals_declared(acts) if acts else "").replace("version = 1", "version = 2")
    path = folder / "care.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kept", [(), ("override",), ("epsilon", "cap", "promotion")])
def test_no_code_stores_a_file_that_asks_less_often(loop: LoopVersion, tmp_path: Path, kept: tuple[str, ...]) -> None:
    with pytest.raises(SecondOperatorNeeded):
        loop_add(text=file_with(loop, tmp_path, *kept).read_text(), source="care.toml")
    assert loop.loop.versions.get() == loop and acts_guarded(loop.loop) == {"override", "epsilon"}


def test_a_file_that_asks_as_often_or_more_needs_nobody(loop: LoopVersion, tmp_path: Path) -> None:
    more = loop_file_or_ask(
        path=file_with(loop, tmp_path, "cap", "override", "epsilon"), by=OperatorAccount("root at a terminal", None)
    )
    assert not isinstance(more, Approval)
    assert acts_guarded(loop.loop) == {"override", "epsilon", "cap"}


def test_the_file_waits_and_is_published_once_another_operator_approves(loop: LoopVersion, tmp_path: Path) -> None:
    ann = operator("ann")
    asked = loop_file_or_ask(path=file_with(loop, tmp_path), by=ann, reason="we are few in August")
    assert isinstance(asked, Approval) and asked.act == "declaration"
    assert loop.loop.versions.count() == 1
    with pytest.raises(Forbidden, match="yourself"):
        approval_approve(number=asked.pk, by=ann)
    done = approval_approve(number=asked.pk, by=operator("bert"))
    assert loop.loop.versions.count() == 2 and acts_guarded(loop.loop) == frozenset()
    assert done.made.startswith("loop version ")


def test_the_words_say_what_is_no_longer_asked_for(loop: LoopVersion, tmp_path: Path) -> None:
    asked = loop_file_or_ask(path=file_with(loop, tmp_path, "override"), by=operator("ann"))
    assert isinstance(asked, Approval)
    assert "after version 1 that asks for no second operator any more for: epsilon." in asked.words


def test_what_was_asked_for_under_a_declaration_is_not_done_without_it(loop: LoopVersion, tmp_path: Path) -> None:
    ann, bert = operator("ann"), operator("bert")
    version = outdated_version(loop)
    waiting, file = waiting_override(version, ann), loop_file_or_ask(path=file_with(loop, tmp_path), by=ann)
    assert isinstance(file, Approval)
    approval_approve(number=file.pk, by=bert)
    with pytest.raises(Conflict, match=r"no longer applies: by now it needs no second operator.*Nothing was done"):
        approval_approve(number=waiting.pk, by=bert)
    version.refresh_from_db()
    assert version.state == "evaluating" and not Deployment.objects.filter(version=version).exists()


def test_a_file_that_is_published_already_is_not_approved_again(loop: LoopVersion, tmp_path: Path) -> None:
    ann, bert, path = operator("ann"), operator("bert"), file_with(loop, tmp_path)
    first, second = loop_file_or_ask(path=path, by=ann), loop_file_or_ask(path=path, by=bert)
    assert isinstance(first, Approval) and isinstance(second, Approval)
    approval_approve(number=first.pk, by=bert)
    with pytest.raises(Conflict, match="by now it needs no second operator"):
        approval_approve(number=second.pk, by=ann)


def test_what_was_approved_is_not_published_over_another_file(loop: LoopVersion, tmp_path: Path) -> None:
    asked = loop_file_or_ask(path=file_with(loop, tmp_path), by=operator("ann"))
    assert isinstance(asked, Approval)
    guarded_loop(["override", "epsilon", "promotion"], version=2)
    with pytest.raises(Conflict, match="no longer applies"):
        approval_approve(number=asked.pk, by=operator("bert"))
    assert "promotion" in acts_guarded(loop.loop)


def test_a_new_loop_with_the_same_people_is_asked_for_what_costs_them() -> None:
    guarded_loop()
    other = loop_add(text=care_text("copy"), source="copy.toml")[0]
    assert acts_guarded(other.loop) == {"epsilon", "cap"}


def test_a_loop_with_other_people_is_not() -> None:
    guarded_loop()
    other = loop_add(text=f'population = "others"\n{care_text("copy")}', source="copy.toml")[0]
    assert acts_guarded(other.loop) == frozenset()


def care_text(name: str) -> str:
    """The text of a loop like care that declares nothing."""
    plain = LoopVersion.objects.get(loop__name="care")
    return plain.source.replace('name = "care"', f'name = "{name}"').replace(approvals_declared(), "")


def test_the_first_file_of_a_loop_may_declare_nothing() -> None:
    assert acts_guarded(care_loop().loop) == frozenset()
