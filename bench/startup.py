"""``python -m bench.startup``: what a command costs before it does anything, against a bare Python, in one run.

``status`` reads a ledger of 100,000 units. Each program runs in turn with the others, so that a slow moment of the machine
meets all of them; the ratio is taken round by round.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.ledger import fill

ROUNDS = 15
UNITS = 100_000


def seconds(arguments: list[str], env: dict[str, str], cwd: Path) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    program = str(Path(sys.executable).with_name("stepdown"))
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        (project / ".gsd").mkdir(parents=True)
        (project / ".gsd" / "PREFERENCES.md").write_text("---\nmodels:\n  default: claude-opus-4-6\nbudget_ceiling: 25\n---\n")
        ledger = Path(scratch) / "ledger.db"
        fill(ledger, UNITS, project=str(project.resolve()))
        env = {**os.environ, "STEPDOWN_LEDGER": str(ledger), "HOME": scratch}
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "stepdown --help": [program, "--help"],
            f"stepdown status, {UNITS:,} units": [program, "status"],
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
