"""``python -m bench.startup``: what a command costs before it does anything, against a bare Python, in one run.

``status`` reads a ledger of 100,000 units; ``statusline`` a full status file, and what Claude Code says on
standard input. Each program runs in turn with the others, so that a slow moment of the machine
meets all of them; the ratio is taken round by round.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.ledger import fill
from stepdown import statusfile
from stepdown.gateway.statusfile import SESSIONS
from stepdown.statusfile import Session, Status

ROUNDS = 15
UNITS = 100_000
SAID = json.dumps(
    {
        "session_id": f"{SESSIONS - 1:036}",
        "model": {"id": "claude-opus-4-6", "display_name": "Opus 4.6"},
        "rate_limits": {"five_hour": {"used_percentage": 62}, "seven_day": {"used_percentage": 31}},
    }
).encode()
"""Beside some thirty more values that no line is made of."""


def seconds(arguments: list[str], env: dict[str, str], cwd: Path) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL, input=SAID)
    return time.perf_counter() - start


def leave_status(home: Path, project: str) -> None:
    """What a gateway would have left, if it were this process."""
    sessions = {
        f"{number:036}": Session("anthropic", "claude-sonnet-4-6", "standard", applied=True) for number in range(SESSIONS)
    }
    now, pid = time.time(), os.getpid()
    status = Status(now, project, "http://127.0.0.1:8787", pid, statusfile.born(pid), "full", saved=3.2, sessions=sessions)
    file = Path(statusfile.file_of(str(home), project))
    file.parent.mkdir(parents=True)
    file.write_bytes(statusfile.encoded(status))


def main() -> None:
    program = str(Path(sys.executable).with_name("stepdown"))
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        (project / ".gsd").mkdir(parents=True)
        (project / ".gsd" / "PREFERENCES.md").write_text("---\nmodels:\n  default: claude-opus-4-6\nbudget_ceiling: 25\n---\n")
        ledger = Path(scratch) / "ledger.db"
        fill(ledger, UNITS, project=str(project.resolve()))
        env = {**os.environ, "STEPDOWN_LEDGER": str(ledger), "HOME": scratch, "STEPDOWN_HOME": scratch}
        leave_status(Path(scratch), str(project.resolve()))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "stepdown --help": [program, "--help"],
            f"stepdown status, {UNITS:,} units": [program, "status"],
            f"stepdown statusline, {SESSIONS} sessions": [program, "statusline"],
        }
        for arguments in commands.values():
            seconds(arguments, env, project)
        rounds = [{name: seconds(arguments, env, project) for name, arguments in commands.items()} for _ in range(ROUNDS)]
    print(f"{ROUNDS} rounds, the programs in turn")
    print(f"{'':36} {'median':>9} {'ratio to bare Python':>22}")
    for name in commands:
        ratio = statistics.median(times[name] / times["python -c pass"] for times in rounds)
        print(f"{name:36} {statistics.median(times[name] for times in rounds) * 1000:6.0f} ms {ratio:22.1f}")


if __name__ == "__main__":
    main()
