"""``manage.py audit_release``: attack a loop's release, and print what is proven beside what is claimed."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from loops.selectors import loop_version_current
from privacy.engine.dp.accounting import delta_text, epsilon_text
from training.engine.audit.audit import AUDIT_STAGES, CONFIDENCE, RUNS, ReleaseAudit
from training.engine.generators.registry import GENERATORS, WORLD_MODEL
from training.services.audit import release_audit

_REPORTED = 10  # progress lines of an audit


class Command(BaseCommand):
    help = (
        "Attack a loop's release in a shadow of simulated people, with and without one crafted person, and print the lower "
        "bound on epsilon that this proves beside the claimed one. No real row is read, and nobody is charged."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", required=True, metavar="NAME", help="name of a loop")
        parser.add_argument("--epsilon", type=float, default=1.0, help="of a turn (default: %(default)s)")
        parser.add_argument("--delta", type=float, default=1e-5, help="of a turn (default: %(default)s)")
        parser.add_argument(
            "--runs", type=int, default=RUNS, help="releases of each database; fewer prove less (default: %(default)s)"
        )
        parser.add_argument(
            "--through", choices=AUDIT_STAGES, default=AUDIT_STAGES[-1], help="last stage to attack (default: all)"
        )
        parser.add_argument(
            "--generator", choices=GENERATORS, default=WORLD_MODEL, help="of synthetic data (default: %(default)s)"
        )
        parser.add_argument(
            "--confidence", type=float, default=CONFIDENCE, help="that a bound is no false alarm (default: %(default)s)"
        )
        parser.add_argument("--seed", type=int, default=0, help="of generator and trainer; the privacy noise has none")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("epsilon", "delta", "runs", "through", "generator", "confidence", "seed")
        asked = {name: options[name] for name in names}
        try:
            version = loop_version_current(options["loop"])
            found = release_audit(spec=version.spec, report=self._report(), **asked)
        except R3alError as error:
            raise CommandError(str(error)) from None
        title = str(version)
        self.stdout.write(json.dumps(_as_json(title, found)) if options["json"] else _as_text(title, found))
        if found.refuted:
            raise CommandError(f"{title}: the proven epsilon is above the claimed one, so the claim is false")

    def _report(self) -> Any:
        """Return a callback that writes at most ten lines of progress to standard error."""
        shown = 0

        def report(share: float, message: str) -> None:
            nonlocal shown
            if share * _REPORTED >= shown:
                shown = int(share * _REPORTED) + 1
                self.stderr.write(message, style_func=str)

        return report


def _as_text(title: str, found: ReleaseAudit) -> str:
    """Return the bounds by stage, and what they mean, for people."""
    lines = [("stage", "proven epsilon", "claimed", "runs", "false positives", "false negatives", "test")]
    for stage in found.stages:
        proof = stage.proof
        lines.append(
            (
                stage.stage,
                f"at least {stage.epsilon:.3f}",
                epsilon_text(found.claimed_epsilon),
                f"{proof.trials:,}",
                f"{proof.false_positives:,}",
                f"{proof.false_negatives:,}",
                proof.test,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([f"{title}, delta {delta_text(found.delta)}", "", *table, "", *sentences(found)])


def sentences(found: ReleaseAudit) -> list[str]:
    """Return what the audit found, in sentences for people."""
    first = (
        f"The canary's contribution reaches {found.reached_mu / found.claimed_mu:.1%} of what the noise must hide. "
        f"Each bound is wrong at most once in {round(1 / (1 - found.confidence)):,} audits."
    )
    if found.refuted:
        return [first, f"Refuted at: {', '.join(found.refuted)}. The noise hides less than is claimed. Stop releasing."]
    return [
        first,
        f"No bound is above the claim. The largest is {found.share:.0%} of it. More runs prove more, up to the true epsilon.",
        "Later stages read only the release, so they cannot leak more than it does. They are attacked to see whether they do.",
    ]


def _as_json(title: str, found: ReleaseAudit) -> dict[str, Any]:
    return {
        "loop": title, **{k: v for k, v in asdict(found).items() if k != "stages"}, "refuted": list(found.refuted),
        "share": found.share,
        "stages": [{"stage": s.stage, "epsilon": s.epsilon, **asdict(s.proof)} for s in found.stages],
    }  # fmt: skip
