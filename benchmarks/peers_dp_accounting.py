"""``dp-accounting`` (Google) as an independent oracle, in an environment of its own, for it pins attrs < 24.

Run with that environment's interpreter it is a script: questions as JSON on standard input, answers on standard output.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent.parent / ".peers" / "dp_accounting"
PACKAGES = ("dp-accounting==0.6.0", "attrs<24")
INTERVAL = (
    2e-5  # of losses that are taken as one; at its default of 1e-4 a hundred releases are rounded up by a millionth
)


def oracle(questions: list[dict[str, Any]]) -> list[float]:
    """The answer to each question; installed at first use (about a minute)."""
    python = HOME / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    if subprocess.run([str(python), "-c", "import dp_accounting"], capture_output=True, check=False).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    run = subprocess.run(
        [str(python), __file__], input=json.dumps(questions), capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    answers: list[float] = json.loads(run.stdout.splitlines()[-1])
    return answers


def answer(question: dict[str, Any]) -> float:
    """By ``kind``; each of the functions below says what it takes."""
    kinds: dict[str, Callable[..., float]] = {
        "epsilon": gaussian_epsilon, "sigma": gaussian_sigma, "delta": gaussian_delta, "composed": composed_epsilon,
        "zcdp": zcdp_epsilon, "sampled": sampled_epsilon,
    }  # fmt: skip
    return kinds[question["kind"]](**{k: v for k, v in question.items() if k != "kind"})


def gaussian_epsilon(sigma: float, delta: float) -> float:
    """Epsilon of one Gaussian of sensitivity 1, in closed form."""
    import dp_accounting as dpa  # type: ignore[import-not-found, unused-ignore]

    return float(dpa.get_epsilon_gaussian(sigma, delta))


def gaussian_sigma(epsilon: float, delta: float) -> float:
    """The least noise of a Gaussian of sensitivity 1, in closed form."""
    import dp_accounting as dpa

    return float(dpa.get_sigma_gaussian(epsilon, delta))


def gaussian_delta(sigma: float, epsilon: float) -> float:
    """Delta of one Gaussian, from its privacy loss."""
    from dp_accounting.pld.privacy_loss_mechanism import (  # type: ignore[import-not-found, unused-ignore]
        GaussianPrivacyLoss,
    )

    return float(GaussianPrivacyLoss(sigma).get_delta_for_epsilon(epsilon))


def composed_epsilon(delta: float, gaussians: list[list[float]], pure: list[list[float]]) -> float:
    """Epsilon of releases one after the other, ``[sigma, count]`` and ``[epsilon, count]``, by privacy loss distributions that
    are rounded up. A pure release is randomised response between two answers: no pure mechanism tells its inputs apart better.
    """
    from dp_accounting.pld import (  # type: ignore[import-not-found, unused-ignore]
        privacy_loss_distribution as pld,
    )

    step: dict[str, Any] = {"value_discretization_interval": INTERVAL}
    parts = [(pld.from_gaussian_mechanism(sigma, **step), count) for sigma, count in gaussians]
    parts += [(pld.from_randomized_response(2 / (1 + math.exp(e)), 2, **step), count) for e, count in pure]
    whole, *others = [part.self_compose(int(count)) for part, count in parts]
    for other in others:
        whole = whole.compose(other)
    return float(whole.get_epsilon_for_delta(delta))


def zcdp_epsilon(rho: float, delta: float) -> float:
    """Epsilon that rho-zCDP implies, least over 1,400 Rényi orders."""
    import dp_accounting as dpa

    accountant = dpa.rdp.RdpAccountant([1 + 10 ** (step / 200) for step in range(-600, 800)])
    accountant.compose(dpa.ZCDpEvent(rho, 0.0))
    return float(accountant.get_epsilon(delta))


def sampled_epsilon(sigma: float, q: float, steps: int, delta: float, published: bool) -> float:
    """Gaussians with Poisson sampling by Rényi orders; ``published``: converted as the moments accountant of 2016 did."""
    import dp_accounting as dpa

    orders = [float(order) for order in range(2, 65)]
    accountant = dpa.rdp.RdpAccountant(orders)
    step = dpa.PoissonSampledDpEvent(q, dpa.GaussianDpEvent(sigma))
    accountant.compose(dpa.SelfComposedDpEvent(step, steps))
    if not published:
        return float(accountant.get_epsilon(delta))
    return min(float(r) - math.log(delta) / (a - 1) for a, r in zip(orders, accountant._rdp, strict=True))


if __name__ == "__main__":
    print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
