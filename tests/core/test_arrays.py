"""The types of arrays have one home, so that one name means one type everywhere."""

from __future__ import annotations

import re

from tests.system import ROOT
from tests.walls.source import modules

HOME = ROOT / "core/arrays.py"
TYPE = re.compile(r"NDArray\[np\.(float64|int64|bool_|generic)\]|^(Floats|Ints|Bools)\b.*=", re.MULTILINE)


def test_the_types_of_arrays_are_stated_once() -> None:
    files = [path for _, path in modules(ROOT)] + list((ROOT / "benchmarks").rglob("*.py"))
    said = [str(path.relative_to(ROOT)) for path in files if path != HOME and TYPE.search(path.read_text())]
    assert said == [], "import Floats, Ints, Bools and Array from the home"
    assert len(TYPE.findall(HOME.read_text())) == 7
