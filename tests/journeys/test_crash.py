"""A few of the kills that ``python -m bench.crash`` does by the hundred."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_run_that_is_killed_again_and_again_pays_nothing_twice() -> None:
    command = [sys.executable, "-m", "bench.crash", "--runs", "5", "--seed", str(os.getpid() % 1000)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kills over" in done.stdout
    assert ", 0 faults" in done.stdout
