"""The mutation tester itself: samples that repeat, changes that could matter, and verdicts that are right."""

from __future__ import annotations

import ast
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import pytest

from tests.mutants.__main__ import equivalents
from tests.mutants.sample import Mutant, drawn, modules
from tests.mutants.trial import mirrored, outcome
from tests.system import ROOT

pytestmark = pytest.mark.embedded  # tests of engines, which mutants are tried on, run in that stack alone
ARMS = "deployments/engine/arm_assignment.py"


def sample(seed: int, only: str = "") -> list[Mutant]:
    return list(islice(drawn(modules(only), seed), 20))


def changed(was: str, becomes: str) -> Mutant:
    source = (ROOT / ARMS).read_text()
    assert source.count(was) == 1
    return Mutant(ARMS, 1, was, becomes, source.replace(was, becomes))


def test_a_seed_draws_the_same_mutants_and_another_seed_others() -> None:
    assert sample(1) == sample(1) != sample(2)
    assert len({(m.path, m.line, m.becomes) for m in sample(1)}) == 20


def test_every_mutant_computes_something_else_in_one_line() -> None:
    for mutant in sample(1):
        before, after = (ROOT / mutant.path).read_text(), mutant.source
        assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after)), mutant
        assert sum(a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)) == 1, mutant


def test_annotations_and_decorators_are_left_alone() -> None:
    every = list(drawn(modules("action_selection"), 1))
    assert len(every) > 20
    assert not [m for m in every if "int | None" in m.was and "int | None" not in m.becomes]
    assert not [m for m in every if m.was.startswith("@")]


def test_the_files_with_the_modules_name_come_first() -> None:
    files = mirrored("deployments/engine/evidence/rotation.py")
    assert files[0] == "tests/deployments/engine/evidence/test_rotation.py"
    assert "tests/deployments/engine/evidence/test_stakes.py" in files and len(files) == len(set(files))
    assert mirrored(ARMS) == ["tests/deployments/engine/test_arm_assignment.py"]


def judged(mutant: Mutant | None, limit: int = 60) -> str:
    """The outcome, found in a fresh process: a fork of this one would have the product loaded already."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(outcome, mirrored(ARMS), mutant, limit).result()[0]


def test_a_fault_is_killed() -> None:
    assert judged(changed("hashlib.blake2b((salt + person_key)", "hashlib.blake2b((person_key)")) == "killed"


def test_what_is_no_fault_survives() -> None:
    assert judged(None) == "survived"
    assert judged(changed("return self.stable", "return (self.stable)")) == "survived"


def test_what_never_ends_is_out_of_time() -> None:
    endless = changed("EPOCH = timedelta(days=7)", "while True: pass\nEPOCH = timedelta(days=7)")
    assert judged(endless, 5) == "out of time"


def test_an_equivalent_mutant_changes_a_line_that_there_is_and_has_its_reason() -> None:
    for (path, was, becomes), reason in equivalents().items():
        assert was in {line.strip() for line in (ROOT / path).read_text().splitlines()}, (path, was)
        assert was != becomes and len(reason) > 20, (path, was)
