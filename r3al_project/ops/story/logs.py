"""Write the files of logged decisions that the story imports: what an app had logged before it asked this platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from core.atomic_files import atomic_file
from loops.engine.spec import LoopSpec
from simulator import SimulatedPeople, make_people, simulate, write_csv
from simulator.people import Variant

LOGGED_DAYS = 15


@dataclass(frozen=True)
class AppLog:
    """Describe the log of an app: its people, who they are, the day before which it ends, and the prefix of their names."""

    people: int
    seed: int
    ends: date
    prefix: str
    variant: Variant = "companion"

    def names(self) -> list[str]:
        """Return the names of its people, in order."""
        return [f"{self.prefix}-{i}" for i in range(self.people)]

    def write(self, spec: LoopSpec, folder: Path) -> tuple[Path, SimulatedPeople]:
        """Simulate the people under the logging distribution, and write their decisions. Returns the file and the people."""
        rng = np.random.default_rng([self.seed, *self.prefix.encode()])
        people = make_people(self.people, rng, variant=self.variant)
        cohort = simulate(spec, people, LOGGED_DAYS, rng)
        path = folder / f"{self.prefix}.csv"
        with atomic_file(path, replace=True) as file:
            start = self.ends - timedelta(days=LOGGED_DAYS)
            write_csv(cohort, spec, file, start=start, user_prefix=self.prefix)
        return path, people
