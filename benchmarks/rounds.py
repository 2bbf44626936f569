"""Measure a loop over several monthly rounds of one population, which the policies of earlier rounds serve meanwhile.

``python -m benchmarks.rounds --json``: 1,000 and 5,000 simulated people, 6 months of 30 days, epsilon 1 per round (delta 1e-5).
The composed guarantee is printed. Until the first deployment every decision is drawn from the logging distribution, afterwards
one in ten. Rounds are pooled by precision. Values are true values in the simulator.

In the part "rounds", which the checks use, the model gate alone decides on deployment (against the reference and the incumbent).
The outcome gate's verdict on people held out of training is reported beside it. In the part "both gates" the outcome gate must
pass as well, as on the platform. Each further attempt on the same people uses a stricter level. The part "joint" compares, at
5,000 people, a release for four heads with a release for policy alone. ``subheads_gain``, like the shares there, is measured
before the gates. The rows and the last two checks show what the gates let through.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.cohorts import builtin_spec
from benchmarks.common import Check, arguments, finish
from benchmarks.living import Month, Population
from benchmarks.privacy_utility import TRUTH_SEED, Truth, truth_of
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import epsilon_of_gdp, gaussian_mu
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.release import release_evaluation
from privacy.engine.moments.baseline import baseline_posterior
from privacy.engine.moments.clipping import nominal_decisions
from privacy.engine.moments.effects import effects_posterior, known_effects
from privacy.engine.moments.null_population import LoggingPolicy
from privacy.engine.moments.pooled import Moments, pool
from privacy.engine.moments.rounds import (
    count_totals,
    fit_in_memory,
    plan_release,
    read_counts,
    read_moments,
    release_counts,
)
from privacy.engine.moments.rows import ReleaseRows
from r3al_project.turns.limits import UNREQUESTED_STATES
from simulator import make_people, true_value
from tests.factories.in_memory_release import later_rounds
from training.engine.gates.outcome_gate import GateTerms, outcome_gate
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.pipeline import LearnedPolicy, train_policy_head

DELTA = 1e-5
MONTHS, DAYS = 6, 30
PEOPLE = (1_000, 5_000)


@dataclass
class Loop:
    """Hold the state of a loop: its pooled rounds, and the deployed policy of each head (absent for the reference)."""

    spec: LoopSpec
    sigma: float
    subs: tuple[str, ...] | None = None
    pooled: Moments | None = None
    known: Any = None
    serving: dict[str, LinearPolicy] = field(default_factory=dict)

    @property
    def exploration(self) -> float:
        """Return the share of decisions drawn from the logging distribution, which drops after the first deployment."""
        return self.spec.exploration if self.serving else self.spec.exploration_before

    def learn(self, rows: ReleaseRows, seed: int) -> LearnedPolicy:
        """Run one round: release, pool, train, and apply the model gate."""
        earlier = self.pooled
        counts = read_counts(
            self.spec, release_counts(self.spec, count_totals(self.spec, rows), self.sigma, self.subs), earlier
        )
        plan = plan_release(
            self.spec, counts, self.sigma,
            explored_share=self.exploration, subs=self.subs, earlier=earlier, known=self.known,
        )  # fmt: skip
        fresh = read_moments(plan, *later_rounds(plan, rows, earlier), earlier)
        self.pooled = fresh if earlier is None else pool([earlier, fresh])
        moments = fit_in_memory(self.pooled, plan.facts)
        posterior, effects = baseline_posterior(moments), effects_posterior(moments)
        self.known = known_effects(moments, effects)
        world, rng = mean_world(moments, posterior, effects), np.random.default_rng(seed)
        synthetic = synthesize(world, rng, states=UNREQUESTED_STATES).rows()
        return train_policy_head(self.spec, moments, posterior, synthetic, seed=seed, incumbents=self.serving)

    def evaluate(self, learned: LearnedPolicy, month: Month, held_out: int, attempt: int) -> str:
        """Return the outcome gate's verdict on people 0..held_out-1, at the level of the ``attempt``-th attempt."""
        candidate = learned.candidate()
        logged = LoggingPolicy(self.exploration, self.serving.get("policy"))
        decisions = nominal_decisions(self.spec, learned.decisions)
        clips = evaluation_clips(self.spec, candidate, decisions, logged)
        sums = release_evaluation(self.spec, month.evaluation(self.spec, 0, held_out), candidate, clips, self.sigma)
        return outcome_gate(
            GateTerms(self.spec, learned.rival_value, attempt, bool(self.serving.get("policy"))), sums
        ).verdict


def rounds(
    spec: LoopSpec, truth: Truth, people: int, seed: int, months: int, *, both: bool = False
) -> list[dict[str, Any]]:
    """Simulate one loop over several months, with one result row per month.

    Args: both: whether the outcome gate must also pass before a deployment.
    """
    rng = np.random.default_rng([seed, people])
    population = Population(spec, make_people(people, rng), rng)
    loop, held_out = Loop(spec, 1 / gaussian_mu(1.0, DELTA)), round(people * spec.evaluation_share)
    out, attempts = [], 0
    for month in range(1, months + 1):
        log = population.live(DAYS, loop.serving, loop.exploration)
        exploration, lived_reward = loop.exploration, float(log.cohort.reward.mean())
        learned = loop.learn(log.training(spec, held_out, people), seed * 100 + month)
        attempts += learned.passed
        verdict = loop.evaluate(learned, log, held_out, attempts if both else 1) if learned.passed else "insufficient"
        deployed = learned.passed and (verdict == "pass" or not both)
        if deployed:
            loop.serving["policy"] = learned.policy
        if not both:  # the sub-heads' outcome gates are not applied here
            loop.serving |= {h: s.policy for h, s in learned.subs.items() if s.passed and "policy" in loop.serving}
        out.append(
            {
                "part": "both gates" if both else "rounds",
                "people": people, "seed": seed, "month": month, "exploration": exploration,
                "candidate_share": truth.share(value_of(spec, {"policy": learned.policy})),
                "share": truth.share(value_of(spec, loop.serving)),
                "with_heads": value_of(spec, loop.serving, heads=True),
                "reference_heads": value_of(spec, loop.serving), "serving": sorted(loop.serving),
                "z": learned.gate.z, "z_incumbent": learned.gate_incumbent and learned.gate_incumbent.z,
                "z_heads": {h: s.z for h, s in learned.subs.items()}, "deployed": deployed,
                "outcome_gate": verdict, "hinges": learned.hinges, "lived_reward": lived_reward,
            }
        )  # fmt: skip
    return out


def value_of(spec: LoopSpec, serving: Mapping[str, LinearPolicy], *, heads: bool = False) -> float:
    """Return the true value of the deployed policies. Without ``heads``, the sub-heads take their reference actions."""
    from loops.engine.policies.linear import reference_policy

    subs = {h: p for h, p in serving.items() if h != "policy"} if heads else {}
    policy = serving.get("policy") or reference_policy(spec, "policy")
    return true_value(spec, policy, seed=TRUTH_SEED, sub_policies=subs).value


def joint(spec: LoopSpec, truth: Truth, people: int, seed: int) -> dict[str, Any]:
    """Release the same rows for four heads and for policy alone, and compare the results before any gate."""
    rng = np.random.default_rng([seed, people, 3])
    log = Population(spec, make_people(people, rng), rng).live(DAYS, {}, 1.0)
    rows = log.training(spec, round(people * spec.evaluation_share), people)
    sigma = 1 / gaussian_mu(1.0, DELTA)
    four, single = Loop(spec, sigma).learn(rows, seed), Loop(spec, sigma, ()).learn(rows, seed)
    candidates = {h: s.policy for h, s in four.subs.items()}
    alone = value_of(spec, {"policy": four.policy})
    return {
        "part": "joint", "people": people, "seed": seed,
        "joint_share": truth.share(alone), "single_share": truth.share(value_of(spec, {"policy": single.policy})),
        "subheads_gain": value_of(spec, {"policy": four.policy, **candidates}, heads=True) - alone,
        "heads": {
            h: {"z": s.z, "passed": s.passed, "gain": value_of(spec, {"policy": four.policy, h: s.policy}, heads=True) - alone}
            for h, s in four.subs.items()
        },
    }  # fmt: skip


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks over all rows."""
    lives = [r for r in rows if r["part"] == "rounds"]
    one = {(r["people"], r["seed"], r["month"]): r["share"] for r in lives}
    drops = [one[p, s, m] - one[p, s, m - 1] for p, s, m in one if (p, s, m - 1) in one]
    second = [one[p, s, 2] - one[p, s, 1] for p, s, m in one if m == 2]
    third = [share for (p, _, m), share in one.items() if p == 1_000 and m == 3]
    pairs = [r for r in rows if r["part"] == "joint"]
    worst = [h["gain"] for r in pairs for h in r["heads"].values() if h["passed"]]
    worst += [r["with_heads"] - r["reference_heads"] for r in lives]
    below = min([r["share"] for r in lives], default=float("nan"))
    return [
        Check("worst_drop", min(drops, default=float("nan")), -0.05),
        Check("round2_minus_round1", float(np.mean(second)), -0.02),
        Check("month3_share_1000", float(np.mean(third)), 0.80),
        Check("joint_policy_share", _ratio([r["joint_share"] for r in pairs], [r["single_share"] for r in pairs]), 0.9),
        Check("subheads_gain", float(np.mean([r["subheads_gain"] for r in pairs])), 0.0),
        Check("worst_deployed_head_gain", min(worst, default=0.0), 0.0),
        Check("worst_deployed_policy_share", below, 0.0),
    ]


def _ratio(above: list[float], below: list[float]) -> float:
    return float(np.mean(above) / np.mean(below))


def print_table(rows: list[dict[str, Any]], months: int) -> None:
    """Print the shares by month, and the joint release."""
    mu = gaussian_mu(1.0, DELTA) * np.sqrt(months)
    print(
        f"{months} rounds at epsilon 1, delta {DELTA:g} compose to epsilon {epsilon_of_gdp(mu, DELTA):.2f} (Gaussian DP)"
    )
    print(
        f"{'people':>7} {'seed':>4} {'month':>5} {'explored':>8} {'cand.':>6} {'share':>6} {'z':>6} {'z inc.':>6}  gate, serving"
    )
    for r in (r for r in rows if r["part"] != "joint"):
        against = "" if r["z_incumbent"] is None else f"{r['z_incumbent']:.2f}"
        numbers = f"{r['exploration']:8.1f} {r['candidate_share']:8.2f} {r['share']:8.2f} {r['z']:8.2f} {against:>8}"
        verdict = f"{r['part']}: {r['outcome_gate']}, {' '.join(r['serving'])}"
        print(f"{r['people']:>8} {r['seed']:>8} {r['month']:>8} {numbers}  {verdict}")
    both = [r for r in rows if r["part"] == "both gates"]
    for n, month in sorted({(r["people"], r["month"]) for r in both}):
        served = [r["share"] for r in both if (r["people"], r["month"]) == (n, month)]
        some = f"{sum(s > 0 for s in served)} of {len(served)} deploy a learned policy"
        print(f"both gates, {n} people, month {month}: share {np.mean(served):.2f}; {some}")
    for r in (r for r in rows if r["part"] == "joint"):
        print(
            f"joint {r['joint_share']:.3f}, single {r['single_share']:.3f}, sub-heads {r['subheads_gain']:+.4f} {r['heads']}"
        )


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    spec = builtin_spec()
    truth = truth_of(spec, "companion")
    seeds = range(2 if options.quick else options.seeds)
    people, months = ((1_000,), 3) if options.quick else (PEOPLE, MONTHS)
    rows = [row for n in people for s in seeds for row in rounds(spec, truth, n, s, months)]
    rows += [row for n in people for s in seeds for row in rounds(spec, truth, n, s, months, both=True)]
    rows += [joint(spec, truth, 5_000, s) for s in seeds]
    print_table(rows, months)
    finish("rounds", options, rows, checks(rows))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=5).parse_args())
