"""Ctrl-C reaches a command that missed the first one, and one that was inside a finalizer."""

from __future__ import annotations

import subprocess
import sys

import pytest

import run

MISSES_ONE = """
import signal, sys, time
def miss(number, frame):
    signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGINT, miss)
print("ready", flush=True)
try:
    time.sleep(60)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(7)
"""
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


IN_A_FINALIZER = """
import os, signal, sys, time
import manage
class Kept:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
sys.unraisablehook = manage._interrupt_again
try:
    print("ready", flush=True)
    kept = Kept()
    del kept
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(7)
"""


def begun(source: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize(("source", "code"), [(MISSES_ONE, 7), (DEAF, -9)], ids=["misses one", "misses all"])
def test_a_command_that_missed_ctrl_c_gets_another_and_is_killed_at_last(
    source: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_INTERRUPTS", (0.3, 10.0) if code == 7 else (0.3, 0.3))
    process = begun(source)
    run._forward_interrupt(process)
    with process:
        assert process.wait(10) == code


def test_a_ctrl_c_inside_a_finalizer_is_taken_after_it_and_shows_no_lines() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_FINALIZER], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (7, "")
