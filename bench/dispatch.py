"""``python -m bench.dispatch [files]``: what stepdown itself adds to an attempt, on a repository of 10,000 files.

A snapshot and its release are paid by every attempt, the list of changes by those that are verified, a restore by those that
failed. ``git status`` of the same tree is timed in the same rounds, so that a slow moment of the machine meets all of them. The
second table is the same with ``* text=auto`` in ``.gitattributes``, where the first snapshot of a process reads every file.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepdown.dispatch.worktree import GitTree, open_tree
from stepdown.report.tables import Column, table

FILES = 10_000
FOLDERS = 250
ROUNDS = 21
TOUCHED = 10
"""Files a failed attempt has changed, and files it has made."""


def git(top: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "gc.auto=0", *arguments], cwd=top, check=True, stdout=subprocess.DEVNULL)


def repository(top: Path, files: int, attributes: str = "") -> None:
    git(top, "init", "-q")
    for number in range(files):
        folder = top / f"part{number % FOLDERS:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{number:05}.py").write_text(f"number = {number}\n" * (1 + number % 80))
    if attributes:
        (top / ".gitattributes").write_text(attributes)
    # A second later, or git would have to read each file: it could have changed within the clock's tick.
    time.sleep(1.1)
    git(top, "add", "-A")
    git(top, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "-m", "all")
    git(top, "gc", "-q")
    git(top, "status")


def attempt(top: Path, number: int) -> None:
    """What an attempt does to the tree."""
    for path in sorted(top.glob("part000/*.py"))[:TOUCHED]:
        path.write_text(f"attempt = {number}\n")
    (top / "made").mkdir(exist_ok=True)
    for made in range(TOUCHED):
        (top / "made" / f"{made}.py").write_text(f"attempt = {number}\n")


class Clock:
    """Seconds of each step, round by round."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time what the block does."""
        start = time.perf_counter()
        yield
        self.taken[name].append(time.perf_counter() - start)


def rounds(top: Path, tree: GitTree, clock: Clock) -> None:
    for number in range(ROUNDS):
        with clock.timed("git status"):
            git(top, "status", "--porcelain")
        with clock.timed("snapshot"):
            snapshot = tree.snapshot("bench/before")
        with clock.timed("changed, where nothing is"):
            tree.changed(snapshot)
        with clock.timed("release"):
            tree.release(snapshot)
        clock.taken["snapshot and release"].append(clock.taken["snapshot"][-1] + clock.taken["release"][-1])
        snapshot = tree.snapshot("bench/failed")
        attempt(top, number)
        with clock.timed(f"restore, {2 * TOUCHED} files"):
            tree.restore(snapshot, keep_as="bench/kept")
        tree.release_all("bench/")


def show(top: Path) -> None:
    clock = Clock()
    with clock.timed("open"):
        tree = open_tree(top)
    assert isinstance(tree, GitTree)
    with clock.timed("first snapshot of a process"):
        first = tree.snapshot("bench/first")
    tree.release(first)
    rounds(top, tree, clock)
    tree.close()
    rows = [
        (name, f"{statistics.median(times) * 1000:.1f}", f"{max(times) * 1000:.1f}", str(len(times)))
        for name, times in clock.taken.items()
    ]
    heads = (
        Column(title="step"),
        Column(title="median ms", right=True),
        Column(title="slowest ms", right=True),
        Column(title="times", right=True),
    )
    print("\n".join(table(heads, rows)))


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    print(f"{files:,} files, {os.cpu_count()} cores\n")
    for attributes in ("", "* text=auto\n"):
        if attributes:
            print(f"\nWith {attributes.strip()} in .gitattributes\n")
        with tempfile.TemporaryDirectory() as scratch:
            repository(Path(scratch), files, attributes)
            show(Path(scratch))


if __name__ == "__main__":
    main()
