"""Our accounting against an independent oracle, Google's ``dp-accounting``.

Where a closed form exists (one Gaussian, or many as one) epsilon must agree to a millionth. Elsewhere (pure releases in an
account kept in Gaussian privacy, zCDP) ours must never be the smaller one. The published figure of the moments accountant (sigma
4, q .01, 10,000 steps, delta 10^-5: epsilon 1.26; Abadi et al. 2016) is asked of the oracle itself.
"""

from __future__ import annotations

import math
from argparse import Namespace
from typing import Any

from benchmarks.common import Check, arguments, finish
from benchmarks.peers_dp_accounting import oracle
from privacy.engine.accounting import (
    NANO,
    calibrate,
    charge_pure,
    epsilon_of_account,
    epsilon_of_gdp,
    epsilon_of_zcdp,
)

SIGMAS, DELTAS = (0.5, 1.0, 2.0, 3.73, 10.0, 40.0), (1e-4, 1e-5, 1e-6)
PUBLISHED = {"kind": "rdp", "sigma": 4.0, "q": 0.01, "steps": 10_000, "delta": 1e-5}
PLD_SLACK = 2e-3  # the oracle's own rounding, always upwards


def closed_forms() -> list[dict[str, Any]]:
    """Single Gaussians, and accounts of many releases, which are one Gaussian of the root of the summed squares."""
    rows = [
        {
            "question": {"kind": "closed", "sigma": s, "delta": d},
            "what": "one Gaussian",
            "ours": epsilon_of_gdp(1 / s, d),
        }
        for s in SIGMAS
        for d in DELTAS
    ]
    for count, epsilon in ((4, 1.0), (24, 0.5), (100, 0.1)):
        made = calibrate(epsilon=epsilon, delta=1e-6, maximum=1.0)
        sigma = math.sqrt(NANO / (2 * made.rho_nano * count))
        ours = epsilon_of_account(made.rho_nano * count, 1e-6)
        question = {"kind": "closed", "sigma": sigma, "delta": 1e-6}
        rows.append({"question": question, "what": f"{count} releases of epsilon {epsilon:g}", "ours": ours})
    return rows


def bounds() -> list[dict[str, Any]]:
    """Accounts whose exact epsilon the oracle approaches from above; ours must not be below it by more than its rounding."""
    rows = []
    for pure, gaussian in (((0.5,), ()), ((0.5, 0.5), (1.0,)), ((1.0,), (0.5, 0.5)), ((0.1,) * 10, ())):
        charges = [charge_pure(epsilon=e, maximum=1.0).rho_nano for e in pure]
        made = [calibrate(epsilon=e, delta=1e-6, maximum=1.0) for e in gaussian]
        ours = epsilon_of_account(sum(charges) + sum(m.rho_nano for m in made), 1e-6)
        question = {"kind": "pld", "epsilons": list(pure), "sigmas": [m.sigma for m in made], "delta": 1e-6}
        rows.append({"question": question, "what": f"pure {pure}, Gaussian {gaussian}", "ours": ours})
    for rho in (0.01, 0.1, 0.5, 1.0):
        question = {"kind": "closed", "sigma": 1 / math.sqrt(2 * rho), "delta": 1e-6}
        rows.append({"question": question, "what": f"zCDP {rho:g}", "ours": epsilon_of_zcdp(rho, 1e-6)})
    return rows


def main(options: Namespace) -> None:
    exact, upper = closed_forms(), bounds()
    answers = oracle([r["question"] for r in (*exact, *upper)] + [PUBLISHED])
    for row, theirs in zip((*exact, *upper), answers[:-1], strict=True):
        row["oracle"] = theirs
        print(f"{row['what']:>45}, delta {row['question']['delta']:g}: ours {row['ours']:.7f}, oracle {theirs:.7f}")
    print(f"published moments accountant: {answers[-1]:.4f}")
    checks = [
        Check("largest_difference", max(abs(r["ours"] - r["oracle"]) for r in exact), 1e-6, at_most=True),
        Check("optimistic", float(sum(r["ours"] < r["oracle"] - PLD_SLACK for r in upper)), 0.0, at_most=True),
        Check("published_figure", abs(answers[-1] - 1.26), 0.01, at_most=True),
    ]
    finish("accounting", options, [*exact, *upper, {"what": "published", "oracle": answers[-1]}], checks)


if __name__ == "__main__":
    main(arguments(__doc__, seeds=1).parse_args())
