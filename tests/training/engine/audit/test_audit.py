"""The audit's bounds stay below the claim, prove a good part of it, and rise above it for planted faults."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.audited_moments import TOML
from benchmarks.release_audit import planted
from core.errors import InputError
from loops.engine.parse.loop import parse_loop
from privacy.engine.dp.accounting import calibrate
from training.engine.audit.audit import ReleaseAudit, audit_release
from training.engine.audit.canary import shadow_of
from training.engine.audit.proof import prove
from training.engine.generators.registry import WORLD_MODEL, generator_named

CLAIM = calibrate(epsilon=8.0, delta=1e-5, maximum=10.0)  # mu 1.6, which few runs prove


def audited(fault: str | None, runs: int = 250, through: str = "release") -> ReleaseAudit:
    shadow = shadow_of(parse_loop(TOML, source="audit.toml"))
    with planted(fault):
        return audit_release(shadow, CLAIM, generator_named(WORLD_MODEL), runs=runs, through=through)


def test_a_sound_release_is_not_refuted_and_half_is_proven() -> None:
    found = audited(None)
    assert not found.refuted and found.share >= 0.5 and found.reached_mu >= 0.98 * found.claimed_mu


@pytest.mark.parametrize("fault", ["sensitivity halved", "noise reused"])
def test_a_planted_fault_is_caught(fault: str) -> None:
    assert audited(fault, runs=900).refuted == ("release",)


def test_every_stage_is_attacked() -> None:
    found = audited(None, runs=40, through="policy")
    assert [s.stage for s in found.stages] == ["release", "generator", "policy"] and not found.refuted


def test_a_bound_of_nothing_is_nothing() -> None:
    rng = np.random.default_rng(1)
    assert prove(rng.normal(size=(2000, 5)), rng.normal(size=(2000, 5)), false_alarm=0.01).mu == 0.0


def test_parameters_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match="1 runs are not possible"):
        audited(None, runs=1)
    with pytest.raises(InputError, match="choose one of: release, generator, policy"):
        audited(None, through="train")
