"""Provide the common parts of all benchmarks: arguments, checks, the JSON line, and the stored result with date and machine."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Check:
    """Compare a measured value with its bar."""

    name: str
    value: float
    bar: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Return whether the value meets the bar."""
        return bool(self.value <= self.bar if self.at_most else self.value >= self.bar)

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON values for the stored result."""
        return {"name": self.name, "value": self.value, "bar": self.bar, "holds": self.holds}


def arguments(description: str | None, *, seeds: int) -> ArgumentParser:
    """Return the argument parser with the options of all benchmarks. ``seeds`` is the default number of seeds."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of standard output")
    parser.add_argument("--quick", action="store_true", help="use smaller sizes, about a minute on two cores")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"number of random seeds (default: {seeds})")
    return parser


def finish(name: str, options: Namespace, rows: Sequence[dict[str, Any]], checks: Sequence[Check]) -> None:
    """Print all checks, store the result (unless --quick), and print the JSON line if requested."""
    for check in checks:
        sign = "<=" if check.at_most else ">="
        print(f"{'holds' if check.holds else 'FAILS':>6}  {check.name} = {check.value:.4f} ({sign} {check.bar})")
    result = _plain({"benchmark": name, "rows": list(rows), "checks": [c.as_dict() for c in checks]})
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        stamp = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "arguments": {k: v for k, v in vars(options).items() if k != "json"},
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(stamp | result, indent=1) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def _plain(value: Any) -> Any:
    """Replace NaN and infinities by None, because JSON cannot represent them."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
