"""``python -m bench.overhead [files]``: what a unit costs beside its agent, on a repository of 10,000 files.

The agent writes one promised file; everything else is real: decision, snapshot, ledger on disk, verification, tick, release.
Side by side in the same rounds: ``git status`` of the same tree, which any tool that looks at changes has to pay.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.dispatch import FILES, repository
from stepdown.agents.port import Event, Finished, Job
from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.plans import GsdPlan
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import Router

UNITS = 21


class Nobody:
    """An agent that writes what was promised, at no cost and in no time."""

    name = "nobody"

    def providers(self) -> frozenset[str] | None:
        """Any."""
        return None

    def check(self) -> str | None:
        """Ready."""
        return None

    def configured_model(self, project: Path) -> str:  # noqa: ARG002  (the port's signature)
        """Not known."""
        return ""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        """Write the file."""
        (job.workdir / f"made-{job.unit.id[-2:]}.txt").write_text("made\n")
        yield Finished()


def project(top: Path) -> GsdPlan:
    """One slice with as many tasks as there are rounds, each promising a file."""
    slice_ = top / ".gsd" / "milestones" / "M001" / "slices" / "S01"
    (slice_ / "tasks").mkdir(parents=True)
    (top / ".gitignore").write_text(".gsd/\n")
    (slice_.parents[1] / "M001-ROADMAP.md").write_text("# M001: Much\n\n## Slices\n\n- [ ] **S01: Much** `depends:[]`\n")
    names = [f"T{number:02}" for number in range(1, UNITS + 1)]
    (slice_ / "S01-PLAN.md").write_text("# S01\n\n## Tasks\n\n" + "".join(f"- [ ] **{name}: Make it**\n" for name in names))
    for name in names:
        text = f"# {name}: Make it\n\n## Steps\n\n1. Make it.\n\n## Expected Output\n\n- `made-{name[1:]}.txt`\n"
        (slice_ / "tasks" / f"{name}-PLAN.md").write_text(text)
    return GsdPlan.open(top)


async def measure(dispatcher: Dispatcher, plan: GsdPlan, top: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of each unit and of a `git status` beside it."""
    units, looks = [], []
    for unit in [unit for unit in plan.units() if unit.type == "execute-task"]:
        start = time.perf_counter()
        done = await dispatcher.dispatch(unit)
        units.append((time.perf_counter() - start) * 1000)
        assert not done.failed, done
        start = time.perf_counter()
        await asyncio.to_thread(
            subprocess.run, ["git", "status", "--porcelain"], cwd=top, check=True, stdout=subprocess.DEVNULL
        )
        looks.append((time.perf_counter() - start) * 1000)
    return units, looks


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    preferences = Preferences(models={"default": ModelChoice("claude-opus-4-6")}, dynamic_routing=DynamicRouting(enabled=True))
    with tempfile.TemporaryDirectory() as scratch, SqliteLedger(Path(scratch) / "ledger.db") as ledger:
        top = Path(scratch) / "project"
        top.mkdir()
        repository(top, files)
        plan = project(top)
        dispatcher = Dispatcher(Router(preferences, Catalog.load()), Nobody(), ledger, plan)
        units, looks = asyncio.run(measure(dispatcher, plan, top))
    print(f"{files:,} files, {len(units)} units; the first unit of a process reads the tree anew")
    print(f"first unit                {units[0]:7.1f} ms")
    print(f"a unit, median of the rest{statistics.median(units[1:]):7.1f} ms")
    print(f"git status, median        {statistics.median(looks[1:]):7.1f} ms")


if __name__ == "__main__":
    main()
