"""A worker that is caught in a task ends by the kernel's alarm, also where its interpreter is held."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from jobs.hard_limit import process_ends_after
from tests.system import ROOT

pytestmark = pytest.mark.embedded  # knows neither database nor broker
CAUGHT = """
import ctypes
from jobs.hard_limit import process_ends_after
with process_ends_after(0.3):
    ctypes.PyDLL(None).sleep(60)  # native code that holds the interpreter
"""


def test_a_block_that_takes_longer_ends_its_process() -> None:
    ended = subprocess.run([sys.executable, "-c", CAUGHT], cwd=ROOT, timeout=20, check=False)
    assert ended.returncode == -signal.SIGALRM


@pytest.mark.parametrize("limit", [60.0, None])
def test_a_block_that_ends_in_time_leaves_no_alarm(limit: float | None) -> None:
    with process_ends_after(limit):
        assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (limit is not None)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
