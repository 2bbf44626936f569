"""Measure how much of the attainable gain is learned under user-level differential privacy, and how often it deploys harm.

For each number of people, epsilon, variant of the simulator and seed, the benchmark runs the whole engine path of a turn: release
in three noised rounds, synthesis, training, model gate, charged evaluation and outcome gate. It works on arrays, without a
database. It then computes the true value of the resulting policy. Gain is the value minus the better of random and reference.
Share is the gain over the best known policy's gain. "Before the gate" is the policy that training proposes. "After" is the policy
that would be deployed (the reference unless both gates pass). For comparison, the naive design adds Laplace noise to every field
of every record, with epsilon per record, followed by fitted Q-iteration.
"""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cohorts import builtin_spec, evaluation_rows
from benchmarks.common import Check, arguments, finish
from benchmarks.naive import naive_policy
from loops.engine.policies.linear import reference_policy
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.release import release_evaluation
from privacy.engine.moments.baseline import baseline_posterior
from privacy.engine.moments.clipping import nominal_decisions
from privacy.engine.moments.effects import effects_posterior
from privacy.engine.moments.rounds import (
    count_totals,
    fit_in_memory,
    plan_release,
    read_counts,
    read_moments,
    release_counts,
)
from privacy.engine.moments.rows import ReleaseRows
from privacy.engine.turn_shares import judging_share, training_share
from r3al_project.turns.limits import UNREQUESTED_STATES
from simulator import best_known_policy, make_people, simulate, true_value
from simulator.people import Variant
from simulator.values import uniform_policy
from tests.factories.in_memory_release import later_rounds
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.optimism import optimism_allowance
from training.engine.gates.outcome_gate import outcome_gate
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.pipeline import LearnedPolicy, train_policy_head

DELTA = 1e-5
DAYS = 15
PEOPLE = (500, 1_000, 2_000, 5_000)
EPSILONS: tuple[float | None, ...] = (0.3, 1.0, 3.0, None)
VARIANTS: tuple[Variant, ...] = ("companion", "never")
TRUTH_SEED = 2_024


@dataclass(frozen=True)
class Truth:
    """Hold the values that gains are measured against, on the same people and shocks as every candidate's value."""

    floor: float
    reference: float
    best: float

    def gain(self, value: float) -> float:
        """Return the gain of a value over the better of random and reference."""
        return value - self.floor

    def share(self, value: float) -> float:
        """Return the gain of a value as a share of the best known policy's gain."""
        return self.gain(value) / (self.best - self.floor) if self.best - self.floor > 1e-9 else float("nan")


def truth_of(spec: LoopSpec, variant: Variant) -> Truth:
    """Compute the true values of the random, reference and best known policies."""
    reference = _value(spec, reference_policy(spec, "policy"), variant)
    floor = max(reference, _value(spec, uniform_policy(spec), variant))
    return Truth(floor, reference, _value(spec, best_known_policy(spec, variant=variant), variant))


def _value(spec: LoopSpec, policy: Any, variant: Variant) -> float:
    return true_value(spec, policy, seed=TRUTH_SEED, variant=variant).value


def turn(
    spec: LoopSpec, people: int, epsilon: float | None, variant: Variant, seed: int
) -> tuple[LearnedPolicy, str, str, float]:
    """Run one turn on a fresh cohort. Return the learned policy, the gate's verdict and reason, and the seconds."""
    rng = np.random.default_rng([seed, people, VARIANTS.index(variant)])
    cohort = simulate(spec, make_people(people, rng, variant=variant), DAYS, rng)
    began = time.perf_counter()
    whole = None if epsilon is None else 1 / gaussian_mu(epsilon, DELTA)
    sigma, judging = (
        None if whole is None else whole / share(spec) ** 0.5 for share in (training_share, judging_share)
    )
    judged = evaluation_rows(spec, cohort, 0, people)
    learned = learned_from(spec, judged.rows, sigma, seed)
    if not learned.passed:
        return learned, "insufficient", "model gate", time.perf_counter() - began
    candidate = learned.candidate()
    clips = evaluation_clips(spec, candidate, nominal_decisions(spec, learned.decisions))
    sums = release_evaluation(spec, judged, candidate, clips, judging)
    allowance = optimism_allowance(spec, people=people, decisions=learned.decisions, sigma=sigma)
    result = outcome_gate(GateTerms(spec, learned.rival_value, allowance=allowance), sums)
    undecided = ", ".join(j.name for j in result.judgements if j.verdict == result.verdict)
    return learned, result.verdict, undecided, time.perf_counter() - began


def learned_from(spec: LoopSpec, rows: ReleaseRows, sigma: float | None, seed: int) -> LearnedPolicy:
    """Run a first turn up to the model gate: release, synthesis, training."""
    counts = read_counts(spec, release_counts(spec, count_totals(spec, rows), sigma))
    plan = plan_release(spec, counts, sigma)
    moments = fit_in_memory(read_moments(plan, *later_rounds(plan, rows)), plan.facts)
    baseline = baseline_posterior(moments)
    world = mean_world(moments, baseline, effects_posterior(moments))
    pool = synthesize(world, np.random.default_rng(seed), states=UNREQUESTED_STATES).rows()
    return train_policy_head(spec, moments, baseline, pool, seed=seed)


def run(
    spec: LoopSpec, truth: Truth, people: int, epsilon: float | None, variant: Variant, seed: int
) -> dict[str, Any]:
    """Run one turn and return its result row."""
    learned, verdict, reason, seconds = turn(spec, people, epsilon, variant, seed)
    value = _value(spec, learned.policy, variant)
    deployed = verdict == "pass"
    return {
        "variant": variant, "people": people, "epsilon": epsilon, "seed": seed, "value": value,
        "gain": truth.gain(value), "share": truth.share(value), "z": learned.gate.z, "hinges": learned.hinges,
        "verdict": verdict, "reason": reason, "deployed": deployed,
        "gated_gain": truth.gain(value) if deployed else 0.0, "false_deploy": deployed and value < truth.reference,
        "seconds": seconds,
    }  # fmt: skip


def naive_row(spec: LoopSpec, truth: Truth, people: int, epsilon: float, seed: int) -> dict[str, Any]:
    """Run the naive design (the blueprint's loop taken literally) for comparison, and return its result row."""
    rng = np.random.default_rng([seed, people, 7])
    cohort = simulate(spec, make_people(people, rng), DAYS, rng)
    policy = naive_policy(spec, evaluation_rows(spec, cohort, 0, people).rows, epsilon, rng)
    return {
        "people": people,
        "epsilon_a_record": epsilon,
        "seed": seed,
        "share": truth.share(_value(spec, policy, "companion")),
    }


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks over all rows."""

    def gain(people: int, epsilon: float | None, field: str = "gain") -> float:
        cell = [r[field] for r in rows if (r["variant"], r["people"], r["epsilon"]) == ("companion", people, epsilon)]
        return float(np.mean(cell)) if cell else float("nan")

    deployed = [r["deployed"] for r in rows if (r["variant"], r["people"], r["epsilon"]) == ("companion", 5_000, 1.0)]
    return [
        Check("share_2000_eps1", gain(2_000, 1.0) / gain(2_000, None), 0.85),
        Check("share_5000_eps1", gain(5_000, 1.0) / gain(5_000, None), 0.92),
        Check("gated_share_5000_eps1", gain(5_000, 1.0, "gated_gain") / gain(5_000, None), 0.80),
        Check("deploy_rate_5000_eps1", float(np.mean(deployed)), 0.8),
        Check("false_deploy", float(np.mean([r["false_deploy"] for r in rows])), 0.02, at_most=True),
    ]


def print_table(rows: list[dict[str, Any]], naive: list[dict[str, Any]]) -> None:
    """Print the means of each cell."""
    print(
        f"{'variant':>10} {'people':>7} {'epsilon':>8} {'share':>7} {'gated':>7} {'deployed':>9} {'worse':>6} {'s':>5}  undecided"
    )
    for variant in VARIANTS:
        for people in PEOPLE:
            for epsilon in EPSILONS:
                cell = [r for r in rows if (r["variant"], r["people"], r["epsilon"]) == (variant, people, epsilon)]
                if cell:
                    _print_cell(variant, people, epsilon, cell)
    for people in sorted({r["people"] for r in naive}):
        shares = [r["share"] for r in naive if r["people"] == people]
        print(f"{'naive':>10} {people:>7} {'1/record':>8} {np.mean(shares):7.2f}")


def _print_cell(variant: str, people: int, epsilon: float | None, cell: list[dict[str, Any]]) -> None:
    mean = {k: np.mean([r[k] for r in cell]) for k in ("share", "deployed", "false_deploy", "seconds")}
    gated = np.mean([r["share"] if r["deployed"] else 0.0 for r in cell])
    why = sorted({r["reason"] for r in cell if not r["deployed"]})
    print(
        f"{variant:>10} {people:>7} {epsilon or 'none':>8} {mean['share']:7.2f} {gated:7.2f} {mean['deployed']:9.2f} "
        f"{mean['false_deploy']:6.2f} {mean['seconds']:5.1f}   {'; '.join(why)}"
    )


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    spec = builtin_spec()
    truths = {v: truth_of(spec, v) for v in VARIANTS}
    people = (2_000, 5_000) if options.quick else PEOPLE
    epsilons = (1.0, None) if options.quick else EPSILONS
    seeds = range(2 if options.quick else options.seeds)
    rows = [run(spec, truths[v], n, e, v, s) for v in VARIANTS for n in people for e in epsilons for s in seeds]
    extra = 0 if options.quick else max(0, 200 - len(rows))
    rows += [run(spec, truths["never"], 1_000, 1.0, "never", 1_000 + s) for s in range(extra)]
    naive = [naive_row(spec, truths["companion"], n, 1.0, s) for n in people for s in seeds]
    print_table(rows, naive)
    print(f"{len(rows)} independent runs")
    finish("privacy_utility", options, [*rows, *naive], checks(rows))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=5).parse_args())
