"""Check the platform's privacy accounting against an independent oracle, Google's ``dp-accounting``.

Closed forms of one Gaussian must agree to a millionth. So must accounts of many releases, which the oracle composes as privacy
loss distributions and the platform as one number. Where the platform computes a bound (pure releases in a Gaussian account, and
zCDP), the bound must never be below the oracle's value. The zCDP conversion must also agree with the oracle's own conversion.
The oracle must reproduce a published figure: epsilon 1.26 of the moments accountant
(Abadi et al. 2016: sigma 4, q .01, 10,000 steps, delta 1e-5).
"""

from __future__ import annotations

from argparse import Namespace
from itertools import product
from typing import Any

from benchmarks.common import Check, arguments, finish
from benchmarks.peers_dp_accounting import PACKAGES, oracle
from privacy.engine.dp.accounting import (
    calibrate,
    charge_pure,
    epsilon_of_account,
    epsilon_of_gdp,
    gaussian_delta,
    gaussian_mu,
)
from tests.factories.zcdp import epsilon_of_zcdp

SIGMAS, DELTAS = (0.5, 1.0, 2.0, 3.73, 10.0, 40.0), (1e-4, 1e-5, 1e-6, 1e-9)
EPSILONS, RHOS = (0.05, 0.3, 1.0, 3.0, 8.0), (0.001, 0.01, 0.0359, 0.1, 0.5, 1.0, 4.0)
GAUSSIAN = (
    {1.0: 1},
    {1.0: 4},
    {0.5: 24},
    {0.1: 100},
    {0.3: 10, 1.0: 2},
    {0.05: 50, 0.5: 3, 1.0: 1},
)  # epsilon: releases
PURE: tuple[tuple[dict[float, int], dict[float, int]], ...] = (
    ({0.5: 1}, {}), ({1.0: 1}, {}), ({0.1: 10}, {}), ({0.5: 10}, {}), ({1.0: 20}, {}), ({0.05: 100}, {}),
    ({0.5: 2}, {1.0: 1}), ({1.0: 1}, {0.5: 2}), ({0.1: 5, 0.5: 2}, {0.3: 3}), ({1.0: 8}, {1.0: 8}),
)  # fmt: skip
ACCOUNT_DELTA = 1e-6
PUBLISHED = {"kind": "sampled", "sigma": 4.0, "q": 0.01, "steps": 10_000, "delta": 1e-5}
SAME, SAME_ORDERS = 1e-6, 1e-4

Row = dict[str, Any]


def closed_forms() -> list[Row]:
    """Compute epsilon, sigma and delta of a single Gaussian release in closed form."""
    rows = [
        _row("closed", epsilon_of_gdp(1 / s, d), kind="epsilon", sigma=s, delta=d) for s, d in product(SIGMAS, DELTAS)
    ]
    rows += [
        _row("closed", 1 / gaussian_mu(e, d), kind="sigma", epsilon=e, delta=d) for e, d in product(EPSILONS, DELTAS)
    ]
    rows += [
        _row("closed", gaussian_delta(e, 1 / s), kind="delta", sigma=s, epsilon=e) for s, e in product(SIGMAS, EPSILONS)
    ]
    return rows


def accounts() -> list[Row]:
    """Compute accounts of many releases with their actual noise. Accounts with pure releases are bounds."""
    rows = [_account("composed", {}, gaussian) for gaussian in GAUSSIAN]
    return rows + [_account("bound", pure, gaussian) for pure, gaussian in PURE]


def _account(part: str, pure: dict[float, int], gaussian: dict[float, int]) -> Row:
    calibrated = {e: calibrate(epsilon=e, delta=ACCOUNT_DELTA, maximum=1.0) for e in gaussian}
    rho = sum(calibrated[e].rho_nano * n for e, n in gaussian.items())
    rho += sum(charge_pure(epsilon=e, maximum=1.0).rho_nano * n for e, n in pure.items())
    return _row(
        part, epsilon_of_account(rho, ACCOUNT_DELTA), kind="composed", delta=ACCOUNT_DELTA,
        gaussians=[[calibrated[e].sigma, n] for e, n in gaussian.items()], pure=[[e, n] for e, n in pure.items()],
    )  # fmt: skip


def zcdp() -> list[Row]:
    """Compare zCDP bounds with a Gaussian of the same rho, which they must cover, and with the oracle's conversion."""
    rows = []
    for rho, delta in product(RHOS, DELTAS):
        ours = epsilon_of_zcdp(rho, delta)
        rows.append(_row("bound", ours, kind="epsilon", sigma=(2 * rho) ** -0.5, delta=delta))
        rows.append(_row("same conversion", ours, kind="zcdp", rho=rho, delta=delta))
    return rows


def _row(part: str, ours: float, **question: Any) -> Row:
    return {"part": part, "question": question, "ours": ours}


def largest(rows: list[Row], part: str) -> float:
    """Return the largest difference from the oracle. It is relative for deltas and for values above 1."""
    compared = [r for r in rows if r["part"] == part]
    scales = [r["oracle"] if r["question"]["kind"] == "delta" else max(1.0, r["oracle"]) for r in compared]
    return float(max(abs(r["ours"] - r["oracle"]) / (scale or 1.0) for r, scale in zip(compared, scales, strict=True)))


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    rows = [*closed_forms(), *accounts(), *zcdp()]
    published = [PUBLISHED | {"published": then} for then in (True, False)]
    *answers, then, now = oracle([*(r["question"] for r in rows), *published])
    for row, theirs in zip(rows, answers, strict=True):
        row["oracle"] = theirs
        question = ", ".join(f"{k} {v}" for k, v in row["question"].items())
        print(f"{row['part']:>15}: {question}: ours {row['ours']:.7g}, oracle {theirs:.7g}")
    print(f"published moments accountant: {then:.4f}; with today's conversion: {now:.4f}")
    checks = [
        Check("largest_difference", largest(rows, "closed"), SAME, at_most=True),
        Check("composition_difference", largest(rows, "composed"), SAME, at_most=True),
        Check("optimistic", max(r["oracle"] - r["ours"] for r in rows if r["part"] == "bound"), 0.0, at_most=True),
        Check("zcdp_conversion_difference", largest(rows, "same conversion"), SAME_ORDERS, at_most=True),
        Check("published_figure", abs(then - 1.26), 0.01, at_most=True),
    ]
    for check in checks:
        print(f"{check.name}: {check.value:.3g}")
    figure = {"part": "published", "oracle": then, "by_todays_conversion": now, "versions": " ".join(PACKAGES)}
    finish("accounting", options, [*rows, figure], checks)


if __name__ == "__main__":
    main(arguments(__doc__, seeds=1).parse_args())
