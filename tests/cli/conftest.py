"""A user's home, projects in it, and two ways to call stepdown: the installed program, or its `main` in this process."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from pane import TMUX, Pane

from stepdown.cli import main

Said = subprocess.CompletedProcess[str]

PROGRAM = Path(sys.executable).with_name("stepdown")
EXAMPLE = Path(__file__).parents[2] / "examples" / "todo-api"

SLICE = """# S01: Greetings

- [ ] **T01: Say hello** `est:30m`
  - Files: `hello.py`
- [ ] **T02: Say goodbye** `est:30m`
  - Files: `goodbye.py`
"""
PREFERENCES = """---
version: 1
models:
  default: claude-sonnet-4-6
dynamic_routing:
  enabled: true
---
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home that HOME and STEPDOWN_HOME point to; nothing of the real user's is in the environment."""
    for name in list(os.environ):
        if name.startswith(("STEPDOWN_", "LC_", "PYTEST_", "ANTHROPIC_", "CLAUDE")) or name.endswith(
            ("_API_KEY", "_AUTH_TOKEN", "_BASE_URL")
        ):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    for name, value in {"HOME": folder, "STEPDOWN_HOME": folder / ".stepdown", "LANG": "C.UTF-8", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("STEPDOWN_TRUST", "yes")  # the agents of these tests are named in projects' files
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def ledger_file(home: Path) -> Path:
    return home / ".stepdown" / "ledger.db"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Writes files into ``project``; gives that directory."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        project = tmp_path / "project"
        for name, content in files.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return project

    return write


@pytest.fixture
def small(write: Callable[[Mapping[str, str | bytes]], Path]) -> Path:
    """A project with one slice of two tasks, routed below claude-sonnet-4-6."""
    return write(
        {
            ".gsd/PREFERENCES.md": PREFERENCES,
            ".gsd/milestones/M001/M001-ROADMAP.md": "# M001: Manners\n\n## Slices\n\n- [ ] **S01: Greetings** `depends:[]`\n",
            ".gsd/milestones/M001/slices/S01/S01-RESEARCH.md": "# Research\n\nNothing to find out.\n",
            ".gsd/milestones/M001/slices/S01/S01-PLAN.md": SLICE,
        }
    )


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of ``examples/todo-api``."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "todo-api"))


@pytest.fixture
def program() -> Callable[..., Said]:
    """Runs the installed program: ``program("plan", ".", LC_ALL="C")``; keyword arguments are variables of its environment."""

    def run(*arguments: str | bytes | Path, **variables: str) -> Said:
        done = subprocess.run(
            [PROGRAM, *arguments], capture_output=True, check=False, timeout=60, env={**os.environ, **variables}
        )
        return Said(done.args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    return run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Calls `main` in this process, for what a process of its own would add nothing to."""

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["stepdown", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(sys.argv, ended.value.code, said.out, said.err)

    return run


@pytest.fixture
def pane(tmp_path: Path) -> Iterator[Callable[..., Pane]]:
    """``pane("stepdown run", columns=60)`` runs it in a real terminal; it ends with the test."""
    if not TMUX:
        pytest.skip("tmux is not here")
    with contextlib.ExitStack() as stack:

        def run(command: str, *, columns: int = 80, rows: int = 24) -> Pane:
            opened = Pane(tmp_path, command, columns=columns, rows=rows)
            stack.callback(opened.close)
            return opened

        yield run


@pytest.fixture
def refused(call: Callable[..., Said]) -> Callable[..., str]:
    """``refused(3, "plan", path)`` calls `main` and gives what is wrong, having seen that it ends with code 3 and says so well:
    a line per problem, each beginning with the program's name, nothing on standard output.
    """

    def run(code: int, *arguments: str | Path) -> str:
        said = call(*arguments)
        assert said.returncode == code, said
        lines = said.stderr.splitlines()
        assert lines, "it says nothing"
        assert all(line.startswith("stepdown: ") and line.isprintable() for line in lines), said.stderr
        assert not said.stdout
        return said.stderr

    return run
