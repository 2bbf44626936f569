"""Measure rollouts: what is taken back by mistake, how soon faults are found, and what is promoted that should not be.

``python -m benchmarks.rollouts --json``: by the product's own decision functions, with people once a bet.

* ``harmless``: rollouts of candidates that change nothing, with all guardrails, shares of .03 to .20, incidents, weekends, drifts
  and recoveries, and 1 to 20 interventions a person and week.
* ``bets``: people of both arms until a fault is proven, faults that begin late, and harm that few report.
* ``promotions``: whole rollouts of candidates whose gate was not sure, until the product ends them.
* ``ab``: false winners, and people until a lift is proven, with and without people's past.
* ``peers``: the same streams of people judged by the rules of other tools.

Bounds are exact one-sided 95% bounds (Clopper and Pearson 1934).
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from benchmarks.common import Check, arguments, finish
from benchmarks.parallel import lower_bound, spread, upper_bound
from benchmarks.rollout_bets import (
    AB_CASES,
    FAULTS,
    SILENT,
    ab_test,
    fault,
    late_fault,
    silent_fault,
    slow_fault,
    without_fault,
)
from benchmarks.rollout_lives import CASES, harmless, rollout
from benchmarks.rollout_peers import WORLDS, peers, print_peers

PARTS = ("harmless", "bets", "promotions", "ab", "peers")
PEOPLE, FEW = 1_000, 400


def harmless_rows(runs: int, processes: int) -> list[dict[str, Any]]:
    """Count harmless candidates that are taken back, by what moves both arms."""
    found = list(spread(harmless, [(run % 240, run) for run in range(runs)], processes))
    rows = []
    for times in dict.fromkeys(r["times"] for r in found):
        mine = [r["proven"] for r in found if r["times"] == times]
        names = [name for proven in mine for name in proven]
        by_name = {name: names.count(name) for name in sorted(set(names))}
        rows.append(
            {"part": "harmless", "times": times, "runs": len(mine), "taken_back": sum(map(bool, mine)), "by": by_name}
        )
    return rows


def bet_rows(runs: int, processes: int) -> list[dict[str, Any]]:
    """Find faults by bets, and look for them where there are none."""
    rows = list(spread(fault, [(name, runs, 0) for name in FAULTS], processes))
    rows += spread(slow_fault, [(ramps, runs, 0) for ramps in (False, True)], processes)
    rows += spread(late_fault, [(mean, runs, 0) for mean in (0.595, 0.63)], processes)
    cases = [(i, harm, runs, 0) for i in range(len(SILENT)) for harm in (0.30, 0.08)]
    rows += spread(silent_fault, cases, processes)
    return rows + [row for some in spread(without_fault, [(runs, 0)], processes) for row in some]


def promotion_rows(runs: int, processes: int) -> list[dict[str, Any]]:
    """Count how rollouts of unsure candidates end."""
    cells = [(PEOPLE, 2.0), (PEOPLE, 7.0), (FEW, 2.0)]
    tasks = [
        (name, people, rate, seed)
        for name in CASES
        for people, rate in cells
        for seed in range(runs if people == PEOPLE and name != "equal" else max(runs // 4, 8))
    ]
    found = list(spread(rollout, tasks, processes))
    rows = []
    for name in CASES:
        for people, rate in cells:
            mine = [r for r in found if (r["case"], r["people"], r["interventions"]) == (name, people, rate)]
            steps = [r["step"] for r in mine]
            row = {"part": "promotions", "case": name, "people": people, "interventions": rate, "runs": len(mine)}
            row |= {step: steps.count(step) for step in ("promote", "roll_back", "pause", "end")}
            row |= {"proven_better": sum(r["label"] == "proven better" for r in mine)}
            rows.append(row | {"weeks": sum(r["weeks"] for r in mine) / len(mine)})
    return rows


def ab_tasks(runs: int) -> list[tuple[int, int, int]]:
    """Return the A/B tests to run. Those without a lift are more, because false winners are few."""
    return [(case, runs if lift else 2 * runs, 0) for case, (lift, _) in enumerate(AB_CASES)]


def checks(rows: Sequence[dict[str, Any]], *, quick: bool) -> list[Check]:
    """Return the checks of the parts that ran. Quick runs are too few for bounds, so they check rates."""

    def rate(found: int, runs: int, *, at_most: bool) -> float:
        bound = upper_bound if at_most else lower_bound
        return found / runs if quick else bound(found, runs)

    def part(name: str) -> list[dict[str, Any]]:
        return [r for r in rows if r["part"] == name]

    out = []
    if part("harmless"):
        taken, runs = (sum(r[k] for r in part("harmless")) for k in ("taken_back", "runs"))
        out.append(Check("false_rollback", rate(taken, runs, at_most=True), 0.01, at_most=True))
        out.append(Check("harmless_rollouts", float(runs), 0 if quick else 5_000))
    medians = {r["name"]: r["median"] for r in part("fault")}
    out += [Check(name, medians[name], bar, at_most=True) for name, bar in _BARS.items() if name in medians]
    out += _late_and_silent(part, rate)
    out += _promotions(part("promotions"), rate)
    return out + _ab(part("A/B"), rate)


_BARS = {
    "empathy_drop_15": 450, "empathy_drop_10": 800, "false_intervention_doubled": 2_800,
    "false_intervention_doubled_with_ramp": 1_800, "false_intervention_doubled_of_many": 800, "latency_fault": 1_900,
    "latency_fault_with_ramp": 1_400,
}  # fmt: skip


def _late_and_silent(part: Any, rate: Any) -> list[Check]:
    out = [Check("late_fault_caught", r["found"] / r["runs"], 0.99) for r in part("late fault") if r["mean"] == 0.595]
    silent = [r for r in part("silent fault") if r["harm"] == 0.30]
    usual = [r["found"] / r["runs"] for r in silent if r["name"] != "one intervention, 60% answer"]
    if usual:
        out.append(Check("silent_fault_caught", min(usual), 0.90))
        alike = [r for r in part("silent fault") if r["harm"] == 0.08] + part("no fault")
        proven = sum(r["found"] if "found" in r else r["proven"] for r in alike)
        runs = sum(r["runs"] for r in alike)
        out.append(Check("false_proof_of_a_bet", rate(proven, runs, at_most=True), 0.0025, at_most=True))
    return out


def _promotions(rows: list[dict[str, Any]], rate: Any) -> list[Check]:
    out = []
    for name, case, bar in (
        ("better_promoted", "better", 0.90), ("worse_promoted", "worse", 0.03),
        ("harmful_promoted", "more false interventions", 0.03), ("unkind_promoted", "less empathy", 0.03),
    ):  # fmt: skip
        at_most = case != "better"
        for r in (r for r in rows if r["case"] == case and r["people"] == PEOPLE):
            value = rate(r["promote"], r["runs"], at_most=at_most)
            out.append(Check(f"{name}_at_{r['interventions']:g}_a_week", value, bar, at_most=at_most))
    return out


def _ab(rows: list[dict[str, Any]], rate: Any) -> list[Check]:
    out = []
    for r in rows:
        if not r["lift"]:
            wrong = max(r["candidate_wins"])
            out.append(Check(f"wrong_winner_icc_{r['icc']}", wrong / r["runs"], 0.015, at_most=True))
        elif r["icc"] <= 0.1:
            out.append(Check(f"lift_5_icc_{r['icc']}", r["an_arm"], 2_700, at_most=True))
        if r["lift"] and r["icc"]:
            bar = {0.1: 0.96, 0.2: 0.85, 0.3: 0.78}[r["icc"]]
            out.append(Check(f"past_saves_icc_{r['icc']}", r["an_arm_with_past"] / r["an_arm"], bar, at_most=True))
    return out


def main(options: Namespace) -> None:
    """Run the parts, print them with their checks, and store them."""
    unit, processes, rows = (1 if options.quick else options.seeds), options.processes, []
    if "harmless" in options.parts:
        rows += harmless_rows(240 * unit, processes)
    if "bets" in options.parts:
        rows += bet_rows(60 if options.quick else 40 * unit, processes)
    if "promotions" in options.parts:
        rows += promotion_rows(8 if options.quick else 10 * unit, processes)
    if "ab" in options.parts:
        rows += spread(ab_test, ab_tasks(150 if options.quick else 100 * unit), processes)
    for r in rows:
        print(", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in r.items()))
    if "peers" in options.parts:
        tasks = [(world, 100 if options.quick else 40 * unit, 0) for world in range(len(WORLDS))]
        rows += [row for some in spread(peers, tasks, processes) for row in some]
        print_peers(rows)
    finish("rollouts", options, rows, checks(rows, quick=options.quick))


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=25)
    parser.add_argument("--processes", type=int, default=2, help="(default: 2)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    main(parser.parse_args())
