"""Audit a loop's release in a shadow: people simulated from its file, in memory. Nobody is charged, and nothing is written."""

from __future__ import annotations

from core.progress import ReportProgress, no_progress
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import calibration_part
from privacy.engine.turn_shares import training_share
from privacy.services.releases.lifecycle import calibration_asked
from training.engine.audit.audit import ReleaseAudit, audit_release
from training.engine.audit.canary import shadow_of
from training.engine.generators.registry import WORLD_MODEL, generator_named


def release_audit(
    *,
    spec: LoopSpec,
    epsilon: float,
    delta: float,
    runs: int,
    through: str,
    confidence: float,
    seed: int = 0,
    generator: str = WORLD_MODEL,
    report: ReportProgress = no_progress,
) -> ReleaseAudit:
    """Audit the release that a turn of this loop would make, and the generator and policy that follow from it.

    Args:
        epsilon, delta: of a turn, as in ``moments_release``. The release spends the training share of them.
        runs, through, confidence, seed, report: see ``training.engine.audit.audit.audit_release``.
        generator: a name in ``training.engine.generators.registry``.
    Raises: InputError for parameters out of range, and for an unknown generator.
    """
    source = generator_named(generator)
    calibration = calibration_part(calibration_asked(epsilon=epsilon, delta=delta), training_share(spec))
    return audit_release(
        shadow_of(spec),
        calibration,
        source,
        runs=runs,
        through=through,
        seed=seed,
        confidence=confidence,
        report=report,
    )
