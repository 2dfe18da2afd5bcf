"""``make demo``: the main job on a copy of ``examples/todo-api``. No key, nothing spent, nothing left behind."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "stepdown"]


def show(title: str, *arguments: str, env: dict[str, str]) -> None:
    """Run a command as a user would, under a line that says what it is."""
    command = f"$ stepdown {' '.join(arguments)}"
    print(f"\n\033[1m{command}\033[0m" if sys.stdout.isatty() else f"\n{command}")
    print(f"# {title}\n", flush=True)
    subprocess.run([*PROGRAM, *arguments], env=env, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stepdown-demo-") as scratch:
        project = Path(scratch) / "todo-api"
        shutil.copytree(ROOT / "examples" / "todo-api", project)
        # A ledger and a home of the demo's own, so that nothing of the user's is read or written.
        env = {**os.environ, "STEPDOWN_HOME": str(Path(scratch) / "stepdown"), "HOME": scratch}
        env.pop("STEPDOWN_LEDGER", None)
        os.chdir(scratch)
        print("A practice run: agent and provider are built in, talk HTTP on loopback, need no key and spend nothing.")
        print("Token counts are real counts of what was sent; dollars are what today's list prices would make of them.")
        show("What would run on which model, and why. Spends nothing.", "plan", "todo-api", env=env)
        show("The same, carried out.", "run", "todo-api", "--agent", "practice", env=env)
        show("The bill.", "report", "todo-api", env=env)
    print("\nOn your own project:  .venv/bin/stepdown plan PATH   (spends nothing, writes nothing)")


if __name__ == "__main__":
    main()
