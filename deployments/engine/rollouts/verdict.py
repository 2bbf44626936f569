"""Hold the verdict of a rollout: the step that follows, every reason for it, and all numbers that were used.

Findings of several checks may call for different steps. The worst one wins, and all reasons are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from core.json_safe import json_safe

# wait: nothing is due. extend: the stage's time starts once more. advance: the next stage. promote: the candidate becomes the
# stable version. roll_back: harm is proven. pause: somebody must look. end: the candidate leaves, and no harm is proven.
Step = Literal["wait", "extend", "advance", "promote", "roll_back", "pause", "end"]
WORST_FIRST: tuple[Step, ...] = ("roll_back", "pause", "end", "extend", "wait", "advance", "promote")

WAITING = "waiting"
NOT_ENOUGH = "not enough evidence yet"
HARM_PROVEN = "harm proven"
NEEDS_A_LOOK = "needs a look"
SAFE_TO_GO_ON = "safe to go on"
PROVEN_BETTER = "proven better"
PROBABLY_BETTER = "not worse, probably better"
PASSED_AND_SAFE = "passed its gate, no harm found"
ACCEPTED = "accepted without proof"
WITHOUT_PROOF = "ended without proof"
CONTROL_KEPT = "the stable version is kept"


class CheckFinding(NamedTuple):
    """Hold what one check calls for, and the reason as an English sentence."""

    step: Step
    reason: str
    label: str


@dataclass(frozen=True)
class RolloutVerdict:
    """Hold the step that follows, the reasons of all findings with the worst first, a label, and all numbers as JSON values."""

    step: Step
    reasons: tuple[str, ...]
    label: str
    figures: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {"step": self.step, "reasons": list(self.reasons), "label": self.label, "figures": self.figures}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> RolloutVerdict:
        """Read what ``as_json`` returned."""
        return cls(stored["step"], tuple(stored["reasons"]), stored["label"], stored["figures"])


def worst_of(findings: Sequence[CheckFinding], figures: dict[str, Any]) -> RolloutVerdict:
    """Return the verdict of findings, of which there is at least one."""
    ordered = sorted(findings, key=lambda finding: WORST_FIRST.index(finding.step))
    reasons = tuple(dict.fromkeys(finding.reason for finding in ordered))
    return RolloutVerdict(ordered[0].step, reasons, ordered[0].label, json_safe(figures))
