"""Sample mutants, and print which of them no test notices: ``python -m tests.mutants --sample 60 --seed 1``."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import argparse
import itertools
import sys
import tomllib
from pathlib import Path

from tests.mutants.sample import Mutant, drawn, modules
from tests.mutants.trial import load_libraries, mirrored, outcome

BAR = 0.9  # of the mutants that are not equivalent
LIMIT_S = 60  # of processor time for one mutant
Equivalents = dict[tuple[str, str, str], str]


def main() -> int:
    """Run the command. Returns: 0 if at least nine in ten of the mutants that are not equivalent are killed, otherwise 1."""
    options = _parser().parse_args()
    load_libraries()
    known = equivalents()
    killed = same = 0
    survived: list[Mutant] = []
    checked: set[tuple[str, ...]] = set()
    for mutant in itertools.islice(drawn(modules(options.only), options.seed), options.sample):
        if reason := known.get((mutant.path, mutant.was, mutant.becomes)):
            same += 1
            print(f"equivalent  {mutant}\n    {reason}", flush=True)
            continue
        tests = mirrored(mutant.path)
        if (files := tuple(sorted(tests))) not in checked and not options.unchecked:
            checked.add(files)
            _passes(tests)
        result, _ = outcome(tests, mutant, LIMIT_S)
        print(f"{result:<11} {mutant}", flush=True)
        killed += result != "survived"
        survived += [mutant] if result == "survived" else []
    return _summary(killed, survived, same)


def equivalents() -> Equivalents:
    """Return the reasons of the mutants that are known to behave alike, by path, line, and changed line."""
    listed = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text())
    return {(one["path"], one["was"], one["becomes"]): one["reason"] for one in listed["mutant"]}


def _passes(tests: list[str]) -> None:
    result, said = outcome(tests, None, 10 * LIMIT_S)
    if result != "survived":
        sys.exit(f"The tests {' '.join(tests)} fail on the unchanged tree, so they say nothing of a mutant.\n{said}")


def _summary(killed: int, survived: list[Mutant], same: int) -> int:
    count = killed + len(survived)
    print(f"\n{killed} of {count} mutants were killed; {same} more are equivalent.")
    for mutant in survived:
        print(f"survived  {mutant}")
    return 0 if killed >= BAR * count else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=60, help="number of mutants")
    parser.add_argument("--seed", type=int, default=1, help="fixes the sample")
    parser.add_argument("--only", default="", help="modules whose path contains this")
    parser.add_argument("--unchecked", action="store_true", help="do not first run the tests on the unchanged tree")
    return parser


if __name__ == "__main__":
    sys.exit(main())
