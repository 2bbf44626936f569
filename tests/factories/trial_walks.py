"""Walkers on trial: a loop in which everybody judges, versions to try, and files of what people of both arms lived."""

from __future__ import annotations

import csv
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core.arrays import Floats
from deployments.models import ServingSlot
from deployments.selectors.slots import candidate_arm, slot_for
from loops.models import LoopVersion
from privacy.models import Purpose
from privacy.services.people.identity import person_key
from r3al_project.turns.add_loop import loop_add_file
from r3al_project.turns.models import Turn
from r3al_project.turns.run_in_process import turn_run
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.versions import undecided
from tests.factories.walks import COLUMNS, TOML
from training.models import ModelVersion, VersionKind
from training.selectors.versions import version_policy
from training.services.versions import version_register

CONSENTS = [Purpose.TRAINING, Purpose.EVALUATION]
WITH_ENERGY, WITHOUT = [[0.0, 0.0, 0.0], [-0.6, 2.0, 0.0]], [[0.0, 0.0, 0.0], [0.6, -2.0, 0.0]]


def everybody_judges(folder: Path) -> LoopVersion:
    """The loop of walks, in which everybody trains and judges."""
    path = folder / "walks.toml"
    path.write_text(TOML.replace("evaluation_share = 0.4\n", ""), encoding="utf-8")
    return loop_add_file(path)[0]


def walker(loop: LoopVersion, weights: list[list[float]]) -> ModelVersion:
    """A version that suggests a walk to those with energy above .3, or to the others."""
    version = version_register(
        loop_version=loop, head="policy", kind=VersionKind.LINEAR_Q,
        arrays={"weights": np.array(weights), "margin": np.array(0.0)}, config={"hinges": False, "intervention_rate": 0.7},
    )  # fmt: skip
    return undecided(version)


def lived(loop: LoopVersion, path: Path, *, people: int = 5_000, days: int = 2, first: date = date(2025, 5, 5)) -> Path:
    """What people of a trial lived after it began: each arm with its policy, and a tenth of all decisions explored."""
    slot = slot_for(loop.loop, "policy")
    arm, rng = candidate_arm(slot), np.random.default_rng(5)
    assert slot.candidate is not None
    effect = _effect(slot.candidate)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for person in range(people):
            in_candidate = arm(person_key(population=loop.spec.population, identifier=f"w{person}"))
            for point in range(days * 2):
                energy, (day, evening) = rng.random(), divmod(point, 2)
                greedy = bool(in_candidate and effect[0] + effect[1] * energy > 0)
                suggested = bool(rng.random() < 0.5) if rng.random() < 0.1 else greedy
                at = datetime.combine(first + timedelta(days=day), datetime.min.time())
                writer.writerow(
                    [f"w{person}", (at + timedelta(hours=18 if evening else 9)).isoformat(), f"{energy:.4f}",
                     ("morning", "evening")[evening], ("wait", "suggest")[suggested],
                     0.95 if suggested == greedy else 0.05,
                     f"{(2 * energy - 0.6) * suggested + rng.normal(0, 0.3):.4f}"]
                )  # fmt: skip
    return path


def _effect(version: ModelVersion) -> Floats:
    return np.asarray(version_policy(version).weights[1])


def run(loop: LoopVersion, **parameters: Any) -> Turn:
    turn = turn_start(actor="ann", loop_version=loop, parameters=turn_parameters(**parameters))
    return turn_run(turn, say=lambda text: None)


def policy_slot(loop: LoopVersion) -> ServingSlot:
    return slot_for(loop.loop, "policy")
