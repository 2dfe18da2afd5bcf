"""What `stepdown run` leaves of a user's work tree and of a run's own work, when attempts fail, and when runs die or meet."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_day import BadDay, one_line
from stage import git

Said = subprocess.CompletedProcess[str]
Run = Callable[..., Said]

PROGRAM = Path(sys.executable).with_name("stepdown")
STEPPED_UP = [("haiku-4-5", "quality"), ("sonnet-4-6", None)]


@pytest.fixture
def day(tmp_path: Path, ledger_file: Path) -> BadDay:
    return BadDay(tmp_path, ledger_file)


def dirty(project: Path) -> None:
    (project / "staged.txt").write_bytes(b"staged\xff\n")
    git(project, "add", "staged.txt")
    (project / "staged.txt").write_bytes(b"staged, then changed\r\n")
    (project / "README.md").write_text("# Helo, changed by me\n")
    (project / "mine").mkdir()
    (project / "mine" / "notes.bin").write_bytes(bytes(range(256)))


def detached(project: Path) -> None:
    git(project, "checkout", "--quiet", "--detach")
    dirty(project)


def with_module(project: Path) -> None:
    library = project.parent / "library"
    library.mkdir()
    (library / "code.c").write_text("int x;\n")
    git(library, "init", "--quiet")
    git(library, "add", "-A")
    git(library, "commit", "--quiet", "-m", "library")
    git(project, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(library), "library")
    dirty(project)


def without_commits(project: Path) -> None:
    git(project, "update-ref", "-d", "HEAD")
    dirty(project)


def state(project: Path) -> dict[str, object]:
    """All there is of a user's work: HEAD, the index, every file; without what the unit is to change, and what a run notes."""
    files = {
        str(path.relative_to(project)): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(project).parts[:1] and path.suffix != ".md"
    }
    files.pop(".gsd/routing-history.json", None)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, check=False).stdout
    branches = git(project, "for-each-ref", "refs/heads", "--format=%(refname) %(objectname)")
    return {"files": files, "head": head, "index": git(project, "ls-files", "--stage"), "branches": branches}


SPOILS = """
if first:
    put("README.md", "spoilt"); put("junk/new.txt", "x"); put("staged.txt", "lost")
    for path in pathlib.Path("mine").glob("*"): path.unlink()
    if pathlib.Path("library/code.c").exists(): put("junk.c", "x")
    git("add", "-A"); git("commit", "-m", "by the agent")
    sys.exit("it went wrong")
assert not pathlib.Path("junk").exists()
work()
"""


@pytest.mark.parametrize("made", [dirty, detached, with_module, without_commits])
def test_what_a_failed_attempt_did_is_undone_and_kept(made: Callable[[Path], None], day: BadDay, call: Run) -> None:
    """Also where the agent committed it."""
    day.agent(SPOILS)
    made(day.project)
    before = state(day.project)
    done = call("run", day.project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert day.ends() == STEPPED_UP
    assert state(day.project) == before
    assert (day.project / "README.md").read_text() == "hello"
    assert day.ticked() == [1]
    assert day.named()
    outcome = day.records()[0].outcome
    assert outcome is not None
    assert f"what it had become: {outcome.kept}" in done.stdout
    assert git(day.project, "show", f"{outcome.kept}:junk/new.txt") == "x"
    assert f"{outcome.kept} holds" in day.evidence()  # the agent's commits


def test_without_git_attempts_continue_in_place_and_say_so(day: BadDay, call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(day.project.parent))
    (day.project / ".git").rename(day.project.parent / "away")
    day.agent("if first: put('half.txt', 'x'); sys.exit('it went wrong')\nassert pathlib.Path('half.txt').exists(); work()")
    done = call("run", day.project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "attempts continue in place" in done.stdout
    assert day.ends() == STEPPED_UP
    assert day.ticked() == [1]


# Runs that die, and runs that meet.

WAITS = """
parent = os.getppid()
put("started-" + task, "")
while task == "T02" and not pathlib.Path("go").exists():
    if os.getppid() != parent: sys.exit(1)
    time.sleep(0.01)
os.unlink("started-" + task)
work(); usage()
"""


class Runs:
    """A ``stepdown run`` that has done the first task and is at work on the second, which waits for the file ``go``."""

    def __init__(self, day: BadDay) -> None:
        command = [str(PROGRAM), "run", str(day.project), "--agent", "command", "--max-units", "2", "--yes"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        until = time.monotonic() + 20
        while not (day.project / "started-T02").exists():
            assert time.monotonic() < until
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """End it; its code and what it complained of."""
        self.process.send_signal(number)
        _, complaint = self.process.communicate(timeout=20)
        return self.process.returncode, complaint.strip()


@pytest.mark.parametrize(
    ("number", "code", "complaint"),
    [(signal.SIGINT, 130, "stepdown: stopped"), (signal.SIGTERM, 130, "stepdown: stopped"), (signal.SIGKILL, -9, "")],
    ids=["ctrl-C", "kill", "kill -9"],
)
def test_a_run_that_ends_early_is_gone_on_with_and_a_second_one_is_refused(
    number: signal.Signals, code: int, complaint: str, day: BadDay, program: Run, request: pytest.FixtureRequest
) -> None:
    day.agent(WAITS)
    first = Runs(day)
    request.addfinalizer(first.process.kill)
    said = one_line(program("run", day.project, "--agent", "command", "--yes"), 9)
    assert f"process {first.process.pid} is running the plan of {day.project}" in said
    assert first.end(number) == (code, complaint)
    assert day.ticked() == [1]

    (day.project / "go").write_text("")
    done = program("run", day.project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert ("execute-task M001/S01/T02 was under way when its run died: it runs again" in done.stdout) == (code == -9)
    assert day.ticked() == [1, 2]
    assert day.units() == ["execute-task T01", "execute-task T02", "execute-task T02"]
    assert [kind for _, kind in day.ends()] == [None, "cancelled", None]
    assert day.named()
