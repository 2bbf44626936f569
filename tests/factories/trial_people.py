"""People of a trial in memory: two arms that differ in reward, harmful labels, empathy, and a few who are hurt badly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Bools, Floats
from privacy.engine.dp.accounting import calibrate
from privacy.engine.evaluation.on_policy import TrialRows, guardrail_clips, release_trial
from tests.factories.builtin_loops import builtin
from training.engine.gates.judgements import GateResult
from training.engine.gates.trial import trial_verdict

SPEC = builtin("r3al")
RATE = 0.5  # of decisions at which the candidate intervenes
DECISIONS = 40  # of a person
_LATE_DAYS = 8  # of the last quarter
CLIPS = guardrail_clips(SPEC, intervention_rate=RATE, exploration=0.1, decisions=DECISIONS)
SIGMA = calibrate(epsilon=1.0, delta=1e-5, maximum=10).sigma  # all of a turn's rho


@dataclass(frozen=True)
class TrialPeople:
    """How people live. Rewards are in reward scales; ``heavy``: degrees of freedom of Student's t instead of the normal.

    ``hurt``: the share of the candidate's people who lose ``hurt_by``. ``share``: of the people who have the candidate.
    """

    gain: float = 0.0
    sd: float = 0.25
    harmful: float = 0.03
    deficit: float = 0.10
    hurt: float = 0.0
    hurt_by: float = 10.0
    heavy: float | None = None
    share: float = 0.5
    decisions: int = DECISIONS
    past: int = 40  # decisions of a person before the trial, at the person's own level
    leave: tuple[float, float] = (0.05, 0.05)  # shares of people who leave: the reference's, the candidate's
    miss: tuple[float, float] = (0.0, 0.0)  # shares of the late days that those who stay miss
    missing: tuple[float, float] = (0.0, 0.0)  # shares of each person's rewards that are missing

    def rows(self, rng: np.random.Generator, users: int) -> TrialRows:
        candidate = rng.random(users) < self.share
        missing = np.where(candidate, self.missing[1], self.missing[0])
        person = np.repeat(np.arange(users), np.maximum(1, rng.poisson(self.decisions, users)))
        level = self._tail(rng, users)
        before = (level + rng.normal(size=users) / math.sqrt(max(self.past, 1))) * (self.past > 0)
        mean = level + self.gain * candidate - self.hurt_by * (rng.random(users) < self.hurt) * candidate
        speaks = rng.random(len(person)) < np.where(candidate, 0.9 * RATE + 0.1 * 0.4, 0.1 * 0.4)[person]
        blames = rng.beta(8 * self.harmful, 8 * (1 - self.harmful), users)[person]
        empathy = 1 - rng.beta(5 * self.deficit, 5 * (1 - self.deficit), len(person))
        reward = (mean[person] + rng.normal(size=len(person))) * SPEC.reward.scale
        reward[rng.random(len(person)) < missing[person]] = np.nan
        return TrialRows(
            person,
            candidate,
            self._missed(rng, candidate),
            missing,
            before * SPEC.reward.scale,
            np.full(users, self.past),
            reward,
            speaks,
            empathy,
            (rng.random(len(person)) < blames).astype(np.int64),
        )

    def _missed(self, rng: np.random.Generator, candidate: Bools) -> Floats:
        """The share of the late days that each person misses: all after leaving, else some."""
        left = rng.random(len(candidate)) < np.where(candidate, self.leave[1], self.leave[0])
        days = np.where(candidate, self.miss[1], self.miss[0])
        return np.where(left, 1.0, rng.binomial(_LATE_DAYS, days) / _LATE_DAYS)

    def _tail(self, rng: np.random.Generator, users: int) -> Floats:
        return self.sd * (rng.normal(size=users) if self.heavy is None else rng.standard_t(self.heavy, users))


def verdict_of(rows: TrialRows, *, look: int = 1, sigma: float | None = SIGMA, centre: float = 0.0) -> GateResult:
    """The verdict of one look at these people, around the usual reward ``centre`` (scales), which rows are relative to."""
    above = replace(
        rows, reward=rows.reward + centre * SPEC.reward.scale, before=rows.before + centre * SPEC.reward.scale
    )
    sums = release_trial(SPEC, above, centre=centre, decisions=DECISIONS, clips=CLIPS, sigma=sigma)
    return trial_verdict(SPEC, sums, look)


def verdicts(people: TrialPeople, *, users: int, lives: int, look: int = 1, seed: int = 1) -> list[GateResult]:
    """The first verdicts of this many lives."""
    return [verdict_of(people.rows(np.random.default_rng([seed, i]), users), look=look) for i in range(lives)]


def passes(people: TrialPeople, **size: int) -> int:
    """In how many lives the candidate passes."""
    return sum(v.verdict == "pass" for v in verdicts(people, **size))
