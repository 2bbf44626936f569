"""Check the samplers: their speed in bulk, the exactness of their distribution, and the privacy loss that audits can prove.

Bulk rows (a table of 63-bit integers over the operating system's randomness) are compared with OpenDP's discrete Laplace of the
same scale. Chi-square tests compare both with exact probabilities. Then each sampler and the whole moments release are audited
by draws on neighbouring inputs (a million per sampler, 20,000 whole releases per input). The resulting lower bound is wrong
once in a thousand audits. It must come near the claimed value and never exceed it (one of five audits exceeds it by chance in
less than 1 of 200 runs). Finally, each planted fault must be detected.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.audited_moments import Audited, audit
from benchmarks.common import Check, arguments, finish
from benchmarks.planted_faults import faults
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.local_dp import draw, local_rows
from privacy.engine.dp.mechanisms import noise_once
from privacy.engine.dp.threshold_tables import THRESHOLD_STEPS, THRESHOLD_WHOLE, noise_table
from training.engine.audit.bounds import epsilon_at_least, mu_at_least

EPSILON = 1.0
DRAWS, QUICK_DRAWS = 1_000_000, 200_000
RUNS, QUICK_RUNS = 20_000, 1_500  # whole releases per database (audited_moments explains why not a million)
NUMBER, CATEGORY = Column("n", 0.0, 1.0), Column("c", 0.0, 2.0, ("a", "b", "c"))
LEAST_EXPECTED = 20.0
GRID = 1 << 20


def bulk(draws: int) -> dict[str, Any]:
    """Measure rows per second of both samplers (the fastest of three runs), and their chi-square p values.

    The platform's rows include validation, rounding to a grid, noise, clamping and conversion back to units. OpenDP's rows are
    only the noise on integers.
    """
    middle = np.full((4 * draws, 1), 0.5)
    local_rows(middle[:1], columns=[NUMBER], epsilon=EPSILON)  # makes the table
    ours = max(_rate(lambda: local_rows(middle, columns=[NUMBER], epsilon=EPSILON).values) for _ in range(3))
    noise = [opendp_laplace(max(draws // 10, 20_000)) for _ in range(3)]
    theirs = max(rate for _, rate in noise)
    clamped = (
        np.clip(np.concatenate([values for values, _ in noise]), -THRESHOLD_STEPS, THRESHOLD_STEPS) + THRESHOLD_STEPS
    )
    table = noise_table(EPSILON)
    exact = np.array(table, dtype=float) / THRESHOLD_WHOLE
    return {
        "part": "bulk rows against OpenDP's discrete Laplace",
        "rows_a_second": ours, "opendp_rows_a_second": theirs, "bulk_vs_opendp": ours / theirs,
        "draws_a_second": _rate(lambda: draw(table, 4 * draws)),
        "p_noise": chi_square(np.bincount(draw(table, draws), minlength=len(exact)), exact),
        "p_rows": min(number_p(step, draws) for step in (0, 100, THRESHOLD_STEPS)), "p_category": category_p(draws),
        "p_opendp": chi_square(np.bincount(clamped, minlength=len(exact)), exact),
    }  # fmt: skip


def _rate(sample: Callable[[], np.ndarray]) -> float:
    began = time.perf_counter()
    values = sample()
    return len(values) / (time.perf_counter() - began)


def opendp_laplace(draws: int) -> tuple[np.ndarray, float]:
    """Draw OpenDP's discrete Laplace of the same scale in one vector, and return the draws with their rate per second."""
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    measurement = make_laplace(
        vector_domain(atom_domain(T="i64")), l1_distance(T="i64"), scale=THRESHOLD_STEPS / EPSILON
    )
    zeros = [0] * draws
    began = time.perf_counter()
    values = measurement(zeros)
    return np.array(values, dtype=np.int64), draws / (time.perf_counter() - began)


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the p value of counts under exact probabilities. Neighbouring outcomes are merged until each expects 20 counts."""
    expected = probabilities * counts.sum()
    groups, filled, at = np.zeros(len(expected), int), 0.0, 0
    for i, value in enumerate(expected):
        groups[i] = at
        filled += value
        if filled >= LEAST_EXPECTED:
            at, filled = at + 1, 0.0
    groups[groups == at] = max(at - 1, 0) if filled < LEAST_EXPECTED else at
    observed, merged = np.bincount(groups, weights=counts), np.bincount(groups, weights=expected)
    return float(stats.chisquare(observed, merged * observed.sum() / merged.sum()).pvalue)


def number_p(step: int, draws: int) -> float:
    """Return the p value of clamped rows whose true value is this grid step, under their exact probabilities."""
    out = local_rows(np.full((draws, 1), step / THRESHOLD_STEPS), columns=[NUMBER], epsilon=EPSILON).values[:, 0]
    noise = np.array(noise_table(EPSILON), dtype=float) / THRESHOLD_WHOLE
    at = np.clip(np.arange(-THRESHOLD_STEPS, THRESHOLD_STEPS + 1) + step, 0, THRESHOLD_STEPS)
    counts = np.bincount(np.rint(out * THRESHOLD_STEPS).astype(int), minlength=THRESHOLD_STEPS + 1)
    return chi_square(counts, np.bincount(at, weights=noise, minlength=THRESHOLD_STEPS + 1))


def category_p(draws: int) -> float:
    """Return the p value of randomised response under its exact probabilities."""
    out = local_rows(np.zeros((draws, 1)), columns=[CATEGORY], epsilon=EPSILON).values[:, 0].astype(int)
    stays = math.exp(EPSILON) / (math.exp(EPSILON) + 2)
    return chi_square(np.bincount(out, minlength=3), np.array([stays, (1 - stays) / 2, (1 - stays) / 2]))


def audits(draws: int) -> list[dict[str, Any]]:
    """Audit each sampler on its worst pair of inputs, with the most distinguishing event, chosen beforehand."""
    number, low, high = [NUMBER], np.array([0.0]), np.array([1.0])
    row, here, there = [NUMBER, CATEGORY], np.array([0.0, 0.0]), np.array([1.0, 1.0])
    without, within = (_gaussian(total, draws) for total in (0, GRID))
    proven = {
        "rows: number": _local(number, EPSILON, low, high, draws),
        "rows: category": _local([CATEGORY], EPSILON, low, high, draws),
        "rows: both in one row": _local(row, 2 * EPSILON, here, there, draws),
        "discrete Gaussian": mu_at_least(int((without > 0.5).sum()), int((within <= 0.5).sum()), draws),
    }
    return [{"part": f"audit of {name}", "draws": draws, "ratio": ratio} for name, ratio in proven.items()]


def _local(columns: Sequence[Column], epsilon: float, value: np.ndarray, other: np.ndarray, draws: int) -> float:
    """Return the proven over the claimed epsilon of rows ``value`` and ``other`` (F,). The event is the output ``value``."""
    hits = [
        int((local_rows(np.tile(true, (draws, 1)), columns=columns, epsilon=epsilon).values == value).all(axis=1).sum())
        for true in (value, other)
    ]
    return epsilon_at_least(hits[0], hits[1], draws) / epsilon


def _gaussian(total: int, draws: int) -> np.ndarray:
    """Release sums of one number at mu = 1. A person contributes the whole clip or nothing."""
    return noise_once(np.full(draws, total), clip=1.0, sigma=1.0, share=1.0, steps=GRID).values


def audited_moments(runs: int) -> dict[str, Any]:
    """Audit the whole moments release, with half of the runs in each of two processes."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        halves: Sequence[Audited] = pool.map(audit, [runs // 2] * 2)
    return _joined(halves)


def _joined(halves: Sequence[Audited]) -> dict[str, Any]:
    first = halves[0]
    runs = sum(h.runs for h in halves)
    proven = mu_at_least(sum(h.false_positives for h in halves), sum(h.false_negatives for h in halves), runs)
    return {
        "part": "audit of the whole moments path", "runs": runs, "claimed_mu": first.claimed, "persons_mu": first.reached,
        "proven_mu": proven, "mean_difference": float(np.mean([h.mean for h in halves])),
        "deviation": float(np.mean([h.deviation for h in halves])), "ratio": proven / first.claimed,
    }  # fmt: skip


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    draws, runs = (QUICK_DRAWS, QUICK_RUNS) if options.quick else (DRAWS, RUNS)
    fast, found, planted = bulk(draws), audits(draws), faults(draws)
    path = audited_moments(runs)
    samplers = [row["ratio"] for row in found]
    rows = [
        fast,
        *found,
        path,
        *({"part": f"fault: {f.name}", "claimed": f.claimed, "proven": f.proven} for f in planted),
    ]
    for row in rows:
        print(", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    p = min(value for name, value in fast.items() if name.startswith("p_"))
    checks = [
        Check("bulk_vs_opendp", fast["bulk_vs_opendp"], 50.0),
        Check("chi_square_p_smallest", p, 1e-4),
        Check("audit_lower_bound_ratio", min(samplers), 0.95),
        Check("moments_audit_ratio", path["ratio"], 0.85 if options.quick else 0.95),
        Check("audit_never_above", max(samplers), 1.0, at_most=True),
        Check("moments_audit_never_above", path["ratio"], 1.0, at_most=True),
        Check("faults_caught", float(sum(f.caught for f in planted)), float(len(planted))),
    ]
    finish("mechanisms", options, rows, checks)


if __name__ == "__main__":
    main(arguments(__doc__, seeds=1).parse_args())
