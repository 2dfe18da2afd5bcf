"""Where pictures are made: a home without anything of this user's, the example's project in it, and the program at work."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = Path(sys.executable).parent
_CLOCK: Final = Path(__file__).with_name("clock.py")
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")


class House:
    """A user's home.

    Attributes:
        home: of somebody who has just installed stepdown; shown as ``~`` by programs that show paths.
        project: a copy of ``examples/todo-api``, once `furnish` was called.
        env: the whole environment of what is started here.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.project = self.home / "todo-api"
        self.env = {
            "PATH": f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "STEPDOWN_HOME": str(self.home / ".stepdown"),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        self._back = folder / "back"
        self.turn_back(0)

    @property
    def ledger(self) -> Path:
        """What its programs write into."""
        return self.home / ".stepdown" / "ledger.db"

    def turn_back(self, seconds: float) -> None:
        """For all that is started here, and that runs, it is earlier now."""
        beside = self._back.with_suffix(".new")
        beside.write_text(f"{seconds:.3f}", "ascii")
        beside.replace(self._back)  # at once: programs read it all the time

    def furnish(self, provider: str, milestone: str = "M002", more: str = "") -> None:
        """A fresh copy of the example, whose work `provider` does.

        Args:
            provider: its address.
            milestone: what the milestone that is to be worked through is called.
            more: preferences that the example does not have, lines of YAML.
        """
        shutil.rmtree(self.project, ignore_errors=True)
        shutil.copytree(ROOT / "examples" / "todo-api", self.project, ignore=shutil.ignore_patterns("__pycache__"))
        plans = self.project / ".gsd" / "milestones"
        shutil.rmtree(plans / "M001")  # it is done; what is left there would only be said twice
        (plans / "M002").rename(plans / milestone)
        for path in sorted(plans.rglob("M002*"), reverse=True):
            path.rename(path.with_name(path.name.replace("M002", milestone)))
        for path in plans.rglob("*.md"):
            path.write_text(path.read_text("utf-8").replace("M002", milestone), "utf-8")
        preferences = self.project / ".gsd" / "PREFERENCES.md"
        asked = "".join(f"  {name}: {{base_url: '{provider}'}}\n" for name in ("practice", "anthropic"))
        said = f"providers:\n{asked}{more}post_unit_hooks"
        preferences.write_text(preferences.read_text("utf-8").replace("post_unit_hooks", said, 1), "utf-8")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("add", "-A")
        self.git("-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m", "Start")

    def git(self, *words: str) -> None:
        """Git, in the project."""
        subprocess.run(["git", *words], cwd=self.project, env=self.env, check=True)

    def call(self, *words: str) -> None:
        """Stepdown, in the project, to its end."""
        done = subprocess.run(self._command(words), cwd=self.project, env=self.env, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"stepdown {' '.join(words)}: {done.stdout}{done.stderr}")

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[str]:
        """Stepdown, in the project, until the block ends; the address that it says."""
        process = subprocess.Popen(
            self._command(words),
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if found := _ADDRESS.search(line):
                    yield found[0]
                    return
            raise SystemExit(f"stepdown {' '.join(words)}: {''.join(said)}")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(_CLOCK), str(self._back), *words]
