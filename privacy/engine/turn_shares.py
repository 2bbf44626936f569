"""Split a turn's budget between its release for training and the one that judges."""

from __future__ import annotations

from fractions import Fraction

from loops.engine.spec import LoopSpec

_TRAINING_PART = Fraction(7, 10)  # of rho, where both releases read the same people


def training_share(spec: LoopSpec) -> Fraction:
    """Return the part of a turn's budget that its training release spends.

    Where everybody trains and judges, both releases read the same people and share the budget. Training gets the larger part: an
    evaluation that says too little leads to a trial, but nothing makes up for a policy that learned too little. Held-out people
    are in one release alone, which spends all.
    """
    return Fraction(1) if spec.evaluation_share else _TRAINING_PART


def judging_share(spec: LoopSpec) -> Fraction:
    """Return the part of a turn's budget that a release which judges spends beside the turn's training release."""
    return Fraction(1) if spec.evaluation_share else 1 - _TRAINING_PART
