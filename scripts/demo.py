"""``make demo``: the main job on a copy of ``examples/todo-api``. No key, nothing spent, nothing left behind.

Two things go wrong on purpose, as they would on a bad day: a light model says that it wrote the manual and did not, and a
provider is overloaded in the middle of the run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "stepdown"]
FAULTS = [
    Fault(kind="wrong", model="claude-haiku-4-5", unit="M002/S02/T03"),
    Fault(kind="status", status=529, model="claude-sonnet-4-6", unit="M002/S04"),
]


def show(title: str, *arguments: str, env: dict[str, str]) -> None:
    """Run a command as a user would, under a line that says what it is."""
    command = f"$ stepdown {' '.join(arguments)}"
    print(f"\n\033[1m{command}\033[0m" if sys.stdout.isatty() else f"\n{command}")
    print(f"# {title}\n", flush=True)
    subprocess.run([*PROGRAM, *arguments], env=env, check=True, stdin=subprocess.DEVNULL)


def prepare(scratch: Path, provider_url: str) -> None:
    """A copy of the example as a repository of its own, which asks the practice provider."""
    project = scratch / "todo-api"
    shutil.copytree(ROOT / "examples" / "todo-api", project)
    preferences = project / ".gsd" / "PREFERENCES.md"
    text = preferences.read_text("utf-8").replace(
        "budget_ceiling", f"providers:\n  practice: {{base_url: '{provider_url}'}}\nbudget_ceiling", 1
    )
    preferences.write_text(text, "utf-8")
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet", str(project)], check=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stepdown-demo-") as name:
        scratch = Path(name)
        # A ledger and a home of the demo's own, so that nothing of the user's is read or written.
        env = {**os.environ, "STEPDOWN_HOME": str(scratch / "stepdown"), "HOME": name}
        env.pop("STEPDOWN_LEDGER", None)
        os.chdir(scratch)
        provider = PracticeProvider(faults=FAULTS)
        provider.start()
        try:
            prepare(scratch, provider.url)
            print("A practice run: agent and provider are built in, talk HTTP on loopback, need no key and spend nothing.")
            print("Tokens are counted from what is really sent; dollars are what list prices would make of them.")
            show("What would run on which model, and why. Spends nothing.", "plan", "todo-api", env=env)
            show(
                "The same, carried out. Two things go wrong on purpose.",
                *(["run", "todo-api", "--agent", "practice", "--yes"]),
                env=env,
            )
            show("The story of the unit whose check failed.", "why", "M002/S02/T03", "--project", "todo-api", env=env)
            show("The bill.", "report", "todo-api", env=env)
        finally:
            provider.stop()
    print("\nOn your own project:  .venv/bin/stepdown plan PATH   (spends nothing, writes nothing)")
    print("On your own history:  .venv/bin/stepdown audit       (what it would have saved; reads local logs, sends nothing)")


if __name__ == "__main__":
    main()
