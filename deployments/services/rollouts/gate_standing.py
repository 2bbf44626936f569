"""Say what a version's gate allows: everything, a rollout on some of the people, or nothing without an override."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import Conflict
from core.sentences import clause
from deployments.services.rollouts.full_rollout import Proposal
from loops.engine.heads import MAIN_HEAD
from training.engine.gates.trial import trial_first
from training.models import VERDICT_WORDS, GateVerdict, ModelVersion, VersionState
from training.selectors.evidence import trial_is_wanted
from training.selectors.versions import last_verdict


@dataclass(frozen=True)
class GateStanding:
    """Hold a version's latest verdict, None before its evaluation, and whether its evidence asks for a trial."""

    version: ModelVersion
    verdict: GateVerdict | None
    asks_for_trial: bool

    @property
    def is_proven(self) -> bool:
        """Tell whether the gate passed."""
        return self.verdict is not None and self.verdict.verdict == "pass"

    @property
    def objection(self) -> str:
        """Describe why the gate allows no rollout on some of the people, or return an empty text.

        What passed may be rolled out. What the evidence leaves open may be, too, if nothing failed: small populations learn that
        way.
        """
        if self.verdict is None or self.is_proven or self.asks_for_trial:
            return ""
        word = VERDICT_WORDS[self.verdict.verdict]
        return f"{self.version} got the verdict {word!r}: {clause(self.verdict.reason)}"

    def evaluated_check(self, act: str) -> None:
        """Check that the version waits for a rollout and was evaluated. Raises Conflict. ``act``: such as "tried"."""
        if self.version.state != VersionState.EVALUATING:
            raise Conflict(
                f"{self.version} is in state {self.version.state}; only a version in state evaluating can be {act}"
            )
        if self.verdict is None:
            raise Conflict(f"{self.version} was not evaluated; start a turn, which evaluates what it trains")


def gate_standing(version: ModelVersion) -> GateStanding:
    """Return what a version's gate allows. Only versions of the policy head are ever tried without a pass."""
    verdict = last_verdict(version)
    asks = verdict is not None and version.head == MAIN_HEAD and trial_is_wanted(version, verdict)
    return GateStanding(version, verdict, asks)


def unproven_terms(proposal: Proposal, standing: GateStanding) -> dict[str, Any]:
    """Return the terms of a rollout that depend on what the gate has proven, and on what the slot serves.

    Whatever a private trial would be needed for is judged by what both arms lived (``lived_conditions``): a policy that its gate
    left open, or a first one, whose later costs the log cannot show.
    """
    version, spec = proposal.version, proposal.current.spec
    incumbent = proposal.incumbent(version.head)
    first = trial_first(spec, incumbent=incumbent is not None)
    return {
        "logged_rate": 0.0 if incumbent is not None else spec.head(version.head).logged_rate,
        "judges_lived": version.head == MAIN_HEAD and (first or not standing.is_proven),
    }
