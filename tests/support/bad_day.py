"""`stepdown run` on the project of `stage`: its preferences, an agent of a few lines of Python, and what is left afterwards."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stage import git, make_plan

from stepdown.ledger import Record, open_ledger

Said = subprocess.CompletedProcess[str]

SLICE: Final = ".gsd/milestones/M001/slices/S01"
ROUTING: Final[Mapping[str, Any]] = {
    "enabled": True,
    "tier_models": {"light": "claude-haiku-4-5", "standard": "claude-sonnet-4-6"},
}
_PREFERENCES: Final[Mapping[str, Any]] = {
    "models": {"default": {"model": "claude-opus-4-6", "fallbacks": ["claude-opus-4-7"]}},
    "dynamic_routing": ROUTING,
}
_AGENT: Final = """
import json, os, pathlib, subprocess, sys, time
kind, unit, model = sys.argv[1:4]
task, first = unit[-3:], "haiku" in model
def git(*words): subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)
def put(name, text): pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True); pathlib.Path(name).write_text(text)
def work():
    if task in {"T01", "T02"}: put({"T01": "README.md", "T02": "hello.py"}[task], "hello")
def usage(tokens=100): print(json.dumps({"usage": {"input_tokens": 1000, "output_tokens": tokens}, "model": model}), flush=True)
"""


class BadDay:
    """M001/S01 with two light tasks in a git repository, and a ledger file."""

    def __init__(self, folder: Path, ledger_file: Path) -> None:
        self.project = Path(make_plan(folder).project)
        self.ledger_file = ledger_file
        self._script = folder / "agent.py"

    def prefer(self, **keys: Any) -> None:
        """Write the project's preferences."""
        (self.project / "stepdown.yaml").write_text(json.dumps({**_PREFERENCES, **keys}))

    def agent(self, script: str, **keys: Any) -> None:
        """Make this Python the command agent. It has ``kind``, ``task``, ``first``; ``work()`` does what the task promises."""
        self._script.write_text(_AGENT + script)
        command = [sys.executable, "-SE", str(self._script), "{unit_type}", "{unit_id}", "{model}"]
        self.prefer(agents={"command": {"command": command}}, **keys)

    def records(self) -> list[Record]:
        """What is in the ledger, the oldest first; every attempt has ended."""
        with open_ledger(f"sqlite:{self.ledger_file}") as ledger:
            assert ledger.unfinished() == []
            return list(ledger.records())[::-1]

    def ends(self) -> list[tuple[str, str | None]]:
        """The model and the failure of every attempt."""
        ended = [(record.attempt.model, record.outcome) for record in self.records() if record.outcome]
        return [(model.removeprefix("anthropic/claude-"), outcome.failure) for model, outcome in ended]

    def units(self) -> list[str]:
        """The type and the task of every attempt."""
        return [f"{record.attempt.unit_type} {record.attempt.unit_id[-3:]}" for record in self.records()]

    def evidence(self) -> str:
        """Every line of it."""
        return "\n".join(line for record in self.records() if record.outcome for line in record.outcome.evidence)

    def ticked(self) -> list[int]:
        """The tasks whose boxes are ticked."""
        text = (self.project / SLICE / "S01-PLAN.md").read_text()
        return [number for number in range(1, 10) if f"- [x] **T0{number}:" in text]

    def named(self) -> bool:
        """Whether every ref of ours is one that the ledger names."""
        refs = git(self.project, "for-each-ref", "--format=%(refname)", "refs/stepdown").split()
        return sorted(refs) == sorted(
            record.outcome.kept for record in self.records() if record.outcome and record.outcome.kept
        )


def one_line(said: Said, code: int) -> str:
    """The one line of a program that ended with `code`."""
    assert said.returncode == code, said
    (line,) = said.stderr.splitlines()
    assert line.startswith("stepdown: ")
    assert line.isprintable()
    return line
