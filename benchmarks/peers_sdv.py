"""Run SDV's TVAE and CTGAN as peers, in an environment of their own. Their licence (BUSL) allows that, but not to ship them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from training.engine.tables.infer import values_of
from training.engine.tables.schema import CategoryColumn
from training.engine.tables.table import Table

VERSION = "2.0.0"
HOME = Path(__file__).parent.parent / ".peers" / "sdv"
_PYTHON = HOME / "bin" / "python"
_SCRIPT = """
import json, sys, time
import pandas as pd
from sdv.metadata import Metadata
from sdv.single_table import CTGANSynthesizer, TVAESynthesizer

peer, source, target = sys.argv[1:]
rows = pd.read_csv(source)
metadata = Metadata.detect_from_dataframe(rows, table_name="rows")
model = {"tvae": TVAESynthesizer, "ctgan": CTGANSynthesizer}[peer](metadata)
began = time.process_time()
model.fit(rows)
print(json.dumps(time.process_time() - began))
model.sample(len(rows)).to_csv(target, index=False)
"""


def peer_rows(peer: str, train: Table) -> tuple[Table, float]:
    """Fit a peer (``tvae`` or ``ctgan``) with its own settings, and return as many rows and the seconds of processor time.

    The first use installs it (a few minutes, 3 GB).
    """
    _install()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "train.csv", Path(folder) / "drawn.csv"
        _write(train, source)
        done = subprocess.run(
            [str(_PYTHON), "-W", "ignore", "-c", _SCRIPT, peer, str(source), str(target)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return _read(train, target), float(json.loads(done.stdout.splitlines()[-1]))


def _install() -> None:
    if not _PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    found = subprocess.run([str(_PYTHON), "-c", "import sdv"], capture_output=True, check=False)
    if found.returncode:
        subprocess.run([str(_PYTHON), "-m", "pip", "install", "--quiet", f"sdv=={VERSION}"], check=True)


def _write(table: Table, path: Path) -> None:
    columns = list[list[str]]()
    for column in table.schema.columns:
        values = table.columns[column.name]
        if isinstance(column, CategoryColumn):
            columns.append(["" if code < 0 else column.categories[code] for code in values])
        else:
            columns.append(["" if np.isnan(value) else repr(float(value)) for value in values])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.schema.names)
        writer.writerows(zip(*columns, strict=True))


def _read(train: Table, path: Path) -> Table:
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    columns = dict[str, np.ndarray]()
    for column in train.schema.columns:
        cells = [row[names.index(column.name)] for row in rows]
        if isinstance(column, CategoryColumn):
            raw = np.array([cell or None for cell in cells], dtype=object)
        else:
            raw = np.array([float(cell) if cell else np.nan for cell in cells])
        columns[column.name] = values_of(column, raw)
    return Table(train.schema, columns)
