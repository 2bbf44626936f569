"""Measure health checks: how often a good version is taken back, and how soon a bad one is.

Identical arms: half a year of people who stay or are new every week, at shares of the smaller arm from .03 to .5. The worlds are
calm, or have an incident, weekends, a drift or a recovery, heavy tails or a few people whom everything hurts. In half of them the
watched version speaks to only 60% as often. In some the holdback is drawn anew each week.
Faults: harm from the first week and after 13 good weeks, harm to few people, harm that few report, and harm on some weekdays.
Latency: 13 weeks in which whole minutes are slow, exactly as often as allowed, and bad hours after a month.
Confidence bounds of rates are exact (Clopper and Pearson), each at 95%.
"""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.communities import MetricName, Times, World, above, live
from benchmarks.many_rollouts import lived_weeks, rollouts
from benchmarks.slow_minutes import bad_hours, quiet_latency, slow_for_both
from deployments.engine.health.evidence import LIVED_COLUMNS, ArmKind, Evidence, Latency, LivedWeeks
from deployments.engine.health.metrics import metrics_of
from deployments.engine.health.report import health_of
from deployments.engine.health.triggers import triggers_of

HALF_A_YEAR, LATE = 26, 14
_AT_ONCE = 40  # runs in memory
_TIMES: tuple[Times, ...] = ("calm", "incident", "weekend", "drift", "recovery")
_BASES: dict[MetricName, float] = {"empathy": 0.8, "false_intervention": 0.08, "silence": 0.08}
_HELD = (0.03, 0.05, 0.10, 0.20, 0.50)
_TRAITS: Iterator[Literal["usual", "heavy", "few"]] = itertools.cycle(("usual", "heavy", "few"))


def identical_arms(runs: int, seed: int) -> list[dict[str, Any]]:
    """Count identical versions that are taken back, or merely called worse, in half a year."""
    rows: list[dict[str, Any]] = []
    for metric, held, times in itertools.product(_BASES, _HELD, _TIMES):
        for speaks, new, rotates in ((1.0, False, False), (0.6, False, False), (0.6, True, False), (1.0, False, True)):
            world = World(
                metric, 100 if new else 400, 1 - held, _BASES[metric], HALF_A_YEAR, times, speaks=speaks, new=new,
                rotates=rotates, traits=next(_TRAITS), rate=7.0 if speaks == 1.0 else 2.0,
            )  # fmt: skip
            few = max(runs // (4 if new or rotates else 1), 1)
            proven, back = _until(world, few, [seed, 1, len(rows)], HALF_A_YEAR)
            rows.append(
                {"part": "identical arms", "metric": metric, "held": held, "times": times, "speaks": speaks, "new": new,
                 "rotates": rotates, "traits": world.traits, "runs": few, "proven": int(proven.sum()),
                 "taken_back": int(back.sum())}
            )  # fmt: skip
    return rows


def _until(world: World, runs: int, seed: list[int], week: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (runs,) flags of what is proven, and of what is taken back, until the end of a week."""
    rng, found = np.random.default_rng(seed), []
    for begin in range(0, runs, _AT_ONCE):
        found.append([flags[:, week - 1] for flags in rollouts(world, live(world, rng, min(_AT_ONCE, runs - begin)))])
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


_STAYS = World("empathy", 1_000, 0.95, 0.8, 8)
_SPEAKS = replace(_STAYS, metric="false_intervention", base=0.08)
_FAULTS: tuple[tuple[str, World], ...] = (
    ("empathy -10%", replace(_STAYS, fault=-0.10)),
    ("empathy -15%", replace(_STAYS, fault=-0.15)),
    ("empathy -15%, 2 a week", replace(_STAYS, fault=-0.15, rate=2.0)),
    ("empathy -15%, heavy tails", replace(_STAYS, fault=-0.15, traits="heavy")),
    ("false interventions x2", replace(_SPEAKS, fault=1.0)),
    ("false interventions x2, 2 a week", replace(_SPEAKS, fault=1.0, rate=2.0)),
    ("false interventions x3", replace(_SPEAKS, fault=2.0)),
    ("a tenth of people hurt ten times as often", replace(_SPEAKS, fault=9.0, hurt=0.1)),
    ("a twentieth of people lose all empathy", replace(_STAYS, fault=-0.95, hurt=0.05)),
    ("harm .30, of which 30% is reported", replace(_SPEAKS, metric="silence", fault=2.75, reports=0.3)),
    ("harm .30, of which 30% is reported, 60% answer", replace(_SPEAKS, metric="silence", fault=2.75, reports=0.3, answers=0.6)),
)  # fmt: skip
_ROTATING_ONLY = (("false interventions x1.5", replace(_SPEAKS, fault=0.5)),)


def faults(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure faults on people who stay, 5% of whom are held back: from the first week, and after 13 good weeks."""
    rows: list[dict[str, Any]] = []
    for late, rotates in itertools.product((False, True), (False, True)):
        for name, world in (*_FAULTS, *(_ROTATING_ONLY if rotates else ())):
            onset = LATE if late else 1
            lives = replace(world, rotates=rotates, onset=onset, weeks=onset + 7)
            for people in (400, 1_000) if not late else (1_000,):
                rows.append({"part": "late fault" if late else "fault", "fault": name, "rotates": rotates, "people": people}
                            | _found(replace(lives, people=people), runs, [seed, 2, len(rows)]))  # fmt: skip
    return rows


def _found(world: World, runs: int, seed: list[int]) -> dict[str, Any]:
    rng, weeks = np.random.default_rng(seed), np.zeros(0)
    for begin in range(0, runs, _AT_ONCE):
        _, back = rollouts(world, live(world, rng, min(_AT_ONCE, runs - begin)))
        since = back[:, world.onset - 1 :]
        weeks = np.r_[weeks, np.where(since.any(axis=1), since.argmax(axis=1) + 1.0, np.inf)]
    return {"runs": runs} | {f"in_{n}_weeks": float((weeks <= n).mean()) for n in (1, 2, 4, 8)}


def weekdays(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure harm on some weekdays only, by whole reports: 380 people against 20, one intervention a day for two weeks."""
    rows = []
    for bad_days in (0, 1, 6):
        rng, shown, back = np.random.default_rng([seed, 3, bad_days]), [], 0
        for _ in range(runs):
            found = Evidence(_days(rng, bad_days), "holdback", Latency(), 0.05)
            metric = metrics_of(found)[1]
            shown.append(metric.value)
            back += any(t.fires for t in triggers_of(found))
        rows.append(
            {"part": "harm on some weekdays", "weekdays": bad_days, "runs": runs, "true_share": bad_days / 7 * 0.98 + 0.02,
             "shown": float(np.mean(np.array(shown, dtype=float))), "taken_back": back / runs}
        )  # fmt: skip
    return rows


def _days(rng: np.random.Generator, bad_days: int) -> LivedWeeks:
    person, week = np.tile(np.arange(400), 2), np.repeat([1, 2], 400)
    ours = person < 380
    harm = np.where(ours, bad_days, 0) + rng.binomial(np.where(ours, 7 - bad_days, 7), 0.02)
    seven = np.full(len(person), 7.0)
    by_name = {
        "interventions": seven,
        "answered": seven,
        "harmful": harm,
        "rated": seven,
        "empathy_sum": seven - 0.8 * harm,
    }
    sums = np.stack([by_name.get(name, 0.0 * seven) for name in LIVED_COLUMNS], axis=1).astype(float)
    return LivedWeeks(week, person, ours, sums, 1, 2)


def whole_reports(runs: int, seed: int) -> dict[str, Any]:
    """Evaluate complete health reports of a version as good as its holdback, with every metric exactly at its bar."""
    taken_back, beyond = 0, dict.fromkeys(("empathy", "false_intervention", "reward_stability"), 0)
    for run in range(runs):
        rng = np.random.default_rng([seed, 4, run])
        table = _at_the_bars(rng, 13)
        reports = [health_of(Evidence(_first_weeks(table, week), "holdback", Latency(), 0.05)) for week in (1, 4, 13)]
        taken_back += any(report.must_roll_back for report in reports)
        for name in beyond:
            beyond[name] += any(m.name == name and m.verdict == "beyond" for r in reports for m in r.metrics)
    return {"part": "whole reports", "runs": runs, "taken_back": taken_back, "at_most": above(taken_back, runs)} | {
        f"{name}_beyond": count for name, count in beyond.items()
    }


def _at_the_bars(rng: np.random.Generator, weeks: int) -> LivedWeeks:
    """Draw 285 people against 15: empathy at .75 and false interventions at .10 on average, and rewards that differ by .25."""
    people = 300
    own = rng.beta(6, 2, people), rng.beta(0.9, 8.1, people), rng.normal(0.5, 0.25, people)
    person, week = np.tile(np.arange(people), weeks), np.repeat(np.arange(1, weeks + 1), people)
    count = np.full(len(person), 4.0)
    empathy, harm = rng.binomial(16, own[0][person]) / 4, rng.binomial(4, own[1][person])
    sums = np.stack([count, count, harm, count, empathy, count, count * rng.normal(own[2][person], 0.1)], axis=1)
    return LivedWeeks(week, person, person < 285, sums.astype(float), 1, weeks)


def _first_weeks(table: LivedWeeks, week: int) -> LivedWeeks:
    rows = table.week <= week
    return LivedWeeks(table.week[rows], table.person[rows], table.ours[rows], table.sums[rows], 1, week)


def same_as_the_product(runs: int, seed: int) -> dict[str, Any]:
    """Compare the simulation of many rollouts with health reports on the same lives: what is taken back by the last week."""
    differ = compared = 0
    for metric, rotates in itertools.product(_BASES, (False, True)):
        fault = -0.12 if metric == "empathy" else 1.0
        world = World(metric, 300, 0.9, _BASES[metric], 4, fault=fault, rotates=rotates)
        lived = live(world, np.random.default_rng([seed, 5, compared]), runs)
        proven, _ = rollouts(world, lived)
        kind: ArmKind = "rotating" if rotates else "holdback"
        for run in range(runs):
            weeks, name = lived_weeks(world, lived, run)
            found = Evidence(weeks, kind, Latency(), 0.05)
            differ += any(t.proven for t in triggers_of(found) if t.name == name) != proven[run, -1]
            compared += 1
    return {"part": "same as the product", "runs": compared, "differ": int(differ)}


def run(options: Namespace) -> list[dict[str, Any]]:
    """Run all parts, one after the other."""
    unit = options.seeds * (1 if options.quick else 4)
    parts = (
        (identical_arms, 4), (faults, 12), (weekdays, 3), (whole_reports, 16), (same_as_the_product, 2), (slow_for_both, 60),
        (quiet_latency, 240), (bad_hours, 30),
    )  # fmt: skip
    found = [part(count * unit, 0) for part, count in parts]
    return [row for part in found for row in (part if isinstance(part, list) else [part])]


def checks(rows: Sequence[dict[str, Any]], *, quick: bool) -> list[Check]:
    """Return the checks on 95% bounds of rates. Quick runs are too few for bounds, so they check the rates themselves."""

    def one(part: str, **fields: Any) -> dict[str, Any]:
        return next(r for r in rows if r["part"] == part and all(r.get(k) == v for k, v in fields.items()))

    def most(measured: Sequence[dict[str, Any]], count: str) -> float:
        counted, runs = sum(r[count] for r in measured), sum(r["runs"] for r in measured)
        return counted / runs if quick else above(counted, runs)

    def fault(name: str, weeks: int, **fields: Any) -> float:
        return float(one("fault", fault=name, people=1_000, **fields)[f"in_{weeks}_weeks"])

    arms = [r for r in rows if r["part"] == "identical arms"]
    small = [r for r in arms if 0.03 <= r["held"] <= 0.20 and r["metric"] != "silence"]
    whole, days = one("whole reports"), [one("harm on some weekdays", weekdays=n) for n in (1, 6)]
    return [
        Check("identical_arms_taken_back", most(small, "taken_back"), 0.01, at_most=True),
        *(Check(f"identical_{name}", most([r for r in arms if r["metric"] == name], "taken_back"), 0.0025, at_most=True)
          for name in _BASES),
        *(Check(f"identical_{times}", most([r for r in arms if r["times"] == times], "taken_back"), 0.01, at_most=True)
          for times in _TIMES),
        Check("identical_rotating", most([r for r in arms if r["rotates"]], "taken_back"), 0.01, at_most=True),
        Check("metric_rollouts", float(sum(r["runs"] for r in small)), 0 if quick else 5_000),
        Check("whole_reports_taken_back", most([whole], "taken_back"), 0.01, at_most=True),
        *(Check(f"false_{name}", most([whole], f"{name}_beyond"), 0.01, at_most=True)
          for name in ("empathy", "false_intervention", "reward_stability")),
        Check("empathy_15_in_2_weeks", fault("empathy -15%", 2, rotates=False), 0.85),
        Check("doubled_harm_in_4_weeks", fault("false interventions x2", 4, rotates=False), 0.45),
        Check("doubled_harm_rotating_in_4_weeks", fault("false interventions x2", 4, rotates=True), 0.90),
        Check("unreported_harm_in_8_weeks", fault("harm .30, of which 30% is reported", 8, rotates=False), 0.90),
        Check("late_fault_rotating_in_8_weeks",
              float(one("late fault", fault="false interventions x2", rotates=True)["in_8_weeks"]), 0.90),
        Check("six_weekdays_found", days[1]["taken_back"], 0.99),
        *(Check(f"weekdays_{d['weekdays']}_shown_off_by", abs(d["shown"] - d["true_share"]), 0.01, at_most=True) for d in days),
        Check("differs_from_the_product", float(one("same as the product")["differ"]), 0.0, at_most=True),
        Check("slow_for_both", most([one("slow for both arms")], "alarms"), 0.01, at_most=True),
        Check("false_latency", most([one("latency as it may be")], "alarms"), 0.01, at_most=True),
        Check("bad_hour_found", one("bad hour after a month", slow_share=0.2)["found_in_60_minutes"], 0.95),
    ]  # fmt: skip


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    rows = run(options)
    for row in rows:
        print(", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    finish("health", options, rows, checks(rows, quick=options.quick))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=5).parse_args())
