"""``python -m bench.crash [--runs 200]``: `stepdown run` killed (-9) at random points, resumed until done.

A provider outside of the killed process keeps its own log. At the end, per project: every unit done once, the ledger's sum
equals the provider's log to the token, no file of the user's lost, no snapshot ref left. Exits with 1 where that does not hold.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from stepdown.ledger import open_ledger
from stepdown.plans import GsdPlan
from stepdown.plans.source import pending
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "stepdown"]
LONGEST = 3.0
"""Seconds after which a run is killed at the latest; a whole run of the example takes about this long."""


class Project:
    """A copy of the example, with a ledger of its own and something of the user's that nobody may touch."""

    def __init__(self, directory: Path, url: str) -> None:
        self.root = directory / "todo-api"
        shutil.copytree(ROOT / "examples" / "todo-api", self.root)
        preferences = self.root / ".gsd" / "PREFERENCES.md"
        where = f"providers:\n  practice: {{base_url: '{url}'}}\nbudget_ceiling"
        preferences.write_text(preferences.read_text("utf-8").replace("budget_ceiling", where, 1), "utf-8")
        subprocess.run(["git", "init", "--quiet", str(self.root)], check=True)
        (self.root / "mine.txt").write_text("not committed\n")
        self.ledger = directory / "ledger.db"
        self.env = {**os.environ, "STEPDOWN_HOME": str(directory), "STEPDOWN_LEDGER": str(self.ledger), "HOME": str(directory)}
        self.kills = 0

    def run(self, seconds: float) -> bool:
        """Run for at most `seconds`, then kill it; whether it came to its end before."""
        command = [*PROGRAM, "run", str(self.root), "--agent", "practice", "--yes"]
        process = subprocess.Popen(
            command,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.kills += 1
            # A request that was on its way when we killed its sender still reaches the provider's log.
            time.sleep(0.1)
            return False
        if process.returncode:
            raise SystemExit(f"run ended with {process.returncode}:\n{said.decode()}")
        return True

    def faults(self, provider: PracticeProvider, keys: set[str]) -> list[str]:
        """What does not hold."""
        with open_ledger(str(self.ledger)) as ledger:
            records = ledger.records()
        wrong = [f"still running: {record.attempt.unit_id}" for record in records if record.outcome is None]
        done = Counter(
            (record.attempt.unit_type, record.attempt.unit_id)
            for record in records
            if record.outcome is not None and record.outcome.failure is None
        )
        wrong += [f"done {count} times: {unit}" for unit, count in done.items() if count != 1]
        wrong += [f"still pending: {unit.type} {unit.id}" for unit in pending(GsdPlan.open(self.root).units())]
        keys |= {record.attempt.key for record in records}
        recorded = sum((record.outcome.tokens or Tokens() for record in records if record.outcome is not None), Tokens())
        served = sum((entry.tokens for entry in provider.log if entry.attempt in keys), Tokens())
        if recorded != served:
            wrong.append(f"the ledger has {recorded}, the provider served {served}")
        if (self.root / "mine.txt").read_text() != "not committed\n":
            wrong.append("a file of the user's was changed")
        refs = subprocess.run(
            ["git", "for-each-ref", "refs/stepdown"], cwd=self.root, capture_output=True, text=True, check=True
        )
        wrong += [f"a ref was left: {line}" for line in refs.stdout.splitlines()]
        return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, kills, projects, wrong = random.Random(options.seed), 0, 0, list[str]()
    provider = PracticeProvider(latency=0.02)
    provider.start()
    try:
        while kills < options.runs:
            with tempfile.TemporaryDirectory() as scratch:
                project = Project(Path(scratch), provider.url)
                while not project.run(chance.uniform(0.2, LONGEST) if kills + project.kills < options.runs else 600):
                    pass
                found = project.faults(provider, set())
                kills, projects = kills + project.kills, projects + 1
                wrong += found
                print(
                    f"project {projects}: killed {project.kills} times ({kills} in all): {'; '.join(found) or 'all in order'}",
                    flush=True,
                )
    finally:
        provider.stop()
    print(f"{kills} kills over {projects} projects, {len(wrong)} faults")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
