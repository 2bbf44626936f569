"""What the engines and the decision path compute from fixed inputs and seeds stays as it is stored in ``golden.json``.

A change of layout or of names must leave all of it alone. Where a result is meant to change, rewrite the file and read its diff:

    R3AL_GOLDEN=write python -m pytest -q -n 0 tests/test_golden.py            (-k SUBJECT for some of it)

Noise is drawn from the operating system, so everything is computed before it (without noise) and after it (noise of a seeded
generator added to the sums). Subjects whose name begins with ``keyed`` depend on how keyed digests are made, and change with it.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from django.core.management import call_command

from core.arrays import pack_arrays
from core.canonical_json import canonical_json, equal_numbers_json
from core.errors import R3alError
from deployments.engine.action_selection import HeadPolicy, select_actions, uniform
from deployments.engine.arm_assignment import SlotArms, SlotFacts, assignment
from deployments.engine.evidence.e_process import (
    bounds,
    log_evidence_above,
    log_evidence_below,
    mean_radius,
    strongest_above,
    strongest_below,
)
from deployments.engine.evidence.joint_blocks import JointBlocks, NullHypothesis, log_joint_path, log_wager_path
from deployments.engine.evidence.person_weeks import PersonWeeks, hash_of
from deployments.engine.evidence.rotation import log_rotating_path
from deployments.engine.evidence.slow_minutes import MinuteShares, SlowMinutes, log_slower_path
from deployments.engine.evidence.stakes import ANSWERED_BET, EMPATHY_BETS, FALSE_INTERVENTION_BETS, NOT_GOOD_BET
from deployments.engine.health.evidence import Evidence, Latency, LivedWeeks
from deployments.engine.health.report import health_of
from deployments.models import ServingSlot
from deployments.services.serving.batch_scoring import states_decide
from deployments.services.serving.compute_decision import compute_decision
from deployments.services.serving.decide import decide
from deployments.services.serving.policy_cache import ServedLoop, clear_policy_cache, served_loop
from deployments.services.serving.replay import decisions_replay
from deployments.services.serving.request_keys import request_key
from deployments.services.serving.requests import DecisionRequest, read_context
from deployments.services.serving.responses import RenderedAnswer
from loops.engine.features import FeatureMap
from loops.engine.parse.loop import parse_loop
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.reward import reward_components, reward_total
from loops.engine.rows.reader import RowReader
from loops.engine.spec import LoopSpec
from loops.engine.state.dynamics import advance_known
from loops.engine.state.history import StateHistory
from loops.engine.state.scalar import ScalarDynamics
from loops.models import Loop, LoopVersion
from privacy.engine.anonymize.central_dp import central_parameters, central_read, central_totals
from privacy.engine.anonymize.columns import Column, columns_of
from privacy.engine.anonymize.generalization import generalize, parents_of
from privacy.engine.anonymize.k_anonymity import mondrian
from privacy.engine.anonymize.local_dp import exactly
from privacy.engine.anonymize.pseudonyms import pseudonym_text
from privacy.engine.anonymize.registry import check_options, technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import (
    calibrate,
    charge_pure,
    epsilon_of_account,
    epsilon_of_gdp,
    gaussian_delta,
    gaussian_mu,
    guarantee,
    lattice_delta,
    nano_down,
    nano_up,
    rho_cap_nano,
)
from privacy.engine.dp.coarse_counts import two_digits
from privacy.engine.dp.mechanisms import integer_sum, to_grid
from privacy.engine.dp.threshold_tables import category_table, geometric_table, noise_sd, noise_table, number_ratio
from privacy.engine.evaluation.centred_sums import CentredSums, ValueClips, read_centred
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.release import release_evaluation
from privacy.engine.evaluation.statistics import (
    EvaluationCandidate,
    EvaluationRows,
    SubCandidate,
    measured_metrics,
    person_values,
    sub_metric,
)
from privacy.engine.hash_chain import GENESIS, event_hash, merkle_root
from privacy.engine.head_choice import HeadChoice
from privacy.engine.moments.baseline import Baseline, baseline_posterior
from privacy.engine.moments.clipping import pick_hinges, public_facts
from privacy.engine.moments.continuation_value import continuation_slope
from privacy.engine.moments.contributions import baseline_contributions, count_contributions, effect_contributions
from privacy.engine.moments.effect_posterior import TargetEffects
from privacy.engine.moments.effects import (
    Effects,
    draw_baseline,
    effects_posterior,
    known_effects,
    sub_effects_posterior,
)
from privacy.engine.moments.next_state import next_rows
from privacy.engine.moments.null_population import LoggingPolicy, null_rows
from privacy.engine.moments.pooled import Moments, pool
from privacy.engine.moments.release_layout import ReleaseLayout
from privacy.engine.moments.rounds import (
    NoisyRound,
    ReleasePlan,
    baseline_totals,
    count_totals,
    effect_totals,
    fit_in_memory,
    plan_release,
    read_counts,
    read_moments,
    release_baseline,
    release_counts,
    release_effects,
    residual_baseline,
)
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows
from privacy.engine.outcomes import aggregate, payload_of_components, payload_of_inputs
from privacy.engine.sealing import Cipher, about_serving_state, about_signal, about_state, master_cipher, wrap
from privacy.engine.serving_state import (
    KnownValues,
    PersonServingState,
    merge_known_values,
    pack_serving_state,
    unpack_serving_state,
)
from privacy.models import Person
from privacy.selectors.keys import master, master_version_current, serving_state_opened
from privacy.services.anonymize.pseudonyms import pseudonyms
from privacy.services.people.authentication import caller_of, forget_callers, token_read
from privacy.services.records.serving_read import serving_read
from privacy.services.records.serving_write import DecisionToWrite, decision_sealed, decision_write
from privacy.services.vault.append import subject_of, subjects_of, time_text
from simulator import Cohort, make_people, simulate, true_value, write_csv
from tests.factories.care import care_loop, person
from tests.factories.in_memory_release import release_moments
from tests.factories.versions import TALK_IN_A_GOOD_MOOD, learned, serve
from tests.factories.zcdp import epsilon_of_zcdp
from tests.golden_values import check, shown, store
from tests.system import ROOT
from training.engine.gates.decision_rule import attempt_alpha, equivalence, futility_bound, verdict
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import Judgement, combine_verdicts
from training.engine.gates.model_gate import logging_cost, model_gate, people_needed, values_in_worlds
from training.engine.gates.outcome_gate import outcome_gate, sub_gate
from training.engine.generators.world_model import mean_world, sample_worlds, synthesize
from training.engine.intervals.centred import mean_interval, people_needed_for, relative_interval, share_interval
from training.engine.intervals.clustered import (
    clustered_interval,
    effective_n_for_bar,
    jeffreys_bounds,
    ratio_interval,
    sufficient,
    users_needed,
)
from training.engine.pipeline import LearnedPolicy, train_policy_head
from training.engine.trainers.conservative_update import best_update, interpolate_policies
from training.engine.trainers.contextual_bandits import learn_sub_head, sub_bar
from training.engine.trainers.fitted_q import best_candidate, fitted_q, train_candidates
from training.engine.world.simulated_returns import rollout
from training.engine.world.transitions import Transitions
from training.engine.world.world import World, category_shares, initial_states

Values = dict[str, Any]
SPECS = ROOT / "loops" / "specs"
NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
SALT = "salt-of-the-golden-values-alone-0123456789"
HARMFUL_FROM = 3  # label codes of the simulator from "dismissed" on


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([20_260_304, *seed])


@cache
def spec_of(name: str) -> LoopSpec:
    return parse_loop(source_of(name), source=f"{name}.toml")


def source_of(name: str) -> str:
    return (SPECS / f"{name}.toml").read_text(encoding="utf-8")


# --- people, and what a release reads of them


@cache
def cohort(people: int = 160, days: int = 10, seed: int = 1) -> Cohort:
    """Simulated people of the r3al loop under its logging distribution."""
    generator = rng(seed)
    return simulate(spec_of("r3al"), make_people(people, generator), days, generator)


@cache
def judged_of(seed: int = 1) -> EvaluationRows:
    """A cohort as evaluation rows, next states within the day; one decision in seven was not explored."""
    spec, lived = spec_of("r3al"), cohort(seed=seed)
    people, points = lived.available.shape
    moment = np.broadcast_to(np.arange(points), (people, points))
    has_next = ((moment + 1) % spec.decisions_per_day != 0) & (moment < points - 1)
    explored = rng(seed, 2).random((people, points)) > 1 / 7
    following = np.concatenate([lived.state[:, 1:], lived.state[:, -1:]], axis=1)
    kept = lived.available.reshape(-1)

    def flat(values: np.ndarray) -> np.ndarray:
        return np.asarray(values.reshape(people * points, *values.shape[2:])[kept])

    rows = ReleaseRows(
        person=flat(np.repeat(np.arange(people)[:, None], points, axis=1)),
        state=flat(lived.state),
        next_state=flat(following),
        has_next=flat(has_next),
        dropped_out=np.zeros(int(kept.sum()), bool),
        action=flat(lived.actions["policy"]),
        propensity=flat(lived.propensities["policy"]),
        explored=flat(explored),
        reward=flat(lived.reward),
        subs={
            head.name: SubHeadRows(flat(lived.actions[head.name]), flat(lived.propensities[head.name]), flat(explored))
            for head in spec.heads
            if head.name != "policy"
        },
    )
    return EvaluationRows(rows, flat(lived.components[:, :, 3]), (flat(lived.label) >= HARMFUL_FROM).astype(np.int64))


@cache
def rows_of(loop: str, seed: int = 1) -> ReleaseRows:
    """Rows of a loop: the simulator's people for r3al, else null users with a seeded reward."""
    if loop == "r3al":
        return judged_of(seed).rows
    made = null_rows(spec_of(loop), decisions=20 + seed)
    noise = rng(seed, 3).normal(size=len(made.state))
    reward = 0.8 * made.action * (0.3 + made.state[:, 1] / 40) + 0.5 * made.state[:, 0] + noise
    return ReleaseRows(
        made.person, made.state, made.next_state, made.has_next, made.dropped_out, made.action, made.propensity, made.explored,
        reward, made.subs,
    )  # fmt: skip


def noised(made: NoisyRound, seed: int, share: float) -> NoisyRound:
    """A round as if noise of so large a share of its largest sum had been added, by a seeded generator."""
    out, generator = dict(made), rng(seed, 4)
    for name in sorted(n for n in made if f"{n}_sd" in made):
        sd = share * float(np.abs(made[name]).max())
        out[name] = made[name] + generator.normal(size=made[name].shape) * sd
        out[f"{name}_sd"] = np.array([sd])
    return out


def asked(loop: str, counts: NoisyRound, *, sigma: float | None = 0.5, earlier: Moments | None = None) -> ReleasePlan:
    spec = spec_of(loop)
    known = None if earlier is None else known_effects(earlier, some_effects(earlier))
    return replace(
        plan_release(spec, read_counts(spec, counts, earlier), sigma, earlier=earlier, known=known), sigma=None
    )


@cache
def rounds(
    loop: str, seed: int = 1, noise: float = 0.01, pooled: bool = False
) -> tuple[ReleasePlan, NoisyRound, NoisyRound, Moments]:
    """The plan, the two later rounds with seeded noise, and what they say; with ``pooled`` after an earlier release."""
    rows, spec = rows_of(loop, seed), spec_of(loop)
    earlier = rounds(loop)[3] if pooled else None
    counts = noised(release_counts(spec, count_totals(spec, rows), None), seed, noise)
    made = asked(loop, counts, earlier=earlier)
    baseline = noised(release_baseline(made, baseline_totals(made, rows)), seed + 10, noise)
    theta = np.round(residual_baseline(made, baseline, earlier), 6)
    effects = noised(release_effects(made, effect_totals(made, theta, rows)), seed + 20, noise)
    return made, baseline, effects, read_moments(made, baseline, effects, earlier)


def without_rho(made: NoisyRound) -> NoisyRound:
    """Sums and their noise; what was spent is infinite where no noise was drawn, and noise of 0 is left out too."""
    return {n: v for n, v in made.items() if not n.endswith("_rho") and not (n.endswith("_sd") and not v.any())}


def moments_of(moments: Moments) -> Values:
    blocks = {
        "gram": [moments.gram, moments.gram_next, moments.level_gram, moments.change_gram],
        "targets": [moments.targets, moments.actions, moments.offset],
        "effects": [moments.effects, moments.variances, moments.stays, moments.residual_variances],
    }
    sizes = [moments.users, moments.rows, moments.releases, list(moments.sampling)]
    known_of = {"sd": dict(sorted(moments.sd.items())), "sizes": dict(sorted(moments.sizes.items()))}
    return blocks | known_of | {"people": sizes, "subs": dict(moments.subs), "hinges": moments.layout.phi.hinges}


# --- loops and the simulator


def loops() -> Values:
    out: Values = {}
    for name in ("r3al", "heartsteps"):
        spec = spec_of(name)
        states = rows_of(name).state[:200]
        after = rng(5).random(200) < 0.4
        out[name] = {
            "signature": spec.features_signature,
            "names": [FeatureMap.of(spec, hinges).names for hinges in (False, True)],
            "phi": [FeatureMap.of(spec, hinges).phi(states) for hinges in (False, True)],
            "phi_of": [FeatureMap.of(spec, True).phi_of(s.tolist()) for s in states[:4]],
            "known": advance_known(spec, states, after),
        }
    lived = cohort()
    out["rewards"] = reward_total(spec_of("r3al"), lived.components[:40])
    inputs = {"sentiment_before": 0.1, "sentiment_after": 0.6, "consent": 1.0, "privacy": 0.0, "delay": 900.0}
    affect = {"mood": 0.3, "stress": 0.8, "gap": 0.5}
    out["components"] = [
        reward_components(spec_of("r3al"), inputs | more, action=action, affect=affect)
        for more in ({}, {"rating": 0.7})
        for action in ("wait", "breathe", "reframe", "celebrate")
    ]
    return out


def simulator() -> Values:
    lived, file = cohort(), io.StringIO()
    spec = spec_of("r3al")
    count = write_csv(cohort(8, 3), spec, file, start=date(2025, 6, 1), user_prefix="p")
    value = true_value(spec, None, seed=3, n_people=200, days=4)
    return {
        "cohort": [lived.state, lived.available, lived.components, lived.reward, lived.label],
        "actions": lived.actions,
        "propensities": lived.propensities,
        "csv": [count, file.getvalue().splitlines()[:2], file.getvalue().encode()],
        "true_value": [value, true_value(spec, some_policy("r3al", 7), seed=3, n_people=200, days=4)],
    }


def files_in() -> Values:
    """The simulator's file read row by row, and a file that lacks the features with known dynamics."""
    spec, file = spec_of("r3al"), io.StringIO()
    write_csv(cohort(8, 3), spec, file, start=date(2025, 6, 1), user_prefix="p")
    header, *lines = file.getvalue().splitlines()
    columns = header.split(",")
    cells = [dict(zip(columns, line.split(","), strict=True)) for line in lines]
    found = [RowReader(spec, columns, need="decision").read(row) for row in cells]
    lacking = [c for c in columns if c not in ("gap", "load")]
    reader = RowReader(spec, lacking, need="decision")
    line = StateHistory(spec, reader.computed)
    line.begin()
    placed = [reader.read(row, lambda m: line.step(m.time, m.intervened)).state for row in cells[:12]]
    return {
        "states": np.array([r.state for r in found]),
        "rewards": np.array([r.reward for r in found]),
        "who": [[r.user, list(r.key), r.time.isoformat(), r.available, r.harmful, r.dropped_out] for r in found[:3]],
        "choices": [[h, c.action, c.propensity, c.explored] for r in found[:8] for h, c in sorted(r.choices.items())],
        "computed": [list(reader.computed), np.array(placed)],
    }


# --- the release


def contributions() -> Values:
    """What people give, before and after they are put on the grid and summed."""
    out: Values = {}
    for loop, hinges in product(("r3al", "heartsteps"), (False, True)):
        spec, rows = spec_of(loop), rows_of(loop)
        layout = ReleaseLayout.of(spec, hinges=hinges)
        theta = np.round(rng(6).normal(size=(layout.phi.width, len(layout.targets))) * 0.2, 3)
        known = np.round(rng(7).normal(size=(len(layout.main.actions), *theta.shape)) * 0.1, 3)
        facts = public_facts(layout, 16)
        gram, targets = baseline_contributions(layout, rows, 0.5, known)
        blocks = {"gram": gram, "targets": targets} | effect_contributions(layout, rows, 0.5, theta)
        out[f"{loop} hinges {hinges}"] = {
            "targets": list(layout.targets),
            "shares": layout.shares,
            "clips": facts.clips.of,
            "weights": list(facts.weights.values()),
            "null people": [facts.rows["effects"], facts.gram],
            "blocks": blocks,
            "totals": {name: integer_sum(block, clip=round(facts.clips[name], 6)) for name, block in blocks.items()},
            "slope": continuation_slope(layout, theta),
        }
        out[f"{loop} counts"] = count_contributions(spec, rows)
        large = replace(rows, reward=rows.reward * 4)
        out[f"{loop} large rewards"] = [count_contributions(spec, large), baseline_contributions(layout, large, 0.5)[1]]
    out["grid"] = to_grid(rng(8).normal(size=(50, 7)), 1.5, 1 << 20)
    return out


def null_people() -> Values:
    served = some_policy("r3al", 9)
    made = {
        "logged": null_rows(spec_of("r3al"), decisions=12),
        "served": null_rows(spec_of("r3al"), decisions=12, logged=LoggingPolicy(0.2, served)),
        "heartsteps": null_rows(spec_of("heartsteps"), decisions=12),
    }
    generator = rng(10)
    person, day = np.sort(generator.integers(0, 20, 300)), np.sort(generator.integers(0, 4, 300))
    available, left = generator.random(300) < 0.8, generator.random(300) < 0.02
    rules = ("next_row", "next_row_same_day", "next_available", "next_available_same_day")
    return made | {
        rule: next_rows(rule, person=person, day=day, available=available, dropped_out=left)  # type: ignore[arg-type]
        for rule in rules
    }


def hinges() -> Values:
    """Which features a release carries, by its size, its noise and the share explored."""
    sizes, noise, shares = (50.0, 500.0, 5_000.0, 50_000.0), (None, 0.5, 3.0), (1.0, 0.1)
    return {
        loop: {
            f"{users:g} people": [
                pick_hinges(spec_of(loop), users=users, decisions=64, sigma=sigma, explored_share=share)
                for sigma, share in product(noise, shares)
            ]
            for users in sizes
        }
        for loop in ("r3al", "heartsteps")
    }


def release_rounds(loop: str) -> Values:
    spec, rows = spec_of(loop), rows_of(loop)
    exact = release_counts(spec, count_totals(spec, rows), None)
    made, baseline, effects, moments = rounds(loop)
    theta = np.round(residual_baseline(made, baseline, None), 6)
    return {
        "count_totals": dict(count_totals(spec, rows).blocks),
        "counts": without_rho(exact),
        "read_counts": [read_counts(spec, noised(exact, s, 0.02 * s)) for s in range(4)],
        "plan": [made.layout.phi.hinges, made.counts, made.facts.clips.of, made.explored_share],
        "baseline_totals": dict(baseline_totals(made, rows).blocks),
        "baseline": without_rho(baseline),
        "theta": residual_baseline(made, baseline, None),
        "effect_totals": dict(effect_totals(made, theta, rows).blocks),
        "effects": without_rho(effects),
        "moments": moments_of(moments),
        "fitted": fit_in_memory(moments, made.facts).layout.phi.hinges,
    }


def posteriors(loop: str) -> Values:
    moments = rounds(loop)[3]
    baseline, effects = baseline_posterior(moments), effects_posterior(moments)
    return {
        "baseline": baseline,
        "effects": effects.mean,
        "mixtures": [[t.means, t.factors, t.rotation] for t in effects.targets],
        "subs": {head: sub_effects_posterior(moments, head).means for head in moments.layout.subs},
        "known": known_effects(moments, effects),
        "draws": [draw_baseline(baseline, rng(11)), effects.draw(rng(12))],
    }


def pooling(loop: str) -> Values:
    """A second round with what the first knows taken off, pooled with it; a noisy one; and one without noise at all."""
    first, (made, _, _, second) = rounds(loop)[3], rounds(loop, 2, 0.01, True)
    whole = pool([first, second])
    mixed = pool([first, rounds(loop, 2, 0.2)[3]])
    exact = release_moments(spec_of(loop), rows_of(loop), None)
    return {
        "known": made.known,
        "second": [second.gram, second.targets, second.effects, second.offset, second.sizes],
        "pooled": moments_of(whole),
        "with a noisy one": [mixed.gram, mixed.targets, mixed.effects, mixed.sizes, mixed.subs],
        "linear": [exact.linear().gram, exact.linear().targets, exact.linear().effects],
        "exact": [exact.gram, exact.targets, exact.effects, exact.variances, exact.sizes],
        "baseline": baseline_posterior(whole),
    }


# --- evaluation


@cache
def some_policy(loop: str, seed: int, head: str = "policy") -> LinearPolicy:
    """A policy of weights that are whole eighths, so that its values are exact on any machine."""
    spec = spec_of(loop)
    phi, declared = FeatureMap.of(spec, head == "policy"), spec.head(head)
    weights = rng(seed, 13).integers(-8, 9, size=(len(declared.actions), phi.width)) / 8
    return LinearPolicy(phi, weights, 0.25 if head == "policy" else 0.0, declared.reference_index)


def some_candidate() -> EvaluationCandidate:
    """A policy and its sub-heads, with a model of the reward."""
    policy, generator = some_policy("r3al", 1), rng(14)
    reward = generator.normal(size=policy.weights.shape) * 0.2
    subs = {
        head: SubCandidate(
            some_policy("r3al", i, head),
            reference_policy(spec_of("r3al"), head),
            generator.normal(size=some_policy("r3al", i, head).weights.shape) * 0.1,
        )
        for i, head in enumerate(("timing", "tone", "empathy"))
    }
    rival = some_policy("r3al", 2)
    return EvaluationCandidate(policy, rival, reward, subs)


def evaluation() -> Values:
    spec, judged, candidate = spec_of("r3al"), judged_of(), some_candidate()
    clips = evaluation_clips(spec, candidate, 16)
    fixed = {name: ValueClips(round(c.value, 6), round(c.weight, 6)) for name, c in clips.items()}
    return {
        "metrics": {loop: list(measured_metrics(spec_of(loop))) for loop in ("r3al", "heartsteps")},
        "actions": [candidate.policy.actions(judged.rows.state), candidate.rival.actions(judged.rows.state)],
        "values": person_values(spec, judged, candidate),
        "clips": clips,
        "clips as served": evaluation_clips(spec, candidate, 16, LoggingPolicy(0.2, candidate.rival)),
        "sums": without_rho(release_evaluation(spec, judged, candidate, fixed, None)),
        "of sub-heads alone": without_rho(
            release_evaluation(spec, judged, replace(candidate, main=False), fixed, None)
        )["improvement_tone"],
    }


# --- learning


@cache
def posterior(loop: str) -> tuple[Moments, Baseline, Effects, World]:
    """Of a release's baseline, with effects that are drawn here and not by the sampler."""
    moments = rounds(loop)[3]
    baseline, effects = baseline_posterior(moments), some_effects(moments)
    return moments, baseline, effects, mean_world(moments, baseline, effects)


def some_effects(moments: Moments) -> Effects:
    """A posterior of the shape that a release's has."""
    generator, (actions, width, _) = rng(39), moments.effects.shape
    means = [
        0.3 * generator.normal(size=(actions, width)) + 0.1 * generator.normal(size=(5, actions, width))
        for _ in moments.layout.targets
    ]
    factors = 0.05 * np.broadcast_to(np.eye(width), (5, actions, width, width))
    return Effects(tuple(TargetEffects(m, factors, np.eye(actions)) for m in means))


@cache
def transitions(loop: str) -> Transitions:
    return synthesize(posterior(loop)[3], rng(15), states=600)


def world_model(loop: str) -> Values:
    moments, baseline, effects, world = posterior(loop)
    start = initial_states(world, 300, rng(16))
    stepped = world.step(start, np.arange(300) % world.coefficients.shape[1], np.zeros(300, dtype=np.int64), rng(17))
    drawn = sample_worlds(moments, baseline, effects, 4, rng(18))
    policy, worlds = reference_policy(spec_of(loop), "policy"), np.arange(300) % 4
    made = transitions(loop)
    return {
        "coefficients": world.coefficients,
        "noise": world.noise_sd,
        "states": start,
        "categories": [category_shares(moments, i) for i, f in enumerate(spec_of(loop).features) if f.is_category],
        "step": stepped,
        "drawn": drawn.coefficients,
        "rolled": next(rollout(drawn, [policy], start, worlds, 19))[1:],
        "synthetic": made,
        "pool": made.rows(),
    }


def training(loop: str) -> Values:
    moments, _, _, world = posterior(loop)
    made = list(train_candidates(spec_of(loop), world, transitions(loop), 21, sweeps=40))
    best = best_candidate(made)
    return {
        "weights": [c.policy.weights for c in made],
        "margins": [c.policy.margin for c in made],
        "gains": [[c.gamma, c.model_gain, c.step] for c in made],
        "best": best.gamma,
        "actions": best.policy.actions(transitions(loop).state),
        "fitted": fitted_q(moments.layout.phi, transitions(loop), gamma=0.8, sweeps=5),
    }


def gates_of_the_model(loop: str) -> Values:
    moments, baseline, effects, world = posterior(loop)
    spec, states = spec_of(loop), transitions(loop).state
    fits = list(train_candidates(spec, world, transitions(loop), 22, gammas=(0.0, 0.9), sweeps=10))
    weights = rng(38).integers(-8, 9, size=(len(moments.layout.main.actions), moments.layout.phi.width)) / 8
    serving = LinearPolicy(moments.layout.phi, weights, 0.25, moments.layout.main.reference_index)
    reference = reference_policy(spec, "policy")
    worlds = sample_worlds(moments, baseline, effects, 8, rng(23))
    gate, against = model_gate(worlds, fits[1].policy, [reference, serving], rng(24))
    step = best_update(spec, worlds, fits, serving, states, rng(25))
    there = interpolate_policies(spec, serving, fits[1].policy, states)
    return {
        "gate": [gate, gate.z, against, None if against is None else against.z],
        "episodes": gate.episodes()[:2],
        "drawn": values_in_worlds(worlds, [reference, serving], rng(28)),
        "cost": logging_cost(worlds, reference, rng(29)),
        "step": [step.gamma, step.step, step.policy.weights, step.policy.margin],
        "a third of the way": [there.weights, there.margin, there.actions(states)],
        "needed": [people_needed(z, bar, 1_000.0) for z in (0.05, 0.3, 1.0, 2.0) for bar in (1.0, 1.3)],
    }


def sub_heads() -> Values:
    moments, states = posterior("r3al")[0], transitions("r3al").state
    out: Values = {"bars": [sub_bar(n) for n in range(1, 5)]}
    for head in moments.layout.subs:
        found = learn_sub_head(moments, head, states, rng(26))
        held = learn_sub_head(moments, head, states, rng(27), incumbent=some_policy("r3al", 3, head))
        out[head] = [found.effects, found.gain, found.z, found.bar, found.passed]
        out[f"{head} over what serves"] = [held.gain_incumbent, held.z_incumbent, held.passed]
    return out


def whole_learning(loop: str) -> Values:
    moments, baseline, _, _ = posterior(loop)
    incumbents = {} if loop == "r3al" else {"policy": some_policy(loop, 4)}
    found: LearnedPolicy = train_policy_head(
        spec_of(loop), moments, baseline, transitions(loop).rows(), seed=30, incumbents=incumbents, sweeps=20, gamma=0.5
    )
    return {
        "arrays": found.arrays(),
        "config": found.config(),
        "gates": [found.gate, found.gate_incumbent, found.passed],
        "actions": found.policy.actions(transitions(loop).state),
        "subs": {h: [s.effects, s.gain, s.passed] for h, s in found.subs.items()},
        "stored": sorted(found.arrays()),
    }


def some_sums(seed: int, users: float, noise: float, kind: Literal["mean", "share"] = "mean") -> CentredSums:
    generator = rng(seed, 31)
    a, b = generator.random(int(users)) * 0.3, 0.4 + 0.6 * generator.random(int(users))
    v = a - 0.1 * b if kind == "share" else a
    exact = np.array([v.sum(), v @ v, 1.0, 0.0, users, b.sum() if kind == "share" else 0.0])
    sums = [float(x) for x in exact + noise * generator.normal(size=6)]
    exactly = ValueClips(1.0, 1.0)
    return CentredSums(kind, *sums, noise, noise, noise, noise, noise, exactly)  # type: ignore[call-arg,arg-type]


def table(records: Sequence[Any]) -> list[Any]:
    """The first of some records of numbers, and all as an array."""
    numbers = [[v for v in vars(r).values() if isinstance(v, (int, float))] for r in records]
    return [records[0], np.array(numbers, dtype=np.float64)]


def intervals() -> Values:
    generator = rng(32)
    b = 1 + generator.poisson(6, 80).astype(float)
    a, s = b * np.clip(generator.normal(0.3, 0.2, 80), 0, 1), b**2 / 3
    levels = list(product((0.9, 0.95), ("two", "lower", "upper")))
    made = [clustered_interval(a, b, s, level=level, tails=tails) for level, tails in levels]  # type: ignore[arg-type]
    sizes = list(product((20.0, 300.0), (0.0, 2.0, 40.0)))
    sums = [some_sums(i, users, noise) for i, (users, noise) in enumerate(sizes)]
    of_shares = [some_sums(i, users, noise, "share") for i, (users, noise) in enumerate(sizes)]
    return {
        "clustered": table(made),
        "ratio": table([ratio_interval(a, b, s, level=level, tails=tails) for level, tails in levels]),  # type: ignore[arg-type]
        "jeffreys": [jeffreys_bounds(p, n) for p in (0.0, 0.07, 0.5, 1.0) for n in (12.0, 300.0)],
        "needed": [users_needed(i, effect) for i in made for effect in (0.01, 0.1)],
        "sufficient": [sufficient(i) for i in (*made[:2], *map(mean_interval, sums))],
        "for a bar": [effective_n_for_bar(p, bar) for p in (0.02, 0.2, 0.9) for bar in (0.1, 0.5)],
        "means": table([mean_interval(x, level=level, tails=tails) for x in sums for level, tails in levels]),  # type: ignore[arg-type]
        "far": table([mean_interval(x, reach=20.0, shift=0.01, shift_sd=0.02) for x in sums]),
        "shares": table([share_interval(x, 0.1, level=v, tails=t) for x in of_shares for v, t in levels]),  # type: ignore[arg-type]
        "relative": table([relative_interval(x) for x in of_shares]),
        "needed from sums": [people_needed_for(x, 0.05, level=0.95) for x in (*sums, *of_shares)],
    }


def verdicts() -> Values:
    shown_intervals = [
        mean_interval(some_sums(i, u, n), level=0.9) for i, (u, n) in enumerate(product((20, 300), (0, 4)))
    ]
    directions = ("above", "at_least", "at_most")
    asked_for = list(product(shown_intervals[1:], (0.0, 0.4), directions))
    return {
        "verdicts": [verdict(i, bar, d, min_effect=0.05, name="it") for i, bar, d in asked_for],  # type: ignore[arg-type]
        "futile": [verdict(i, 0.9, "above", futility=futility_bound(x)) for i in shown_intervals for x in (1.0, 40.0)],
        "equivalent": [equivalence(i, margin) for i in shown_intervals for margin in (0.25, 1.0)],
        "alpha": [attempt_alpha(k, n) for k in (1, 2, 5) for n in (1, 3)],
    }


def gates_of_outcomes() -> Values:
    spec, candidate = spec_of("r3al"), some_candidate()
    exact = release_evaluation(spec, judged_of(), candidate, evaluation_clips(spec, candidate, 16), None)
    latency = Judgement("latency", 120.0, 100.0, 150.0, 200.0, None, "pass", "It is fast.", None)
    out: Values = {}
    for name, noise in (("exact", 0.0), ("noisy", 0.05), ("very noisy", 1.0)):
        stored = dict(exact)
        for metric in (*measured_metrics(spec), *map(sub_metric, candidate.subs)):
            stored[f"{metric}_sd"] = noise * np.abs(exact[metric]) + 1e-9
            stored[metric] = exact[metric] + rng(33).normal(size=6) * stored[f"{metric}_sd"]
        for terms in (GateTerms(spec, 0.4), GateTerms(spec, 0.4, attempt=3, incumbent=True, heads=2)):
            found = outcome_gate(terms, stored, latency if terms.incumbent else None)
            out[f"{name} attempt {terms.attempt}"] = [
                terms.level, terms.effect, terms.stability_margin, found.verdict, found.needed_users,
                *[[j.name, j.verdict, j.reason] for j in found.judgements],
                np.array([[j.value, j.low, j.high, j.bar, j.users or 0.0] for j in found.judgements]),
                [sub_gate(terms, stored, head).verdict for head in candidate.subs],
            ]  # fmt: skip
        out[f"{name} sums"] = table([read_centred(stored, m) for m in measured_metrics(spec)])
    out["together"] = combine_verdicts([latency])
    return out


# --- decisions


@cache
def servers(fallback: str = "") -> tuple[HeadPolicy, ...]:
    spec = spec_of("r3al")
    return tuple(
        HeadPolicy(
            h.name, h.actions, h.logging, h.when == "always", some_policy("r3al", i, h.name), 10 + i, 3, fallback
        )
        for i, h in enumerate(spec.heads)
    )


def picked(picks: Sequence[HeadChoice]) -> list[Any]:
    return [
        [p.head, p.action, p.explored, p.propensity, p.marginal_propensity, p.learnable, p.eligible, *p.values]
        for p in picks
    ]


def exact_states(count: int) -> list[list[float]]:
    """States whose numbers are whole eighths of their bounds, so that every value of a policy in eighths is exact."""
    generator = rng(34)
    return [
        [
            float(generator.integers(len(f.categories)))
            if f.is_category
            else float((f.bounds or (0, 1))[0] + (f.bounds[1] - f.bounds[0]) * generator.integers(9) / 8)  # type: ignore[index]
            for f in spec_of("r3al").features
        ]
        for _ in range(count)
    ]


def arbiter() -> Values:
    masks: list[dict[str, int] | None] = [None, {"policy": 0b00111}, {"policy": 0b11001, "tone": 0b0011}]
    seeds, exploration = [i.to_bytes(16, "big") for i in range(12)], (0.0, 0.1, 0.6, 1.0)
    out: Values = {"uniform": [uniform(seed, purpose) for seed in seeds for purpose in ("explore", "policy", "tone")]}
    for share, (m, mask) in product(exploration, enumerate(masks)):
        found = [
            select_actions(servers(), state, seed=seed, exploration=share, eligible=mask)
            for state in exact_states(12)
            for seed in seeds
        ]
        written = json.dumps([picked(p) for p in found])
        out[f"exploring {share} mask {m}"] = [picked(found[0]), written.encode()]
    low = select_actions(servers("stable"), exact_states(1)[0], seed=seeds[0], exploration=0.5)
    return out | {"fallback": picked(low), "places": [assignment("salt", f"{i:064x}") for i in range(20)]}


@cache
def loop_version() -> LoopVersion:
    """A version of the r3al loop that is in no database."""
    return LoopVersion(pk=7, loop=Loop(pk=3, name="r3al"), version=2, source=source_of("r3al"), sha256="0" * 64)


def serving(exploration_bp: int) -> ServedLoop:
    """Learned policies for every head; of policy a candidate for three of ten people, and a holdback for one in ten."""
    version = loop_version()
    arms = []
    for i, server in enumerate(servers()):
        slot = SlotFacts(
            head=server.head,
            stable=server.version,
            candidate=None if i else 31,
            weight_bp=0 if i else 3_000,
            holdback=None if i else 32,
            holdback_bp=0 if i else 1_000,
            exploration_bp=exploration_bp,
            salt="fixed",
            generation=3,
        )
        others = [
            HeadPolicy(server.head, server.actions, server.logging, server.always, some_policy("r3al", s), v, 3)
            for s, v in ((5, 31), (6, 32))
        ]
        arms.append(SlotArms(slot, server, *(others if i == 0 else (None, None))))
    main = arms[0].slot
    return ServedLoop(version, version.spec, ScalarDynamics(version.spec), tuple(arms), main, exploration_bp / 10_000)


CONTEXT: dict[str, float | str] = {
    "mood": 0.25, "stress": 0.375, "engagement": 0.5, "energy": 0.75, "arousal": 0.25, "gap": 1.0, "load": 0.125,
    "daypart": "midday",
}  # fmt: skip
KEY = bytes(range(32))


def known(number: int = 0, **more: Any) -> PersonServingState:
    """Somebody of whom nothing was heard yet, under a fixed key."""
    version = master_version_current()
    nobody: dict[str, Any] = {
        "person_id": 5 + number, "population": "r3al", "person_key": f"{number:064x}", "consent_mask": 7,
        "wrapped": wrap(master(version), KEY, version=version, person_id=5 + number), "master_version": version,
        "memory": b"", "observed_at": None, "local_day": None, "interventions_today": 0, "last_intervened": False,
        "last_intervention_at": None, "state_version": 0, "original": None,
    }  # fmt: skip
    return PersonServingState(**(nobody | more))


def before(**more: Any) -> PersonServingState:
    """Somebody who was decided for an hour ago and of whom something was heard."""
    spec, heard = spec_of("r3al"), [float("nan")] * len(spec_of("r3al").features)
    heard[0], heard[3] = -0.5, 0.625
    plain = pack_serving_state(spec, heard, [0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 1.0])
    sealed = Cipher(KEY).seal(plain, about_serving_state(5, loop_version().loop_id))
    told: dict[str, Any] = {
        "memory": sealed,
        "observed_at": NOW - timedelta(hours=1),
        "local_day": NOW.date(),
        "state_version": 4,
    }
    return known(**(told | more))


def situations() -> dict[str, tuple[DecisionRequest, PersonServingState]]:
    hour, part = timedelta(hours=1), {k: v for k, v in CONTEXT.items() if k not in ("gap", "load", "daypart", "mood")}
    local = {
        n: datetime(2026, 3, 4, h, 15, tzinfo=timezone(timedelta(hours=2))) for n, h in (("day", 13), ("late", 23))
    }
    ask: dict[str, tuple[dict[str, Any], PersonServingState]] = {
        "whole state": ({}, known()),
        "another arm": ({}, known(3)),
        "a third arm": ({}, known(4)),
        "masks": ({"eligible": {"policy": ["wait", "breathe"], "tone": ["warm", "calm"]}}, known(2)),
        "out of bounds": ({"context": CONTEXT | {"mood": -7.0, "gap": 2.0, "stress": 0.5}}, known(3)),
        "of a memory": ({"context": part, "local_time": local["day"]}, before()),
        "after speaking": ({"context": part}, before(last_intervened=True, last_intervention_at=NOW - 3 * hour)),
        "quiet hours": ({"local_time": local["late"]}, known()),
        "cooldown": ({}, before(last_intervened=True, last_intervention_at=NOW - hour, interventions_today=1)),
        "daily cap": ({}, before(interventions_today=4, last_intervention_at=NOW - 5 * hour)),
        "distress": ({"context": CONTEXT | {"stress": 0.99}}, known()),
        "no data": ({"context": {"energy": 0.5}}, known()),
        "memory too old": ({"context": part}, before(observed_at=NOW - timedelta(days=8))),
    }  # fmt: skip
    return {
        name: (DecisionRequest(**({"request_id": f"r-{i}", "context": CONTEXT} | more)), who)
        for i, (name, (more, who)) in enumerate(ask.items())
    }


def written(decided: DecisionToWrite) -> list[Any]:
    """What would be written, opened; nothing of it that depends on a keyed digest."""
    cipher, person_id, loop_id = Cipher(KEY), decided.person.person_id, decided.loop_version.loop_id
    sealed_state, sealed_memory = decision_sealed(decided)
    memory = cipher.open(sealed_memory, about_serving_state(person_id, loop_id))
    state = cipher.open(sealed_state, about_state(person_id, decided.seed))
    choices = [
        [c.head, c.action, c.propensity, c.marginal_propensity, c.explored, c.learnable, c.version, c.generation,
         c.eligible, c.fallback] for c in decided.choices
    ]  # fmt: skip
    return [
        loop_id, decided.loop_version.pk, decided.now.isoformat(), decided.local_day.isoformat(),
        decided.exploration_bp, decided.unavailable, decided.clamped, decided.expires_at.isoformat(),
        decided.closes_at.isoformat(), None if decided.observed_at is None else decided.observed_at.isoformat(),
        decided.intervened, np.frombuffer(state).tolist(), unpack_serving_state(spec_of("r3al"), memory), choices,
    ]  # fmt: skip


def computed(
    served: ServedLoop, request: DecisionRequest, who: PersonServingState, now: datetime
) -> tuple[DecisionToWrite, RenderedAnswer]:
    """A decision from what was read of somebody, still sealed."""
    opened = serving_state_opened(who, spec=served.spec, loop_id=served.loop_version.loop_id, now=now)
    return compute_decision(served, request, who, opened, request_key(request), now)


def decisions() -> Values:
    """Answers without exploring, so that no draw depends on the keyed seed; the id of each is left out."""
    out: Values = {}
    for name, (request, who) in situations().items():
        decided, told = computed(serving(0), request, who, NOW)
        body = json.loads(told.body)
        del body["decisionId"]
        body["actions"] = short(body["actions"])
        if name == "whole state":
            out["the answer's fields"] = list(body), list(json.loads(told.body)["actions"]["policy"])
        out[name] = {"answer": body, "counted": [told.loop_id, told.version_id]}
        facts = written(decided)
        out[name]["written"] = facts if name in ("masks", "no data") else json.dumps(facts).encode()
    return out


def short(actions: dict[str, Any]) -> dict[str, Any]:
    """Each head's ranking, its names in one text and its values as an array, then the rest without names."""

    def ranked(ranking: list[dict[str, Any]]) -> list[Any]:
        return [" ".join(r["action"] for r in ranking), np.array([r["value"] for r in ranking])]

    return {h: [ranked(a.pop("ranking", [])), list(a.values())] for h, a in actions.items()}


def requests_read() -> Values:
    """Contexts as they are read, and what is refused."""
    spec, points = spec_of("r3al"), ScalarDynamics(spec_of("r3al"))
    good = [r for r, _ in situations().values()]
    bad = [
        DecisionRequest(request_id=""),
        DecisionRequest(request_id="r", context={"nope": 1.0}),
        DecisionRequest(request_id="r", context={"daypart": "noon"}),
        DecisionRequest(request_id="r", context={"mood": "fine"}),
        DecisionRequest(request_id="r", local_time=datetime(2026, 3, 4)),
        DecisionRequest(request_id="r", eligible={"policy": ["breathe"]}),
        DecisionRequest(request_id="r", eligible={"policy": ["wait", "nope"]}),
        DecisionRequest(request_id="r", eligible={"nope": []}),
    ]
    return {
        "read": [[list(c.clamped), dict(c.eligible)] for c in (read_context(spec, points, r) for r in good)],
        "values": np.array([read_context(spec, points, r).values for r in good]),
        "refused": [refusal(lambda r=r: read_context(spec, points, r)) for r in bad],  # type: ignore[misc]
    }


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except R3alError as error:
        return str(error)
    return "it was accepted"


def replays() -> Values:
    """Decisions written to the database and answered again, bit for bit; ids of rows are numbered as they come."""
    loop = care_loop(rules='daily_cap = 30\nquiet_hours = ["22:30", "07:00"]')
    serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
    serve(learned(loop, "tone", [[0.0] * 4, [0.125, 1.0, 0.0, 0.0]]))
    ServingSlot.objects.update(exploration_bp=0)
    clear_policy_cache()
    read = token_read(f"Token {person('ann')[1]}")
    served, out = served_loop("care"), dict[str, Any]()
    for i, (mood, place, hour) in enumerate(product((-0.5, 0.75), ("home", "work"), (12, 23))):
        local = NOW.replace(hour=hour)
        request = DecisionRequest(f"r-{i}", "care", None, {"mood": mood, "place": place}, local)
        device = read._replace(caller=caller_of(read))
        who = serving_read(device, user_id=None, population="people", loop_id=loop.loop_id, request_key=bytes(16))
        decided, told = computed(served, request, who, NOW + timedelta(minutes=i))
        decision_write(decided)
        again = decide(read, request)
        body = json.loads(again.body)
        versions = sorted({arm.stable.version for arm in served.arms})
        body["versions"] = {head: versions.index(v) for head, v in body["versions"].items()}
        del body["decisionId"]
        body["actions"] = short(body["actions"])
        out[f"{mood} {place} {hour}"] = {"again": again.body == told.body, "answer": body}
    other = DecisionRequest("r-0", "care", None, {"mood": 0.1}, NOW)
    out["another body"] = refusal(lambda: decide(read, other))
    return out | {"replayed": [r.difference for r in decisions_replay(loop="care")]}


STATES = """who,at,mood,place
ann,2025-06-01T09:00:00+00:00,0.5,home
bob,2025-06-01T10:00:00+00:00,-0.5,work
ann,2025-06-01T15:00:00+00:00,-0.25,work
ann,2025-06-02T09:00:00+00:00,3,home
bob,2025-06-01T08:00:00+00:00,0.125,home
"""


def batch_scoring() -> Values:
    """``manage.py decide`` on a file; its rows lack a feature, which is computed along each person's."""
    import tempfile

    loop = care_loop()
    serve(learned(loop, "policy", [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.5], [-0.25, 0.0, 0.5, 0.0]]))
    with tempfile.TemporaryDirectory() as folder:
        source, target, said = Path(folder, "states.csv"), Path(folder, "choices.csv"), io.StringIO()
        source.write_text(STATES.replace("place\n", "place,did,p\n").replace("home\n", "home,talk,0.25\n").replace(
            "work\n", "work,wait,0.5\n"
        ))  # fmt: skip
        call_command("decide", loop="care", input=source, output=target, stdout=said)
        chosen = _unnumbered(target.read_text())
        scored = states_decide(
            loop_version=loop, head="tone", version_name=None, source=source, target=target, replace=True
        )
        return {
            "file": chosen.splitlines(),
            "said": said.getvalue().rpartition(": ")[2].strip(),
            "tone": [scored.rows, scored.chosen, _unnumbered(target.read_text()).splitlines()],
        }


def _unnumbered(text: str) -> str:
    """A text without the numbers of its versions, which depend on what the database held before."""
    return re.sub(r"model_[0-9]+", "model", text)


# --- anonymisation, accounting, the vault

LOCAL = AnonymizeRequest("pulse", "differential_privacy", mode="local")


def anonymised() -> Values:
    loop, out = spec_of("r3al"), dict[str, Any]()
    values, columns = cohort().state[:, :3].reshape(-1, 8), columns_of(loop)
    users = np.repeat(np.arange(160), 3)
    for k, diversity in ((2, 1), (5, 1), (12, 3)):
        sensitive = values[:, 7].astype(np.int64) if diversity > 1 else None
        numbers = columns[:-1]
        out[f"k {k} diversity {diversity}"] = mondrian(
            values[:, :-1], columns=numbers, users=users, k=k, sensitive=sensitive, diversity=diversity
        )
    out["generalized"] = [generalize(values, columns), [list(parents_of(c)) for c in columns if c.categories]]
    totals = central_totals(values, users, columns)
    noise = rng(35)
    sums = {n: t / (1 << 20) * central_parameters(columns)["clips"][n] for n, t in totals.blocks.items()}
    shaken = {n: s + noise.normal(size=s.shape) for n, s in sums.items()}
    shaken |= {f"{n}_sd": np.array([1.0]) for n in sums}
    told = central_read(shaken, columns)
    quantiles = [[v for q in told.columns[c.name]["quantiles"].values() for v in q.values()] for c in columns[:-1]]
    out["central"] = [dict(totals.blocks), central_parameters(columns), told.users, told.users_sd, np.array(quantiles)]
    out["central columns"] = [told.columns[c.name].get("mean") for c in columns[:-1]], told.columns["daypart"]
    out["exactly"] = exactly(4, values=values[:30], people=users[:30], everyone=np.arange(12), columns=columns)
    out["about"] = [two_digits(n) for n in (0, 4, 5, 14, 99, 123, 1_234, 98_765)]
    return out


def local_tables() -> Values:
    epsilons = (1e-6, 0.1, 0.5, 1.0, 4.0, 40.0)
    return {
        "noise": [np.array(noise_table(e), dtype=np.uint64) for e in epsilons],
        "geometric": np.array(geometric_table(Fraction(1, 3)), dtype=np.uint64),
        "categories": [list(category_table(e, n)) for e in epsilons for n in (1, 2, 5)],
        "ratios": [str(number_ratio(noise_table(e)))[:60] for e in epsilons],
        "sd": [noise_sd(e) for e in epsilons],
        "guarantees": [guarantee_of(replace(LOCAL, epsilon=e, rows=rows)) for e, rows in ((0.5, 1), (2.0, 7))],
    }


def guarantee_of(request: AnonymizeRequest) -> str:
    return technique_of(request.technique, request.mode).guarantee(request)


def logged(request: AnonymizeRequest, columns: tuple[Column, ...]) -> dict[str, Any]:
    """The log's parameters; those of statistics that follow from the columns alone are golden by themselves."""
    technique = technique_of(request.technique, request.mode)
    mode = {} if technique.mode is None else {"mode": technique.mode}
    own = {} if technique.statistics else technique.logged(request, columns)
    return request.as_logged(columns) | mode | dict(own)


def check_whole(request: AnonymizeRequest, columns: tuple[Column, ...]) -> None:
    request.check()
    check_options(request)
    technique_of(request.technique, request.mode).check(request, columns)


def techniques() -> Values:
    columns = columns_of(spec_of("r3al"), ("mood", "daypart"))
    wanted = [
        AnonymizeRequest("pulse", "differential_privacy"),
        replace(LOCAL, rows=3, samples=40),
        AnonymizeRequest("pulse", "k_anonymity", options={"k": 7, "diversity": 2, "sensitive": "daypart"}),
        AnonymizeRequest("interaction", "pseudonymization", options={"epoch": "spring"}),
        AnonymizeRequest("categorical", "generalization"),
    ]
    bad = [
        AnonymizeRequest("x", "k_anonymity"),
        AnonymizeRequest("pulse", "k_anonymity", options={"k": 1}),
        AnonymizeRequest("pulse", "generalization", options={"diversity": 2}),
    ]
    return {
        "parameters": [logged(w, columns) for w in wanted],
        "guarantees": [guarantee_of(w) for w in wanted[2:]],
        "refused": [refusal(partial(check_whole, w, columns)) for w in bad],
    }


def accounting() -> Values:
    pairs = list(product((0.05, 0.5, 1.0, 4.0), (1e-6, 1e-5)))
    made = [calibrate(epsilon=e, delta=d, maximum=8.0) for e, d in pairs]
    return {
        "calibrated": made,
        "sentences": [guarantee(c) for c in made],
        "pure": [charge_pure(epsilon=e, maximum=8.0) for e in (0.05, 1.0, 4.0)],
        "mu": [gaussian_mu(e, d) for e, d in pairs],
        "delta": [gaussian_delta(e, mu) for e, mu in product((0.5, 2.0), (0.3, 1.0))],
        "epsilon": [epsilon_of_gdp(0.7, 1e-6), epsilon_of_zcdp(0.3, 1e-6), epsilon_of_account(123_456_789, 1e-6)],
        "caps": [rho_cap_nano(8.0, 1e-6), nano_up(0.1), nano_down(0.1), nano_up(0.3)],
        "lattice": lattice_delta(epsilon=1.0, sigma=2.0),
    }


def vault() -> Values:
    body = {"b": [1, 0.5, None, True], "a": {"é": "text", "n": -3}}
    first = event_hash(sequence=1, kind="release", at=time_text(NOW), subject="s" * 64, body=body, previous=GENESIS)
    second = event_hash(sequence=2, kind="erasure", at=time_text(NOW), subject="", body={}, previous=first)
    leaves = [bytes([i]) * 32 for i in range(7)]
    return {
        "canonical": canonical_json(body).decode(),
        "bodies": equal_numbers_json({"x": 1, "y": [1.0, 2], "z": {"t": True}}).decode(),
        "chain": [GENESIS, first, second],
        "roots": [merkle_root(leaves[:n]).hex() for n in range(1, 8)],
        "about": [about_signal(3, b"key"), about_state(3, b"key"), about_serving_state(3, 4)],
        "opened": master_cipher("a master key").open(bytes.fromhex(SEALED), b"data key 1 5").hex(),
    }


# 32 bytes 0, 1, ... under the master key "a master key", as a database holds them: a change of how keys are derived would
# leave every record of every person unreadable.
SEALED = (
    "3f960778a1b1784065ea3422a7fc11bdc39c239cdb60f2c11a7b0bef97c5"
    "98e3b4d79e9b9faa507c35e36fe741083c86242e29851d28e95c880f464f"
)


def outcomes() -> Values:
    spec, states = spec_of("r3al"), cohort().state[:6, 0]
    inputs = {"sentiment_before": 0.1, "sentiment_after": 0.6, "consent": 1.0, "privacy": 1.0, "delay": 900.0}
    events = [payload_of_inputs(spec, inputs, state=s, action=i % 5) for i, s in enumerate(states)]
    events += [payload_of_components(spec, {"sentiment": 3.0, "timing": 0.5})]
    memory, gone = KnownValues(np.array([1.0, np.nan, 3.0]), NOW), np.array([np.nan, 5.0, 6.0])
    moments = [timedelta(minutes=m) for m in (-60 * 200, -5, 5, 60 * 200)]
    return {
        "events": events,
        "outcome": aggregate(spec, events),
        "of nothing": [aggregate(spec, [], available=there) for there in (True, False)],
        "memory": [merge_known_values(memory, gone, NOW + m, keeps=7 * 86_400.0).values for m in moments],
        "packed": pack_serving_state(spec, states[0].tolist(), states[1].tolist()),
        "arrays": pack_arrays({"weights": np.arange(6.0).reshape(2, 3), "margin": np.array(0.5)}),
    }


# --- health


def lived(ours: tuple[float, float, float], theirs: tuple[float, float, float], weeks: int, seed: int) -> LivedWeeks:
    """180 people against 20 who stay, four interventions a week: means of empathy, harm and reward, and three in four answers."""
    generator, parts = rng(seed, 36), []
    for week in range(1, weeks + 1):
        for people, (empathy, harm, reward) in ((np.arange(180), ours), (np.arange(180, 200), theirs)):
            count, n = np.full(len(people), 4.0), len(people)
            answered = generator.binomial(4, 0.75, n)
            rated = count * np.clip(generator.normal(empathy, 0.15, n), 0, 1)
            rewards = count * generator.normal(reward, 0.1, n)
            sums = [count, answered, generator.binomial(answered, harm), count, rated, count, rewards]
            parts.append(np.stack([np.full(n, week), people, people < 180, *sums], axis=1))
    table = np.concatenate(parts).astype(float)
    return LivedWeeks(
        table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2] > 0, table[:, 3:], 1, weeks
    )


def series() -> Values:
    generator = rng(37)
    values, ours = generator.random(300), generator.random(300) < 0.7
    blocks = JointBlocks.of(values, ours)
    table: PersonWeeks = lived((0.6, 0.3, 0.1), (0.85, 0.05, 0.5), 6, 2).answers
    tests = [(sample.arm(ours=True), sample.log_weight) for sample in table.samples]
    minutes = SlowMinutes.of(generator.integers(5, 9, (4, 40)).cumsum(axis=0)[[1, 0, 3, 2]], (0, 20), 3)
    wager = [(blocks, bet) for bet in FALSE_INTERVENTION_BETS]
    return {
        "samples": [[s.over, s.values, s.ours, s.log_weight] for s in table.samples[:3]],
        "means": [table.person_means(ours=True)[:9], hash_of(np.arange(9)).astype(str).tolist()],
        "bounds": [bounds(tests, alpha) for alpha in (0.01, 0.05)],
        "evidence": [log_evidence_below(values, 0.6), log_evidence_above(values, 0.4)],
        "strongest": [[strongest_below(tests, m), strongest_above(tests, m)] for m in (0.3, 0.5, 0.7)],
        "joint": [log_joint_path(blocks, b, n) for b in (*EMPATHY_BETS, ANSWERED_BET, NOT_GOOD_BET)
                  for n in (NullHypothesis(), NullHypothesis(0.9), NullHypothesis(1.0, 0.02))],
        "wager": [log_wager_path(wager), log_rotating_path(wager, [0, 5, 10]), log_slower_path(minutes)],
        "radius": [mean_radius(n, 0.2, 0.01) for n in (1, 2, 10, 400)],
    }  # fmt: skip


def health() -> Values:
    fast = Latency(10_000, 5, MinuteShares(np.full(60, 0.001)))
    slow = Latency(10_000, 2_000, MinuteShares(np.full(60, 0.2), (0, 30)))
    good, bad, before = (0.88, 0.03, 0.5), (0.55, 0.4, 0.1), (0.86, 0.03, 0.5)
    minutes = SlowMinutes(np.full(60, 19.0), np.full(60, 11.0), np.ones(60), np.zeros(60))
    alone = lived(bad, before, 6, 4)
    rows = alone.ours
    ours = LivedWeeks(alone.week[rows], alone.person[rows], rows[rows], alone.sums[rows], 1, 6)
    days = replace(alone, week=0 * alone.week, closed=0)
    evidence = {
        "good": Evidence(lived(good, before, 6, 3), "holdback", fast, 0.05),
        "bad": Evidence(alone, "holdback", slow, 0.05),
        "alone": Evidence(ours, None, slow, 0.05),
        "slower": Evidence(lived(good, before, 6, 3), "holdback", slow, 0.05, minutes),
        "first days": Evidence(days, "holdback", fast, 0.05),
        "rotating": Evidence(alone, "rotating", fast, 0.05),
        "trial": Evidence(lived((0.8, 0.08, 0.5), before, 6, 5), "trial", fast, 0.05),
        "nobody": Evidence(LivedWeeks.none(), None, Latency(), 0.05),
    }
    found = {name: health_of(e) for name, e in evidence.items()}
    return {name: [h.state, h.must_roll_back, h.as_json()] for name, h in found.items()}


# --- what depends on how keyed digests are made


def keyed_decisions() -> Values:
    """Explored answers under a fixed salt: seeds, and with them every draw and id, follow from a keyed digest."""
    bodies = []
    for i in range(60):
        request = DecisionRequest(request_id=f"r-{i}", context=CONTEXT)
        bodies.append(computed(serving(5_000), request, known(i % 7), NOW)[1].body)
    return {
        "first": [[k, short(v) if k == "actions" else v] for k, v in json.loads(bodies[0]).items()],
        "ids": [json.loads(b)["decisionId"] for b in bodies[:3]],
        "all": b"".join(bodies),
    }


def keyed_names() -> Values:
    """Pseudonyms and commitments of people whose own key is fixed."""
    people = [Person.objects.create(population="r3al", key=f"{i:064x}", fold=i) for i in range(3)]
    ids = [p.pk for p in people]
    halves = pseudonyms(ids, purpose="export", epoch="2026-03")
    return {
        "pseudonyms": [pseudonym_text("2026-03", h) for h in halves.tolist()],
        "subjects": [subject_of(p) for p in people],
        "of all": subjects_of(ids),
    }


def in_a_process(subject: str) -> Values:
    """A subject as a fresh process computes it under the fixed salt: derived keys are kept as long as a process lives."""
    code = "import django, sys; django.setup(); from tests import test_golden; test_golden.say(sys.argv[1])"
    env = os.environ | {"ANONYMIZATION_SALT": SALT, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code, subject], env=env, capture_output=True, text=True, check=True, cwd=SPECS.parents[1]
    )
    return dict(json.loads(done.stdout))


def say(subject: str) -> None:
    """Print a subject's values as they are shown."""
    print(json.dumps({k: shown(v) for k, v in globals()[subject]().items()}))


PURE: Mapping[str, Callable[[], Values]] = {
    "loops": loops, "simulator": simulator, "files_in": files_in, "contributions": contributions,
    "null_people": null_people, "hinges": hinges, "evaluation": evaluation, "intervals": intervals, "verdicts": verdicts,
    "gates_of_outcomes": gates_of_outcomes, "arbiter": arbiter, "decisions": decisions, "requests_read": requests_read,
    "anonymised": anonymised, "local_tables": local_tables, "techniques": techniques, "accounting": accounting,
    "sub_heads": sub_heads, "vault": vault, "outcomes": outcomes, "series": series, "health": health,
    "keyed_decisions": lambda: in_a_process("keyed_decisions"),
} | {
    f"{part.__name__} {loop}": (lambda part=part, loop=loop: part(loop))  # type: ignore[misc]
    for part in (release_rounds, posteriors, pooling, world_model, training, gates_of_the_model, whole_learning)
    for loop in ("r3al", "heartsteps")
}  # fmt: skip
STORED: Mapping[str, Callable[[], Values]] = {
    "replays": replays, "batch_scoring": batch_scoring, "keyed_names": keyed_names,
}  # fmt: skip


# The effects' sampler works in the eigenvectors of the logging covariance. Where alternatives are logged alike (r3al) these are
# any basis of their space, LAPACK's choice of it differs between processors, and the sampler's draws then mean something else.
BOUND = frozenset({"posteriors r3al", "sub_heads", "whole_learning r3al"})


@pytest.fixture
def fresh(db: None, settings: Any) -> Iterator[None]:
    """A database, the fixed salt, and nothing kept of what this process served before or after."""
    settings.ANONYMIZATION_SALT = SALT
    clear_policy_cache()
    forget_callers()
    yield
    clear_policy_cache()
    forget_callers()


def compare(subject: str, values: Values) -> None:
    if os.environ.get("R3AL_GOLDEN") == "write":
        store(subject, values)
    else:
        differ = check(subject, values, bound=subject in BOUND)
        assert not differ, "\n".join(differ[:20])


@pytest.mark.embedded
@pytest.mark.parametrize("subject", PURE)
def test_what_is_computed_stays_as_it_was(subject: str) -> None:
    compare(subject, PURE[subject]())


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("subject", STORED)
def test_what_the_database_is_asked_stays_as_it_was(subject: str) -> None:
    compare(subject, STORED[subject]())
