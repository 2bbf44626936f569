"""Let operators, ticks and stale views act on rollouts in any order, for many more steps than the suite has time for.

``python -m benchmarks.rollout_machine --json``: the state machine of
``tests/deployments/services/rollouts/test_rollout_machine.py`` on a fresh SQLite and a fresh PostgreSQL, 10^5 acts in all. After
each act one rollout at most holds the slot, one version serves, none that did harm does, and the Trust Vault knows the state. The
first history that breaks this ends the run with its steps.
"""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from benchmarks.common import Check, arguments, finish
from benchmarks.own_process import measured

KINDS, ACTS, QUICK_ACTS, ACTS_OF_A_HISTORY = ("sqlite", "postgresql"), 100_000, 1_000, 50


def measure(acts: int) -> dict[str, Any]:
    """Run histories until that many acts were tried. Returns how many there were, and how many changed something."""
    from benchmarks.decisions_world import start_django

    start_django()
    from django.core.management import call_command
    from django.db import connection
    from hypothesis import HealthCheck, settings
    from hypothesis.stateful import run_state_machine_as_test

    call_command("migrate", verbosity=0)
    from tests.deployments.services.rollouts.test_rollout_machine import RolloutMachine

    class Counted(RolloutMachine):
        tried = done = 0

        def attempt(self, act: Any) -> bool:
            found = super().attempt(act)
            Counted.tried += 1
            Counted.done += found
            return found

    while Counted.tried < acts:
        rules = settings(
            max_examples=20, stateful_step_count=ACTS_OF_A_HISTORY, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        run_state_machine_as_test(Counted, settings=rules)  # type: ignore[no-untyped-call]
    return {"database": connection.vendor, "acts": Counted.tried, "done": Counted.done}


def main(options: Namespace) -> None:
    """Run both databases, print and store what was tried."""
    acts = QUICK_ACTS if options.quick else ACTS
    rows = [measured(kind, "benchmarks.rollout_machine", "--measure", str(acts // len(KINDS))) for kind in KINDS]
    for row in rows:
        print(
            f"{row['database']:<12} {row['acts']:>7} acts, {row['done']} of them changed something; no history broke a slot"
        )
    finish("rollout_machine", options, rows, [Check("acts_without_a_broken_slot", sum(r["acts"] for r in rows), acts)])


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--measure", type=int, help="for its own processes: acts on the configured database")
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure)))
    else:
        main(chosen)
