"""A small project with a plan, its ledger, and agents that do as they are told."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from stepdown.agents.port import Event, Finished, Job, Step, Used
from stepdown.decision import Decision
from stepdown.ledger import Outcome
from stepdown.ledger.records import Use
from stepdown.plans import GsdPlan
from stepdown.units import Tokens, Unit

TASK = "# {0}\n\n## Steps\n\n1. Do it.\n\n## Expected Output\n\n- `{1}`\n"
PLAN = """# S01: Hello

## Tasks

- [ ] **T01: Fix a typo** `est:5m`
  - Files: `README.md`
  - Verify: `test -f README.md`
- [ ] **T02: Greet** `est:5m`
  - Files: `hello.py`
"""


def git(directory: Path, *arguments: str) -> str:
    names = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    env = {**os.environ, **names, "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    done = subprocess.run(["git", *arguments], cwd=directory, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def make_plan(directory: Path) -> GsdPlan:
    """M001/S01 with two light tasks, in a git repository with one commit."""
    project = directory / "hello"
    slice_ = project / ".gsd" / "milestones" / "M001" / "slices" / "S01"
    (slice_ / "tasks").mkdir(parents=True)
    (slice_.parents[1] / "M001-ROADMAP.md").write_text("# M001: Hello\n\n## Slices\n\n- [ ] **S01: Hello** `depends:[]`\n")
    (slice_ / "S01-PLAN.md").write_text(PLAN)
    (slice_ / "tasks" / "T01-PLAN.md").write_text(TASK.format("T01: Fix a typo", "README.md"))
    (slice_ / "tasks" / "T02-PLAN.md").write_text(TASK.format("T02: Greet", "hello.py"))
    (project / "README.md").write_text("# Helo\n")
    git(project, "init", "--quiet")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "start")
    return GsdPlan.open(project)


def task(plan: GsdPlan, number: int = 1) -> Unit:
    return next(unit for unit in plan.units() if unit.id == f"M001/S01/T0{number}")


def refs(plan: GsdPlan) -> list[str]:
    return git(Path(plan.project), "for-each-ref", "--format=%(refname)", "refs/stepdown").split()


class Heard:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.uses: list[Use] = []

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        self.said.append(f"starts {unit.type} {unit.id} on {model}: {cause}")

    def step(self, unit: Unit, step: Step) -> None:
        self.said.append("step")

    def used(self, unit: Unit, use: Use) -> None:
        self.uses.append(use)

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        self.said.append(f"ends {unit.id}: {outcome.failure or 'done'}")

    def alert(self, text: str) -> None:
        self.said.append(f"alert: {text}")


Act = Callable[[Job], list[Event]]


class Actor:
    """An agent that acts out a list of parts, one an attempt; the last one goes on for ever."""

    name = "actor"

    def __init__(self, *parts: Act) -> None:
        self.parts = list(parts)
        self.jobs: list[Job] = []

    def providers(self) -> frozenset[str] | None:
        return None

    def check(self) -> str | None:
        return None

    def configured_model(self, project: Path) -> str:
        return ""

    @property
    def models(self) -> list[str]:
        return [job.model.id for job in self.jobs if job.model is not None]

    async def run(self, job: Job) -> AsyncIterator[Event]:
        part = self.parts[min(len(self.jobs), len(self.parts) - 1)]
        self.jobs.append(job)
        for event in part(job):
            await asyncio.sleep(0)
            yield event


USED = Used(Tokens(input=100, output=10))


def writes(**files: str) -> Act:
    """Write files (``README_md`` is README.md) and succeed."""

    def act(job: Job) -> list[Event]:
        for name, text in files.items():
            path = job.workdir / name.replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return [USED, Finished()]

    return act


def fails(kind: str, **files: str) -> Act:
    """Write files and fail."""
    part = writes(**files)

    def act(job: Job) -> list[Event]:
        part(job)
        return [USED, Finished(failure=kind, message=f"the {kind} failed")]

    return act
