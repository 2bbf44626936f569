"""Decide the next step of a shadow test, as a pure function of frozen terms and stored facts.

The candidate decides beside the stable version and nobody gets its actions. The test can show that the candidate fails, is slow,
or acts otherwise than the stable version. It cannot see outcomes of the candidate's own actions, so it never promotes. Too many
errors or slow decisions end it at any time. No traffic is never success: such a test is extended, and then ends saying so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from core.errors import InputError
from deployments.engine.health.metrics import LEAST_REQUESTS
from deployments.engine.rollouts.off_policy import OffPolicyValue
from deployments.engine.rollouts.verdict import NOT_ENOUGH, WAITING, CheckFinding, RolloutVerdict, worst_of

SHADOW_WEEKS = 1
SHADOW_FINISHED = "shadow finished"
NOT_DEPLOYABLE = "candidate not deployable"
NOTHING_SEEN = "too little was seen"
SEES_NO_OUTCOMES = "A shadow test cannot see outcomes of the candidate's own actions, because nobody gets them."
LEAST_COMPARED_SHOWN = LEAST_REQUESTS  # decisions; one person alone can make many
_LEAST_FAILURES = 10  # failed or slow decisions, so that a single one ends no test


@dataclass(frozen=True)
class ShadowTerms:
    """Hold what a shadow test was started with. It never changes afterwards.

    ``weeks``: the declared time. ``extensions``: how often it may be extended by as many weeks. ``least_scored``: decisions that
    the candidate must have made. ``most_errors``, ``most_late``: shares of its decisions that may fail, or take longer than the
    time budget of one decision.
    """

    weeks: int = SHADOW_WEEKS
    extensions: int = 1
    least_scored: int = 100
    most_errors: float = 0.01
    most_late: float = 0.05

    def __post_init__(self) -> None:
        """Raise InputError for terms that no test can follow."""
        if self.weeks < 1 or self.extensions < 0 or self.least_scored < 1:
            raise InputError("the test needs at least one week and one decision, and no negative extensions")
        if not (0.0 <= self.most_errors < 1.0 and 0.0 <= self.most_late < 1.0):
            raise InputError("the shares of failed and of slow decisions must be at least 0 and below 1")

    def as_json(self) -> dict[str, Any]:
        """Return the terms as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` returned. Other keys, which a history may hold too, are left out."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})


@dataclass(frozen=True)
class ShadowCounts:
    """Hold sums over decisions beside which the candidate decided.

    ``scored``: it made a choice. ``late``: of these, beyond the time budget. ``errors``: it failed. ``dropped``: it had no time.
    ``compared``: choices that were compared with the stable version's, of which ``agreed`` were the same action. In them the
    candidate would have intervened ``intervened`` times and the stable version ``stable_intervened`` times. ``total_us`` and
    ``slowest_us``: time of the candidate's choices, in microseconds.
    """

    scored: int = 0
    late: int = 0
    errors: int = 0
    dropped: int = 0
    compared: int = 0
    agreed: int = 0
    intervened: int = 0
    stable_intervened: int = 0
    total_us: int = 0
    slowest_us: int = 0

    @property
    def requests(self) -> int:
        """Return the number of decisions that the candidate saw or had no time for."""
        return self.scored + self.errors + self.dropped

    @property
    def mean_us(self) -> float | None:
        """Return the mean time of a choice, in microseconds, or None without any."""
        return self.total_us / self.scored if self.scored else None

    def share(self, count: int) -> float | None:
        """Return a count of compared choices as a share of all of them, or None if there are too few to show it."""
        return count / self.compared if self.compared >= LEAST_COMPARED_SHOWN else None

    @property
    def figures(self) -> dict[str, Any]:
        """Return the sums that may be shown, as JSON values."""
        return {
            "requests": self.requests,
            "scored": self.scored,
            "late": self.late,
            "errors": self.errors,
            "dropped": self.dropped,
            "compared": self.compared,
            "slowest_us": self.slowest_us,
            "mean_us": self.mean_us,
            "agreement": self.share(self.agreed),
            "intervention_rate": self.share(self.intervened),
            "stable_intervention_rate": self.share(self.stable_intervened),
        }


@dataclass(frozen=True)
class ShadowFacts:
    """Hold what is known of a shadow test: its whole days so far, its extensions, its counts, and the candidate's value.

    ``overdue``: whether its deadline has passed.
    """

    days: int
    extended: int
    counts: ShadowCounts = field(default_factory=ShadowCounts)
    value: OffPolicyValue = field(default_factory=lambda: OffPolicyValue(0, "nobody was seen"))
    overdue: bool = False

    @property
    def weeks(self) -> int:
        """Return the number of whole weeks."""
        return self.days // 7

    def as_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {
            "stage": 0,
            "closed_weeks": self.weeks,
            "days": self.days,
            "extended": self.extended,
            "counts": asdict(self.counts),
            "value": self.value.as_json(),
            "overdue": self.overdue,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ShadowFacts:
        """Read what ``as_json`` returned."""
        return cls(
            stored["days"], stored["extended"], ShadowCounts(**stored["counts"]), OffPolicyValue.from_json(stored["value"]),
            stored["overdue"],
        )  # fmt: skip


def shadow_verdict(terms: ShadowTerms, facts: ShadowFacts) -> RolloutVerdict:
    """Decide the next step of a shadow test."""
    findings = [*not_deployable(terms, facts.counts), *_course(terms, facts)]
    figures = facts.counts.figures | {
        "days": facts.days,
        "weeks": terms.weeks,
        "extended": facts.extended,
        "overdue": facts.overdue,
        "value": facts.value.as_json(),
    }
    return worst_of(findings, figures)


def not_deployable(terms: ShadowTerms, counts: ShadowCounts) -> list[CheckFinding]:
    """Return what shows that the candidate cannot serve: it fails too often, or takes too long."""
    checks = (
        (counts.errors, counts.scored + counts.errors, terms.most_errors, "failed"),
        (counts.late, counts.scored, terms.most_late, "took longer than their time budget"),
    )
    return [
        CheckFinding(
            "end", f"{count:,} of {of:,} decisions of the candidate {what}; at most {most:.0%} may.", NOT_DEPLOYABLE
        )
        for count, of, most, what in checks
        if count >= _LEAST_FAILURES and count > most * of
    ]


def _course(terms: ShadowTerms, facts: ShadowFacts) -> list[CheckFinding]:
    """Return what follows if the candidate can serve."""
    due, counts = terms.weeks * (1 + max(facts.extended, 0)), facts.counts
    if facts.weeks < due and not facts.overdue:
        return [CheckFinding("wait", f"{facts.days} of {7 * due} days have passed.", WAITING)]
    if counts.scored >= terms.least_scored:
        return [CheckFinding("end", text, SHADOW_FINISHED) for text in _seen(facts)]
    few = f"The candidate made {counts.scored:,} decisions; at least {terms.least_scored:,} are needed."
    if facts.extended < terms.extensions and not facts.overdue:
        return [CheckFinding("extend", few, NOT_ENOUGH)]
    return [CheckFinding("end", text, NOTHING_SEEN) for text in (few, "So nothing is known of the candidate.")]


def _seen(facts: ShadowFacts) -> list[str]:
    counts, agreement = facts.counts, facts.counts.share(facts.counts.agreed)
    said = f"The candidate made {counts.scored:,} decisions beside the stable version, and {counts.dropped:,} were dropped."
    agreed = "Too few choices were compared." if agreement is None else f"{agreement:.1%} of its choices were the same."
    return [said, agreed, facts.value.sentence, SEES_NO_OUTCOMES]
