"""Audit the path from rows to policy as ``manage.py audit_release`` does, twenty times, and once with each planted fault.

The claim is epsilon 1. The bound must stay below it in all audits, and must prove half of it on average. With the sensitivity
halved, or with one stream of noise used for every block, the bound must rise above the claim.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.audited_moments import TOML
from benchmarks.common import Check, arguments, finish
from benchmarks.parallel import spread
from core.arrays import Ints
from loops.engine.parse.loop import parse_loop
from privacy.engine.dp.accounting import LATTICE_STEPS, calibrate
from privacy.engine.dp.mechanisms import NoisyBlock, noise_once
from privacy.engine.moments import rounds
from training.engine.audit.audit import ReleaseAudit, audit_release
from training.engine.audit.canary import shadow_of
from training.engine.generators.registry import WORLD_MODEL, generator_named

AUDITS, RUNS = 20, 6_000
QUICK_AUDITS, QUICK_RUNS, FAULT_RUNS = 2, 1_500, 3_000
EPSILON, DELTA = 1.0, 1e-5
Noise = Callable[..., NoisyBlock]


def halved(total: Ints, *, clip: float, sigma: float, share: float) -> NoisyBlock:
    """Add noise for half of the sensitivity, and declare it as noise for all of it."""
    made = noise_once(total, clip=clip, sigma=sigma / 2, share=share)
    return NoisyBlock(made.values, 2 * made.sd, made.rho / 4)


class Reused:
    """Start the same stream of noise again for every block of a release. Every release has a stream of its own."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng()
        self._seed = 0

    def __call__(self, total: Ints, *, clip: float, sigma: float, share: float) -> NoisyBlock:
        """Add the noise. A release begins with the counts, its only block of three numbers in round 0."""
        if len(total) == 3:
            self._seed = int(self._rng.integers(2**63))
        sd = clip * sigma / share**0.5
        noise = np.random.default_rng(self._seed).normal(size=len(total)) * sd
        return NoisyBlock(total * (clip / LATTICE_STEPS) + noise, sd, share / (2 * sigma**2))


FAULTS: dict[str, Callable[[], Noise]] = {"sensitivity halved": lambda: halved, "noise reused": Reused}


@contextmanager
def planted(fault: str | None) -> Iterator[None]:
    """Plant one fault in the mechanism that releases use, and take it out again."""
    sound = rounds.noisy_total  # type: ignore[attr-defined]
    try:
        if fault is not None:
            rounds.noisy_total = FAULTS[fault]()  # type: ignore[attr-defined]
        yield
    finally:
        rounds.noisy_total = sound  # type: ignore[attr-defined]


def audited(task: tuple[str | None, int, str, int]) -> dict[str, Any]:
    """Run one audit, with a fault or None, and return what it proved."""
    fault, runs, through, seed = task
    calibration = calibrate(epsilon=EPSILON, delta=DELTA, maximum=EPSILON)
    with planted(fault):
        found = audit_release(
            shadow_of(parse_loop(TOML, source="audit.toml")), calibration, generator_named(WORLD_MODEL), runs=runs,
            through=through, seed=seed,
        )  # fmt: skip
    return {"part": fault or "sound", "runs": runs, "seed": seed, **_facts(found)}


def _facts(found: ReleaseAudit) -> dict[str, Any]:
    proven = {f"epsilon_{stage.stage}": stage.epsilon for stage in found.stages}
    return {
        "claimed": found.claimed_epsilon, "canary_share": found.reached_mu / found.claimed_mu, "share": found.share, **proven,
        "test": found.stages[0].proof.test, "refuted": list(found.refuted),
    }  # fmt: skip


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    audits, runs = (QUICK_AUDITS, QUICK_RUNS) if options.quick else (AUDITS, RUNS)
    tasks: list[tuple[str | None, int, str, int]] = [
        (None, runs, "policy" if seed == 0 else "release", seed) for seed in range(audits)
    ]
    tasks += [(fault, FAULT_RUNS, "release", 0) for fault in FAULTS]
    rows = list(spread(audited, tasks, options.processes))
    for row in rows:
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    sound = [row for row in rows if row["part"] == "sound"]
    checks = [
        Check("bound_never_above_claim", float(sum(bool(row["refuted"]) for row in sound)), 0.0, at_most=True),
        Check("bound_share_of_claim", float(np.mean([row["share"] for row in sound])), 0.1 if options.quick else 0.5),
        Check("faults_caught", float(sum(bool(row["refuted"]) for row in rows if row["part"] in FAULTS)), len(FAULTS)),
    ]
    finish("release_audit", options, rows, checks)


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--processes", type=int, default=2)
    main(parser.parse_args())
