"""Our accounting against an independent oracle, Google's ``dp-accounting``.

Closed forms of one Gaussian must agree to a millionth, and so must accounts of many releases, which the oracle composes as
privacy loss distributions and we as one number. Where ours is a bound (pure releases in an account kept in Gaussian privacy;
zCDP), it must never be the smaller one; zCDP also agrees with the same conversion over the oracle's orders. The oracle itself is
asked for a published figure: the moments accountant's epsilon 1.26 (Abadi et al. 2016: sigma 4, q .01, 10,000 steps, delta 1e-5).
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
    """One Gaussian, each way round."""
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
    """Accounts of many releases with the noise that each really has; those with pure releases are bounds."""
    rows = [_account("composed", {}, gaussian) for gaussian in GAUSSIAN]
    return rows + [_account("bound", pure, gaussian) for pure, gaussian in PURE]


def _account(part: str, pure: dict[float, int], gaussian: dict[float, int]) -> Row:
    made = {e: calibrate(epsilon=e, delta=ACCOUNT_DELTA, maximum=1.0) for e in gaussian}
    rho = sum(made[e].rho_nano * n for e, n in gaussian.items())
    rho += sum(charge_pure(epsilon=e, maximum=1.0).rho_nano * n for e, n in pure.items())
    return _row(
        part, epsilon_of_account(rho, ACCOUNT_DELTA), kind="composed", delta=ACCOUNT_DELTA,
        gaussians=[[made[e].sigma, n] for e, n in gaussian.items()], pure=[[e, n] for e, n in pure.items()],
    )  # fmt: skip


def zcdp() -> list[Row]:
    """Against a Gaussian of this rho, which a bound on all of zCDP must cover, and against the same conversion."""
    rows = []
    for rho, delta in product(RHOS, DELTAS):
        ours = epsilon_of_zcdp(rho, delta)
        rows.append(_row("bound", ours, kind="epsilon", sigma=(2 * rho) ** -0.5, delta=delta))
        rows.append(_row("same conversion", ours, kind="zcdp", rho=rho, delta=delta))
    return rows


def _row(part: str, ours: float, **question: Any) -> Row:
    return {"part": part, "question": question, "ours": ours}


def largest(rows: list[Row], part: str) -> float:
    """The largest difference, relative where the oracle's number is above 1 or a delta."""
    found = [r for r in rows if r["part"] == part]
    scales = [r["oracle"] if r["question"]["kind"] == "delta" else max(1.0, r["oracle"]) for r in found]
    return float(max(abs(r["ours"] - r["oracle"]) / (scale or 1.0) for r, scale in zip(found, scales, strict=True)))


def main(options: Namespace) -> None:
    rows = [*closed_forms(), *accounts(), *zcdp()]
    published = [PUBLISHED | {"published": then} for then in (True, False)]
    *answers, then, now = oracle([*(r["question"] for r in rows), *published])
    for row, theirs in zip(rows, answers, strict=True):
        row["oracle"] = theirs
        summary = ", ".join(f"{k} {v}" for k, v in row["question"].items())
        print(f"{row['part']:>15}: {summary}: ours {row['ours']:.7g}, oracle {theirs:.7g}")
    print(f"published moments accountant: {then:.4f}; by today's conversion {now:.4f}")
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
