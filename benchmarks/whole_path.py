"""Take planted worlds the whole path: a file of logged decisions, import, one turn, and what serves afterwards.

``python -m benchmarks.whole_path --json``: five lives a world, each with a loop and a file of its own in one temporary database,
by the commands that an operator uses. A life fails if a learned policy is deployed. The log with wrong propensities must be
refused.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.parallel import upper_bound
from benchmarks.worlds.csv_file import write_csv
from benchmarks.worlds.population import Population
from benchmarks.worlds.registry import OUTWEIGHED, PLANTED, world_named

ROOT = Path(__file__).parent.parent
PEOPLE, DAYS = 1_000, 15
REFUSED = ("wrong_propensities", "never_logged_no_column")  # the declared probabilities do not fit the rows


class Platform:
    """Run the operator's commands on a database of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = os.environ | {
            "R3AL_VAR_DIR": str(folder), "SECRET_KEY": secrets.token_hex(32), "ANONYMIZATION_SALT": secrets.token_hex(32),
            "DATA_MASTER_KEYS": f"1:{secrets.token_hex(32)}",
        }  # fmt: skip
        self.run("prepare")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` with these words."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)


def life(platform: Platform, name: str, seed: int, people: int) -> dict[str, Any]:
    """Import one month of a world under a loop of its own, and run one turn."""
    world, loop = world_named(name), f"{name}_{seed}"
    log = Population(world, people, np.random.default_rng([seed, people])).live(DAYS)
    specification, file = platform.folder / f"{loop}.toml", platform.folder / f"{loop}.csv"
    # A population of its own, so that no life spends the budgets of another one's people.
    named = f'name = "{loop}"\npopulation = "{loop}"'
    specification.write_text(world.text.replace(f'name = "{name}"', named, 1))
    write_csv(world, log, file)
    added = platform.run("loop", "add", str(specification))
    imported = platform.run("import_signals", str(file), "--loop", loop, "--consent", "training", "evaluation")
    row = {"world": name, "seed": seed, "refused": imported.returncode != 0, "judged": False, "deployed": False}
    if added.returncode != 0:
        raise RuntimeError(f"the loop of {name} was not added: {added.stderr}")
    if imported.returncode != 0:
        return row | {"reason": imported.stderr.strip()}
    turn = platform.run("run_loop", "--loop", loop, "--seed", str(seed + 1), "--json")
    report = json.loads(turn.stdout.strip().splitlines()[-1])
    learned = [version for version in report["deployed"].values() if version is not None]
    return row | {"judged": turn.returncode == 0, "deployed": bool(learned), "reason": report.get("reason", "")}


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return a check for each world: nothing is deployed, and what must be refused is. A turn that failed judged nothing."""
    out = []
    for name in dict.fromkeys(r["world"] for r in rows):
        mine = [r for r in rows if r["world"] == name]
        if name in REFUSED:
            out.append(Check(f"refused_{name}", float(np.mean([r["refused"] for r in mine])), 1.0))
        else:
            taken = float(np.mean([not r["refused"] for r in mine]))
            out.append(Check(f"imported_{name}", taken, 1.0))
            out.append(Check(f"judged_{name}", float(np.mean([r["judged"] for r in mine])), 1.0))
        if name in PLANTED:
            out.append(Check(f"deployed_{name}", float(np.mean([r["deployed"] for r in mine])), 0.0, at_most=True))
    return out


def main(options: Namespace) -> None:
    """Run the lives, print what each ended with, and store them."""
    lives, people = (1, 300) if options.quick else (options.seeds, PEOPLE)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder))
        for name in options.worlds:
            mine = [life(platform, name, seed, people) for seed in range(lives)]
            deployed = sum(r["deployed"] for r in mine)
            refused = sum(r["refused"] for r in mine)
            bound = upper_bound(deployed, lives)
            print(
                f"{name}: {deployed} of {lives} deployed (at most {bound:.2f}), {refused} refused. {mine[0]['reason']}"
            )
            rows += mine
    finish("whole_path", options, rows, checks(rows))


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=5)
    worlds = [*PLANTED, *OUTWEIGHED]
    parser.add_argument("--worlds", nargs="+", choices=worlds, default=list(PLANTED), help="(default: all of PLANTED)")
    main(parser.parse_args())
