"""Run the peers of the k-anonymity benchmark in a separate environment: ``anjana`` anonymises, ``pycanon`` verifies.

That environment's interpreter runs this file as a script on a folder: ``python peers_anonymity.py anjana|pycanon FOLDER``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent.parent / ".peers" / "anonymity"
PACKAGES = ("anjana==1.2.3", "pycanon==1.3.5")
QUASI = ["age", "education", "marital", "race", "sex", "hours"]
SUPPRESSED_AT_MOST = 50  # percent


def peer(what: str, folder: Path) -> dict[str, Any]:
    """Run one peer and return its result. The first use installs both packages (about a minute)."""
    python = HOME / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    run = subprocess.run(
        [str(python), __file__, what, str(folder)], capture_output=True, text=True, check=False, cwd=folder
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def anjana(folder: Path) -> dict[str, Any]:
    """Measure anjana's k-anonymity at k = 10: rows per second, seconds, and suppressed rows."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]
    from anjana.anonymity import k_anonymity  # type: ignore[import-not-found, unused-ignore]

    table = pd.read_csv(folder / "raw.csv")
    hierarchies = {name: _levels(table[name], steps) for name, steps in _STEPS.items()}
    began = time.perf_counter()
    published = k_anonymity(table[QUASI].copy(), [], QUASI, 10, SUPPRESSED_AT_MOST, hierarchies)
    seconds = time.perf_counter() - began
    return {"rows_a_second": len(table) / seconds, "seconds": seconds, "suppressed": len(table) - len(published)}


_STEPS = {
    "age": (5, 10, 20, 80), "education": (2, 4, 8, 16), "marital": (7,), "race": (5,), "sex": (2,), "hours": (10, 20, 50, 100),
}  # fmt: skip


def _levels(column: Any, steps: tuple[int, ...]) -> dict[int, Any]:
    """Return the generalisation hierarchy: level 0 unchanged, then intervals with these widths."""
    levels = {0: column.to_numpy()}
    for number, step in enumerate(steps, start=1):
        low = (column // step) * step
        levels[number] = ("[" + low.astype(str) + "," + (low + step).astype(str) + ")").to_numpy()
    return levels


def pycanon(folder: Path) -> dict[str, Any]:
    """Return the k and l of each published table, as computed by pycanon."""
    import pandas as pd
    from pycanon import anonymity  # type: ignore[import-not-found, unused-ignore]

    levels = {}
    for path in sorted(folder.glob("published-*.csv")):
        table = pd.read_csv(path, dtype=str)
        levels[path.stem] = {
            "k": int(anonymity.k_anonymity(table, QUASI)),
            "l": int(anonymity.l_diversity(table, QUASI, ["occupation"])),
        }
    return levels


if __name__ == "__main__":
    print(json.dumps({"anjana": anjana, "pycanon": pycanon}[sys.argv[1]](Path(sys.argv[2]))))
