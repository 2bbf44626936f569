"""Measure health checks: how often a good version is judged harmful, and how soon a bad one is detected.

False alarms: both arms have the same mean, and people stay for a year with persistent differences. Triggers are checked at every
block of every week and every closed span. For comparison, naive bets treat each week's values as those of new people. Then
complete health reports are evaluated, as they are stored.
Power: faults from the first day on people with a single intervention, faults on lasting people from the first week and after 13
good weeks, and faults on people who are new every week.
Latency: 13 weeks in which whole minutes are slow, exactly as often as allowed, and bad hours after a month.
Confidence bounds of rates are exact (Clopper and Pearson), each at 95%.
"""

from __future__ import annotations

import multiprocessing
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.communities import (
    EMPATHY,
    FALSE_INTERVENTION,
    Community,
    above,
    below,
    detection_weeks,
    detection_weeks_new_people,
    false_alarms,
    naive_alarms,
)
from benchmarks.slow_minutes import bad_hours, quiet_latency
from core.arrays import Floats
from deployments.engine.evidence.cohort_series import CohortSeries
from deployments.engine.evidence.e_process import PairedBlocks
from deployments.engine.health import (
    FALSE_ROLLBACK_ALPHA,
    HEALTH_METRICS,
    Arm,
    Evidence,
    HealthReport,
    Holdback,
    Latency,
    health_of,
)

YEAR, QUARTER, NAIVE_WEEKS = 52, 13, 26
OF_PEOPLE = ("empathy", "false_intervention", "reward_stability")
SPREADS = (0.08, 0.12, 0.2)
LOOKS = (1, 4, 13, 26, 52)
LATE_WEEKS = 13


def triggers(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure false alarms with 20 people in the holdback against 380, and 100 against 1,900."""
    rows = []
    for metric, mean in ((FALSE_INTERVENTION, 0.08), (EMPATHY, 0.8)):
        for held, spread in (*((20, spread) for spread in SPREADS), (100, 0.12)):
            rng = np.random.default_rng([seed, 1, held, round(100 * spread)])
            community = Community(metric, held, mean, spread)
            few = runs if held == 20 else runs // 5
            alarms = int(false_alarms(community, rng, few, YEAR).sum())
            naive = naive_alarms(community, rng, max(few // 5, 50), NAIVE_WEEKS)
            rows.append(
                {"part": f"false alarms, {metric.name}", "people": 20 * held, "spread": spread, "runs": few, "alarms": alarms,
                 "at_most": above(alarms, few), "naive_rate": float(naive.mean()), "naive_weeks": NAIVE_WEEKS}
            )  # fmt: skip
    return rows


def looks(runs: int, seed: int) -> dict[str, Any]:
    """Evaluate complete health reports of versions as good as the holdback, at the ends of some weeks of a year.

    All metrics lie near their thresholds, where false alarms are most likely. There are 380 lasting people against 20.
    """
    rolled_back = 0
    beyond: dict[str, int] = {}
    for run in range(runs):
        reports = _reports_of(np.random.default_rng([seed, 2, run]))
        rolled_back += any(report.must_roll_back for report in reports)
        for name in {m.name for report in reports for m in report.metrics if m.verdict == "beyond"}:
            beyond[name] = beyond.get(name, 0) + 1
    return {
        "part": "whole looks in a year",
        "runs": runs,
        "taken_back": rolled_back,
        "at_most": above(rolled_back, runs),
    } | {f"{name}_beyond": beyond.get(name, 0) for name in OF_PEOPLE}


def _reports_of(rng: np.random.Generator) -> list[HealthReport]:
    """Simulate empathy at exactly .75 and false interventions at .10, the hardest case for a bound. Rewards differ by .25."""
    arms = [_weekly_values(rng, n) for n in (380, 20)]
    reports = []
    for week in LOOKS:
        deployed, control = (Arm(*(_until(values, week) for values in arm)) for arm in arms)
        reports.append(health_of(Evidence(deployed, Holdback(control, PairedBlocks(19, 1)), Latency(), 0.05)))
    return reports


def _weekly_values(rng: np.random.Generator, n: int) -> list[Floats]:
    """Draw (weeks, people) values of the three metrics: empathy, false interventions, reward."""
    empathy, harm, reward = rng.beta(6, 2, n), rng.beta(0.9, 8.1, n), rng.normal(0.5, 0.25, n)
    return [
        np.array([EMPATHY.week(rng, empathy) for _ in range(YEAR)]),
        np.array([FALSE_INTERVENTION.week(rng, harm) for _ in range(YEAR)]),
        rng.normal(reward, 0.1, (YEAR, n)),
    ]


def _until(values: Floats, week: int) -> CohortSeries:
    """Return the series that a check in this week uses: the values of this span and of the three spans before it."""
    first = max(0, (week - 1) // 4 - 3) * 4
    part, n = values[first:week], values.shape[1]
    starts = tuple(range(0, part.size, n))
    return CohortSeries(part.ravel(), np.tile(np.arange(n), len(part)), starts, first + 1, max(0, week - 2 - first))


def early(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure detection of a version that everybody dismisses (empathy .05 against .9).

    Each person has one intervention, and is in the holdback at random.
    """
    rows = []
    for people, share in ((240, 0.05), (300, 0.05), (500, 0.05), (240, 0.10)):
        rng = np.random.default_rng([seed, 3, people, round(100 * share)])
        found = sum(_early(rng, people, share, worse=True) for _ in range(runs))
        wrong = sum(_early(rng, people, share, worse=False) for _ in range(runs))
        rows.append(
            {"part": "fault from the first day", "people": people, "held_back": share, "runs": runs, "found": found / runs,
             "at_least": below(found, runs), "good_ones_taken_back": wrong}
        )  # fmt: skip
    return rows


def _early(rng: np.random.Generator, people: int, share: float, *, worse: bool) -> bool:
    held = rng.binomial(people, share)
    low = 0.05 if worse else 0.9
    deployed, control = (
        Arm(CohortSeries(np.clip(rng.normal(mean, 0.05, n), 0, 1)), CohortSeries(np.full(n, mean < 0.5, dtype=float)))
        for mean, n in ((low, people - held), (0.9, held))
    )
    blocks = PairedBlocks.of_holdback(round(10_000 * share))
    return any(t.fires for t in health_of(Evidence(deployed, Holdback(control, blocks), Latency(), 0.05)).triggers)


FAULTS = (
    (FALSE_INTERVENTION, 0.08, 0.16),
    (FALSE_INTERVENTION, 0.08, 0.24),
    (FALSE_INTERVENTION, 0.08, 0.40),
    (FALSE_INTERVENTION, 0.08, 0.90),
    (EMPATHY, 0.80, 0.70),
    (EMPATHY, 0.80, 0.60),
    (EMPATHY, 0.80, 0.30),
)


def faults(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure faults on lasting people, from the first week and after 13 good weeks: shares detected in 1, 4 and 13 weeks."""
    rows = []
    for onset in (1, LATE_WEEKS + 1):
        for held in (20, 50, 200):
            for metric, mean, worse in FAULTS:
                rng = np.random.default_rng([seed, 4, onset, held, round(100 * worse)])
                community = Community(metric, held, mean, 0.1, worse, onset)
                found = detection_weeks(community, rng, max(runs * 20 // held // 4, 40), onset + QUARTER - 1)
                rows.append(
                    {"part": "late fault" if onset > 1 else "fault", "metric": metric.name, "people": 20 * held, "mean": mean,
                     "worse": worse, "runs": len(found.trigger)}
                    | {f"found_in_{weeks}": float((found.trigger <= weeks).mean()) for weeks in (1, 4, 13)}
                    | {"in_13_by_weeks_alone": float((found.weeks_alone <= 13).mean())}
                    | {"beyond_its_threshold_in_1": float((found.threshold <= 1).mean())}
                )  # fmt: skip
    return rows


def new_people(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure faults from the first week with a hundred new people per week, five of them in the holdback."""
    rows = []
    for metric, mean, worse in FAULTS:
        rng = np.random.default_rng([seed, 7, round(100 * worse)])
        after = detection_weeks_new_people(Community(metric, 5, mean, 0.1, worse, lasting=False), rng, runs, QUARTER)
        rows.append(
            {"part": "fault, a hundred new people a week", "metric": metric.name, "mean": mean, "worse": worse, "runs": runs}
            | {f"found_in_{weeks}": float((after <= weeks).mean()) for weeks in (1, 4, 13)}
        )  # fmt: skip
    return rows


def rewards(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure a reward that is lower from the first week on. 380 lasting people against 20 differ by .25. The margin is .05."""
    rows = []
    for drop in (0.2, 0.3, 0.4):
        found = np.zeros(3)
        for run in range(runs):
            rng = np.random.default_rng([seed, 8, round(100 * drop), run])
            deployed, control = (
                rng.normal(rng.normal(mean, 0.25, n), 0.1, (QUARTER, n)) for mean, n in ((-drop, 380), (0.0, 20))
            )
            for i, week in enumerate((1, 4, QUARTER)):
                holdback = Holdback(Arm(reward=_until(control, week)), PairedBlocks(19, 1))
                look = health_of(Evidence(Arm(reward=_until(deployed, week)), holdback, Latency(), 0.05))
                found[i] += look.metrics[3].verdict == "beyond"
        shares = {f"found_in_{weeks}": float(n / runs) for weeks, n in zip((1, 4, QUARTER), found, strict=True)}
        rows.append({"part": "lower reward", "people": 400, "drop": drop, "runs": runs} | shares)
    return rows


def _call(job: tuple[Any, ...]) -> Any:
    part, *part_arguments = job
    return part(*part_arguments)


def run(options: Namespace) -> list[dict[str, Any]]:
    """Run all parts in two processes, the longest first."""
    unit = options.seeds * (1 if options.quick else 5)
    runs = {
        looks: 50,
        quiet_latency: 100,
        triggers: 100,
        faults: 100,
        early: 50,
        rewards: 10,
        new_people: 50,
        bad_hours: 50,
    }
    jobs = [(part, count * unit, 0) for part, count in runs.items()]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(_call, jobs, chunksize=1)
    return [row for part in parts for row in (part if isinstance(part, list) else [part])]


def checks(rows: Sequence[dict[str, Any]], *, quick: bool) -> list[Check]:
    """Return the checks on 95% bounds of rates. Quick runs are too few for bounds, so they check the rates themselves."""

    def one(part: str, **fields: Any) -> dict[str, Any]:
        return next(r for r in rows if r["part"] == part and all(r.get(k) == v for k, v in fields.items()))

    def most(measured: Sequence[dict[str, Any]], count: str) -> float:
        return max(r[count] / r["runs"] if quick else above(r[count], r["runs"]) for r in measured)

    whole = one("whole looks in a year")
    alarms = [r for r in rows if r["part"].startswith("false alarms") and r["people"] == 400]
    first = one("fault from the first day", people=240, held_back=0.05)
    late = one("late fault", metric="false intervention", people=1_000, worse=0.4)
    slow = one("late fault", metric="false intervention", people=4_000, worse=0.16)
    return [
        Check("false_rollbacks_lasting", most([whole], "taken_back"), 0.01, at_most=True),
        Check("false_triggers_lasting", most(alarms, "alarms"), FALSE_ROLLBACK_ALPHA / HEALTH_METRICS, at_most=True),
        *(Check(f"false_{name}", most([whole], f"{name}_beyond"), 0.01, at_most=True) for name in OF_PEOPLE),
        Check("false_latency", most([one("latency as it may be")], "alarms"), 0.01, at_most=True),
        Check("weeks_taken_for_people", max(r["naive_rate"] for r in alarms), 0.1),
        Check("early_fault_found", first["found"], 0.95),
        Check("late_fault_found", late["found_in_4"], 0.9),
        Check("slow_late_fault_found", slow["found_in_13"], 0.75),
        Check("bad_hour_found", one("bad hour after a month", slow_share=0.2)["found_in_60_minutes"], 0.95),
    ]


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    rows = run(options)
    for row in rows:
        print(", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    finish("health", options, rows, checks(rows, quick=options.quick))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=4).parse_args())
