"""Live one loop whose undecided and first policies are rolled out in stages (a canary), instead of tried in the private trial.

A canary begins with the month after a turn, and its stages, conditions and guardrails are the product's own. While it goes on no
turn runs, as in the product, and what people lived meanwhile waits for the next one. Without proof it goes back. People come in
the places of those who left at each week's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.lives import DAYS, Life, Outcome, past_of, together
from benchmarks.worlds.month import Month
from benchmarks.worlds.population import Arms
from core.arrays import Bools, Floats, Ints
from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.triggers import triggers_of
from deployments.engine.rollouts.arm_values import arm_values, people_of_one_arm
from deployments.engine.rollouts.lived_conditions import CandidateFigures, LivedFinding, lived_findings
from deployments.engine.rollouts.staged import LIVED_WEEKS, CanaryTerms, StageFacts, canary_verdict, lived_is_due
from deployments.engine.rollouts.verdict import Step
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.evaluation.arm_differences import LATE_SHARE
from privacy.engine.evaluation.on_policy import TrialRows
from training.engine.gates.trial import trial_first
from training.engine.pipeline import LearnedPolicy

_WEEK = 7  # days
Past = dict[int, tuple[float, int]]  # by person: mean reward and number of the decisions before a rollout


@dataclass(frozen=True)
class Piece:
    """Hold some days: their log, who (U,) was in each place, and whether each place (U,) had the candidate."""

    log: Month
    person: Ints
    ours: Bools


@dataclass
class Canary:
    """Hold a rollout in progress, with each person's place in the ramp (U,).

    ``week``, ``stage_pieces``: what was lived in the present week and stage. ``conceded``: what its promotion adds to the
    concessions.
    """

    spec: LoopSpec
    candidate: LinearPolicy
    terms: CanaryTerms
    figures: CandidateFigures
    exploration: float
    place: Floats
    past: Past
    conceded: float
    stage: int = 0
    extended: int = 0
    closed: int = 0
    starts: tuple[int, ...] = (1,)
    rows: list[Floats] = field(default_factory=list)
    week: list[Piece] = field(default_factory=list)
    stage_pieces: list[Piece] = field(default_factory=list)

    @property
    def ours(self) -> Bools:
        """Return which places (U,) have the candidate in this stage."""
        return np.asarray(self.place < self.terms.share(self.stage))

    @property
    def days_left(self) -> int:
        """Return the days until the present week closes."""
        points = sum(piece.log.present.shape[1] for piece in self.week)
        return int(_WEEK - points // self.spec.decisions_per_day)

    def close_week(self) -> Step:
        """Close a week, and return the rollout's next step."""
        number = len(self.rows) + 1
        self.rows.append(np.concatenate([week_rows(piece, number, self.spec) for piece in self.week]))
        self.stage_pieces, self.week, self.closed = self.stage_pieces + self.week, [], self.closed + 1
        step = canary_verdict(self.terms, self._facts(number)).step
        if step == "advance":
            self.stage, self.extended, self.closed, self.stage_pieces = self.stage + 1, 0, 0, []
            self.starts = (*self.starts, number + 1)
        elif step == "extend":
            self.extended += 1
        return step

    def _facts(self, number: int) -> StageFacts:
        table = np.concatenate(self.rows)
        week, person = (table[:, i].astype(np.int64) for i in (0, 1))
        lived = LivedWeeks(week, person, table[:, 2] > 0, table[:, 3:], 1, number, self.starts)
        alone, both = people_of_one_arm(lived, self.starts[-1])
        before = {who: mean for who, (mean, count) in self.past.items() if count}
        silence = self.spec.reward.silence
        ours, theirs = (
            arm_values(alone, ours=arm, first=self.starts[-1], silence=silence, past=before) for arm in (True, False)
        )
        triggers = triggers_of(Evidence(lived, "trial", Latency(), 0.05, None, silence=silence))
        return StageFacts(
            self.stage, self.closed, self.extended, ours, theirs, triggers, both,
            (int(self.ours.sum()), int((~self.ours).sum())), lived=self._lived(number),
        )  # fmt: skip

    def _lived(self, weeks: int) -> tuple[LivedFinding, ...] | None:
        if not lived_is_due(self.terms, self.stage, self.closed, self.extended):
            return None
        rows = stage_rows(self.stage_pieces, self.past, self.spec, late_days=round(LATE_SHARE * _WEEK * weeks))
        return lived_findings(self.spec, rows, self.figures, exploration=self.exploration, look=self.extended + 1)


@dataclass
class StagedLife(Life):
    """Live one loop in a world, where candidates that a trial would try are rolled out in stages."""

    canary: Canary | None = None
    person: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        """Draw the people."""
        super().__post_init__()
        self.person = np.arange(self.people)

    def month(self) -> dict[str, Any]:
        """Live one month, and return what happened."""
        self.months += 1
        exploration, logs, ended = self.exploration, list[Month](), ""
        for days in self._pieces():
            with self._timed("live"):
                piece = self._live(days, exploration)
            logs.append(piece.log)
            with self._timed("judge"):
                ended = self._rolled(piece) or ended
        log = together(logs)
        self.unread = (*self.unread, log)
        row: dict[str, Any] = {"step": "go on", "verdict": "", "open": [], "improvement": None}
        if self.canary is None:
            row = self._turn(log, exploration)
        return row | ({"step": ended} if ended else {}) | self._gains_so_far() | {
            "world": self.world.name, "people": self.people, "seed": self.seed, "month": self.months,
            "exploration": exploration, "lived": log.lived() / self.world.spec.reward.scale,
            "serves": self.serving is not None,
        }  # fmt: skip

    def _pieces(self) -> Iterator[int]:
        """Yield numbers of days that make a month, each of which ends where a week of the rollout does."""
        left = DAYS
        while left:
            days = min(left, _WEEK if self.canary is None else self.canary.days_left)
            yield days
            left -= days

    def _live(self, days: int, exploration: float) -> Piece:
        gone = ~self.population.present
        self.person = np.where(gone, self.person.max() + 1 + np.arange(self.people), self.person)
        if self.canary is None:
            arms: Arms = (self.serving,)
            ours = np.zeros(self.people, bool)
        else:
            self.canary.place = np.where(gone, self.rng.random(self.people), self.canary.place)
            arms, ours = (self.serving, self.canary.candidate), self.canary.ours
        return Piece(self.population.live(days, arms, exploration, ours.astype(np.int64)), self.person, ours)

    def _rolled(self, piece: Piece) -> str:
        """Give days to the rollout in progress, and return how it ended by them, or an empty text."""
        canary = self.canary
        if canary is None:
            return ""
        canary.week.append(piece)
        step = "wait" if canary.days_left else canary.close_week()
        if step in ("wait", "advance", "extend"):
            return ""
        if step == "promote":
            self.serving, self.conceded = canary.candidate, canary.conceded
        self.canary = None
        self._lower_exploration()
        return step

    def _turn(self, log: Month, exploration: float) -> dict[str, Any]:
        """Release, train and judge, and deploy a candidate or begin its rollout."""
        with self._timed("learn"):
            learned = self._learn(exploration)
        with self._timed("judge"):
            outcome = self._judge(learned, log, exploration)
        if outcome.step == "try":
            self.canary = self._begun(learned, outcome, log)
            self.undecided += 1
            self._lower_exploration()
        else:
            self._settle(outcome, learned, log)
        return outcome.as_dict()

    def _begun(self, learned: LearnedPolicy, outcome: Outcome, log: Month) -> Canary:
        spec, (mean, count), result = self.world.spec, past_of(log), outcome.result
        assert result is not None  # nothing is tried without an evaluation
        proven, over = result.verdict == "pass" and learned.passed, self.serving is not None
        unproven = not proven or trial_first(spec, incumbent=over)
        terms = CanaryTerms(
            people=self.people, proven_gate=proven, extensions=spec.rollout.extensions, reward_scale=spec.reward.scale,
            logged_rate=0.0 if over else spec.main_head.logged_rate,
            judges_lived=unproven, last_weeks=LIVED_WEEKS if unproven else 0,
        )  # fmt: skip
        low = min((j.low for j in result.judgements if j.name == "improvement"), default=0.0) / spec.reward.scale
        rate = float(learned.gate.intervention_rate.mean())
        past = zip(mean.tolist(), count.tolist(), strict=True)
        return Canary(
            spec, learned.policy, terms, CandidateFigures(rate, learned.decisions, learned.rival_value), spec.exploration,
            self.rng.random(self.people), dict(zip(self.person.tolist(), past, strict=True)),
            conceded=0.0 if not over or low > 0 else self.conceded - low,
        )  # fmt: skip

    def _lower_exploration(self) -> None:
        """Lower the explored share, because something serves, is rolled out, or nothing was decided for long."""
        over = self.undecided >= self.world.spec.logging_rounds
        if self.serving is not None or self.canary is not None or over:
            self.exploration = min(self.exploration, self.world.spec.exploration)

    def _gains_so_far(self) -> dict[str, float]:
        return {} if self.learned is None else self._gains(self.learned)


@dataclass
class GatedLife(Life):
    """Live one loop in a world where a candidate goes to everybody or to nobody: it serves if its gates pass."""

    def _judge(self, learned: LearnedPolicy, log: Month, exploration: float) -> Outcome:
        outcome = super()._judge(learned, log, exploration)
        if outcome.step != "try":
            return outcome
        passed = outcome.result is not None and outcome.result.verdict == "pass" and learned.passed
        return replace(outcome, step="deploy" if passed else "keep")


def week_rows(piece: Piece, week: int, spec: LoopSpec) -> Floats:
    """Return the rows (n, 10) of a week as a rollout reads them: week, person, arm, and ``LIVED_COLUMNS``."""
    log = piece.log
    decided = log.decided
    shown = decided & (log.action != spec.main_head.reference_index)
    rated, rewarded = shown & np.isfinite(log.empathy), decided & np.isfinite(log.reward)
    sums = [
        shown, shown & (log.harmful >= 0), shown & (log.harmful == 1), rated, np.where(rated, log.empathy, 0.0), rewarded,
        np.where(rewarded, log.reward, 0.0),
    ]  # fmt: skip
    of = np.full(log.people, week)
    table = np.stack([of, piece.person, piece.ours, *(column.sum(axis=1) for column in sums)], axis=1)
    return np.asarray(table.astype(float)[decided.any(axis=1)])


def stage_rows(pieces: list[Piece], past: Past, spec: LoopSpec, *, late_days: int) -> TrialRows:
    """Return what the people of both arms lived in a stage. A new person in somebody's place is another one.

    Args: late_days: at its end, on which people are asked for.
    """
    logs, decided = [piece.log for piece in pieces], [piece.log.decided for piece in pieces]

    def of(name: str) -> np.ndarray:
        return np.concatenate([getattr(log, name)[here] for log, here in zip(logs, decided, strict=True)])

    who = np.concatenate([np.repeat(p.person, here.sum(axis=1)) for p, here in zip(pieces, decided, strict=True)])
    people, index = np.unique(who, return_inverse=True)
    arm = {int(w): bool(o) for piece in pieces for w, o in zip(piece.person, piece.ours, strict=True)}
    made = np.maximum(np.bincount(index, minlength=len(people)), 1)
    before = [past.get(int(person), (0.0, 0)) for person in people]
    return TrialRows(
        person=index,
        candidate=np.array([arm[int(person)] for person in people]),
        missed=1.0 - _days_come(pieces, people, late_days, spec.decisions_per_day) / late_days,
        unreported=np.bincount(index, np.isnan(of("reward")), len(people)) / made,
        before=np.array([mean for mean, _ in before]),
        before_count=np.array([count for _, count in before]),
        reward=of("reward"),
        intervened=of("action") != spec.main_head.reference_index,
        empathy=of("empathy"),
        harmful=of("harmful"),
    )


def _days_come(pieces: list[Piece], people: Ints, late_days: int, a_day: int) -> Floats:
    """Return on how many of the last days each of the people (P,) came."""
    came, left = np.zeros(len(people)), late_days
    for piece in reversed(pieces):
        days = np.asarray(piece.log.present.reshape(piece.log.people, -1, a_day).any(axis=2))
        last = days[:, max(days.shape[1] - left, 0) :]
        left -= last.shape[1]
        known = np.isin(piece.person, people)
        came[np.searchsorted(people, piece.person[known])] += last[known].sum(axis=1)
    return came
