"""A small loop whose truth is plain: a suggested walk pleases people who have energy, and tires the others.

With 300 people, ten days and epsilon 1 both gates pass (the gain is many reward scales); turned around (``helps=False``)
suggesting always harms, and the reference must stay.
"""

from __future__ import annotations

import csv
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from loops.models import LoopVersion
from r3al_project.turns.add_loop import loop_add_file
from tests.factories.loop_files import LOGGED

TOML = (
    """
name = "walks"
version = 1
title = "Walks: suggest one, or wait"
decisions_per_day = 2
evaluation_share = 0.4
trial = "undecided"              # a policy this clear is deployed at once

[features.energy]
bounds = [0, 1]
dynamics = "drift"
scale = 0.3
[features.daypart]
categories = ["morning", "evening"]
dynamics = "clock"

[heads.policy]
actions = ["wait", "suggest"]
reference = "wait"
logging = [0.5, 0.5]

[reward]
scale = 0.5
default = 0.0
stability_margin = 1.0           # of no interest here; people's reward does not drift
limit = 2.5                      # 2 energy - .6, and noise of .3

[release.moments]
nominal_users = 360
"""
    + LOGGED
)
COLUMNS = ("who", "at", "energy", "daypart", "did", "p", "felt")
FIRST = date(2025, 3, 3)


def walks_file(folder: Path) -> Path:
    """The loop as a TOML file."""
    path = folder / "walks.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def walks_loop(folder: Path) -> LoopVersion:
    """The loop in the database, with its slots."""
    return loop_add_file(walks_file(folder))[0]


def walks_csv(
    path: Path, *, people: int = 600, days: int = 5, seed: int = 1, helps: bool = True, first: date = FIRST
) -> Path:
    """What an app would have logged: waiting feels like 0, a suggestion like 2 energy - .6 (or -1), with noise of .3."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for person in range(people):
            for point in range(days * 2):
                energy, suggested = rng.random(), rng.random() < 0.5
                felt = (2 * energy - 0.6 if helps else -1.0) * suggested + rng.normal(0, 0.3)
                day, evening = divmod(point, 2)
                at = datetime.combine(first + timedelta(days=day), datetime.min.time()) + timedelta(
                    hours=18 if evening else 9
                )
                writer.writerow(
                    [f"w{person}", at.isoformat(), f"{energy:.4f}", ("morning", "evening")[evening],
                     ("wait", "suggest")[suggested], 0.5, f"{felt:.4f}"]
                )  # fmt: skip
    return path
