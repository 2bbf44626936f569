"""``dp-accounting`` (Google) as the independent oracle of compositions, in an environment of its own, for it pins attrs < 24.

Run with that environment's interpreter it is a script: questions as JSON on standard input, answers on standard output.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent.parent / ".peers" / "dp_accounting"
PACKAGE = "dp-accounting==0.6.0"


def oracle(questions: list[dict[str, Any]]) -> list[float]:
    """Epsilon of each question; installed at first use (about a minute)."""
    python = HOME / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], check=True)
    run = subprocess.run(
        [str(python), __file__], input=json.dumps(questions), capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    answers: list[float] = json.loads(run.stdout.splitlines()[-1])
    return answers


def answer(question: dict[str, Any]) -> float:
    """``closed``: one Gaussian by its exact delta; ``pld``: Gaussians and Laplaces by privacy loss distributions, rounded up;
    ``rdp``: the moments accountant with Poisson sampling, as it was published.
    """
    import dp_accounting as dpa  # type: ignore[import-not-found, unused-ignore]

    kind, delta = question["kind"], question["delta"]
    if kind == "closed":
        sigma = question["sigma"]
        return float(dpa.get_epsilon_gaussian(sigma, delta))
    if kind == "rdp":
        orders = list(range(2, 65))
        accountant = dpa.rdp.RdpAccountant([float(order) for order in orders])
        step = dpa.PoissonSampledDpEvent(question["q"], dpa.GaussianDpEvent(question["sigma"]))
        accountant.compose(dpa.SelfComposedDpEvent(step, question["steps"]))
        # As in 2016: the least of rdp + log(1 / delta) / (order - 1); today's conversion would say 1.04.
        return min(float(r) - math.log(delta) / (a - 1) for a, r in zip(orders, accountant._rdp, strict=True))
    accountant = dpa.pld.PLDAccountant(value_discretization_interval=question.get("interval", 1e-4))
    for sigma in question.get("sigmas", ()):
        accountant.compose(dpa.GaussianDpEvent(sigma))
    for epsilon in question.get("epsilons", ()):
        accountant.compose(dpa.LaplaceDpEvent(1 / epsilon))
    return float(accountant.get_epsilon(delta))


if __name__ == "__main__":
    print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
