"""Decide the next step of an apprenticeship, as a pure function of frozen terms and stored facts.

The app chooses as it always did, and its own choices are served. The version decides beside it, and nobody gets its actions. The
apprenticeship tells how often the version would have chosen as the app did, and what would have been gained where the app itself
varies. What the app never tried stays unknown, so nothing is promoted. Too many errors or slow decisions end it at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from deployments.engine.health.metrics import LEAST_SHOWN
from deployments.engine.rollouts.imitation import NOBODY_SEEN, Estimate, Imitation, ImitationGain, ImitationShare
from deployments.engine.rollouts.shadow import ShadowCounts, ShadowTerms, not_deployable
from deployments.engine.rollouts.verdict import NOT_ENOUGH, WAITING, CheckFinding, RolloutVerdict, worst_of

APPRENTICE_WEEKS = 4
APPRENTICE_FINISHED = "apprenticeship finished"
NO_OWN_CHOICES = "too few choices of the app"
PROMOTES_NOTHING = (
    "An apprenticeship promotes nothing. A canary or an A/B test of the version shows what its own actions bring."
)


@dataclass(frozen=True)
class ApprenticeTerms(ShadowTerms):
    """Hold what an apprenticeship was started with. ``least_scored``: choices that the app must have made itself."""

    weeks: int = APPRENTICE_WEEKS


@dataclass(frozen=True)
class ApprenticeFacts:
    """Hold what is known of an apprenticeship: its whole days so far, its extensions, and the counts of the version's choices.

    ``own``: decisions in which the app chose. ``without``: those without a choice of the app, which the stable version made.
    ``overdue``: whether its deadline has passed.
    """

    days: int
    extended: int
    counts: ShadowCounts = field(default_factory=ShadowCounts)
    own: int = 0
    without: int = 0
    imitation: Imitation = NOBODY_SEEN
    gain: ImitationGain = field(default_factory=lambda: ImitationGain(0, "nobody was seen"))
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
            "own": self.own,
            "without": self.without,
            "imitation": self.imitation.as_json(),
            "gain": self.gain.as_json(),
            "overdue": self.overdue,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ApprenticeFacts:
        """Read what ``as_json`` returned."""
        return cls(
            stored["days"], stored["extended"], ShadowCounts(**stored["counts"]), stored["own"], stored["without"],
            Imitation.from_json(stored["imitation"]), ImitationGain.from_json(stored["gain"]), stored["overdue"],
        )  # fmt: skip


def apprentice_verdict(terms: ApprenticeTerms, facts: ApprenticeFacts) -> RolloutVerdict:
    """Decide the next step of an apprenticeship."""
    findings = [*not_deployable(terms, facts.counts), *_course(terms, facts)]
    figures = facts.counts.figures | facts.as_json() | {"weeks": terms.weeks}
    return worst_of(findings, {name: value for name, value in figures.items() if name not in ("counts", "stage")})


def _course(terms: ApprenticeTerms, facts: ApprenticeFacts) -> list[CheckFinding]:
    """Return what follows if the version can serve."""
    due = terms.weeks * (1 + max(facts.extended, 0))
    if facts.weeks < due and not facts.overdue:
        return [CheckFinding("wait", f"{facts.days} of {7 * due} days have passed.", WAITING)]
    if facts.own >= terms.least_scored and facts.imitation.overall.people >= LEAST_SHOWN:
        return [CheckFinding("end", text, APPRENTICE_FINISHED) for text in (*known_of(facts), PROMOTES_NOTHING)]
    few = (
        f"The app sent its own choice in {facts.own:,} decisions; at least {terms.least_scored:,}, of {LEAST_SHOWN} people, "
        "are needed."
    )
    if facts.own >= terms.least_scored and facts.gain.unknown:
        few = f"Nothing is known of the version's choices: {facts.gain.unknown}."
    if facts.extended < terms.extensions and not facts.overdue:
        return [CheckFinding("extend", few, NOT_ENOUGH)]
    return [CheckFinding("end", text, NO_OWN_CHOICES) for text in (few, f"{sent_of(facts)} Nothing else is known.")]


def known_of(facts: ApprenticeFacts) -> list[str]:
    """State all that is known, in sentences."""
    return [sent_of(facts), imitated_of(facts.imitation), *gain_sentences(facts.gain)]


def sent_of(facts: ApprenticeFacts) -> str:
    """State in how many decisions the app sent its own choice, and what happened in the others."""
    sent = f"The app sent its own choice in {facts.own:,} of {facts.own + facts.without:,} decisions."
    return f"{sent} The stable version made the other {facts.without:,}." if facts.without else sent


def imitated_of(imitation: Imitation) -> str:
    """State how many of the app's choices the version would have made."""
    overall = imitation.overall
    if overall.rate is None:
        return f"How often the version would choose alike is not known yet: {_few(overall)}."
    shares = (f"{name} {_share_text(share)}" for name, share in imitation.by_action.items() if share.people)
    said = f"The version would have made {_percent(overall.rate)} of the app's choices, by {overall.people:,} people"
    return f"{said} ({_listed(shares)})."


def gain_sentences(gain: ImitationGain) -> list[str]:
    """State what would have been gained, where that is known, and which part is not known."""
    if gain.unknown or gain.own is None:
        return [f"What would have been gained is not known: {gain.unknown}."]
    alike = "" if gain.agreed_reward is None else f", and earned {_number(gain.agreed_reward)} a decision there"
    said = [
        f"Both choose alike in {gain.agreed:.0%} of the app's rewarded decisions{alike}. Nothing is gained in these."
    ]
    if gain.varied_gain is not None:
        said.append(
            f"In {gain.varied:.0%} they differ where the app seems to vary by itself. If it chose by chance there, the version's "
            f"action earned {_number(gain.varied_gain, '+')} more a decision. A rule of many conditions can look like chance."
        )
    if gain.untried:
        said.append(
            f"In {gain.untried:.0%} the app never tried the version's action in alike contexts, so nothing is known of it."
        )
    over = f"Over all decisions the gain lies between {gain.low:+.3f} and {gain.high:+.3f} a decision, however the app chose."
    limits = f"These limits take any reward from {-gain.largest:g} to {gain.largest:g} wherever both differ."
    return [*said, over if gain.agreed == 1.0 else f"{over} {limits}"]


def _share_text(share: ImitationShare) -> str:
    return "not known" if share.rate is None else f"{share.rate.value:.0%}"


def _few(share: ImitationShare) -> str:
    return f"fewer than {LEAST_SHOWN} people" if share.people < LEAST_SHOWN else "too few people carry the estimate"


def _percent(found: Estimate) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _number(found: Estimate, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
