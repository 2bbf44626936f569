"""Run Google's ``dp-accounting`` as an independent oracle, in a separate environment because it pins attrs < 24.

That environment's interpreter runs this file as a script: questions as JSON on standard input, answers on standard output.
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
INTERVAL = 2e-5  # discretisation of privacy losses; the default of 1e-4 rounds a hundred releases up by a millionth


def oracle(questions: list[dict[str, Any]]) -> list[float]:
    """Return the oracle's answer to each question. The first use installs the package (about a minute)."""
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
    """Answer one question by its ``kind``. Its other keys are the arguments of the corresponding function below."""
    kinds: dict[str, Callable[..., float]] = {
        "epsilon": gaussian_epsilon, "sigma": gaussian_sigma, "delta": gaussian_delta, "composed": composed_epsilon,
        "zcdp": zcdp_epsilon, "sampled": sampled_epsilon,
    }  # fmt: skip
    return kinds[question["kind"]](**{k: v for k, v in question.items() if k != "kind"})


def gaussian_epsilon(sigma: float, delta: float) -> float:
    """Return the epsilon of one Gaussian of sensitivity 1, in closed form."""
    import dp_accounting as dpa  # type: ignore[import-not-found, unused-ignore]

    return float(dpa.get_epsilon_gaussian(sigma, delta))


def gaussian_sigma(epsilon: float, delta: float) -> float:
    """Return the least noise sigma of a Gaussian of sensitivity 1, in closed form."""
    import dp_accounting as dpa

    return float(dpa.get_sigma_gaussian(epsilon, delta))


def gaussian_delta(sigma: float, epsilon: float) -> float:
    """Return the delta of one Gaussian of sensitivity 1, from its privacy loss."""
    from dp_accounting.pld.privacy_loss_mechanism import (  # type: ignore[import-not-found, unused-ignore]
        GaussianPrivacyLoss,
    )

    return float(GaussianPrivacyLoss(sigma).get_delta_for_epsilon(epsilon))


def composed_epsilon(delta: float, gaussians: list[list[float]], pure: list[list[float]]) -> float:
    """Return the epsilon of a sequence of releases, by privacy loss distributions that are rounded up.

    A pure release is represented by binary randomised response, the most distinguishing pure mechanism.
    Args: gaussians: pairs [sigma, count]. pure: pairs [epsilon, count].
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
    """Return the epsilon implied by rho-zCDP, the least over 1,400 Rényi orders."""
    import dp_accounting as dpa

    accountant = dpa.rdp.RdpAccountant([1 + 10 ** (step / 200) for step in range(-600, 800)])
    accountant.compose(dpa.ZCDpEvent(rho, 0.0))
    return float(accountant.get_epsilon(delta))


def sampled_epsilon(sigma: float, q: float, steps: int, delta: float, published: bool) -> float:
    """Return the epsilon of Gaussians with Poisson sampling, by Rényi orders.

    Args: published: whether to use the conversion of the moments accountant of 2016 (Abadi et al.).
    """
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
