"""A ledger that cannot be used as it should: what only reads still reads, `run` fails before an agent starts."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stepdown.ledger import open_ledger

Said = subprocess.CompletedProcess[str]
Write = Callable[[Mapping[str, str | bytes]], Path]

PROGRAM = Path(sys.executable).with_name("stepdown")
METRICS = {
    "version": 1,
    "units": [
        {
            "type": "execute-task",
            "id": "M001/S01/T00",
            "model": "claude-sonnet-4-6",
            "startedAt": 1_750_000_000_000,
            "finishedAt": 1_750_000_060_000,
            "tokens": {"input": 1000, "output": 200, "cacheRead": 0, "cacheWrite": 0, "total": 1200},
            "cost": 0.01,
        }
    ],
}


@pytest.fixture
def project(small: Path, write: Write) -> Path:
    """A project whose agent leaves a file ``started`` behind."""
    write({"stepdown.yaml": f"agents: {{command: {{command: ['{sys.executable}', -c, 'open(\"started\", \"w\")']}}}}\n"})
    return small


@pytest.fixture
def used(ledger_file: Path, project: Path, call: Callable[..., Said]) -> Path:
    """A ledger with one attempt in it; what it says."""
    assert call("run", project, "--agent", "command", "--max-units", "1").returncode == 0
    (project / "started").unlink()
    return ledger_file


def attempts(file: Path) -> int:
    with open_ledger(f"sqlite:{file}") as ledger:
        return len(ledger.records())


@pytest.mark.parametrize("command", [["plan"], ["status"], ["report"], ["run", "--agent", "command"]])
@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not a database at all, but long enough to be looked at" * 100, "move it aside"), (None, "is a directory")],
)
def test_what_is_no_ledger(
    content: bytes | None, words: str, command: list[str], ledger_file: Path, project: Path, refused: Callable[..., str]
) -> None:
    ledger_file.parent.mkdir()
    if content is None:
        ledger_file.mkdir()
    else:
        ledger_file.write_bytes(content)
    said = refused(4, *command, project)
    assert words in said
    assert str(ledger_file) in said
    assert not (project / "started").exists()
    assert content is None or ledger_file.read_bytes() == content


@pytest.mark.parametrize("command", [["plan"], ["status"], ["report"], ["run", "--agent", "command"]])
def test_another_programs_database_stays_as_it_is(
    command: list[str], ledger_file: Path, project: Path, refused: Callable[..., str]
) -> None:
    ledger_file.parent.mkdir()
    with sqlite3.connect(ledger_file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = ledger_file.read_bytes()
    assert "another program" in refused(4, *command, project)
    assert ledger_file.read_bytes() == before


@pytest.mark.parametrize("command", [["plan"], ["status"], ["report"], ["run", "--agent", "command"]])
def test_a_ledger_from_a_newer_version(command: list[str], used: Path, project: Path, refused: Callable[..., str]) -> None:
    with sqlite3.connect(used) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer stepdown (schema 99" in refused(4, *command, project)
    assert not (project / "started").exists()


def test_an_address_that_means_nothing(project: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("mysql://me:secret@host/db", "postgresql://me:secret@host/db", "sqlite:"):
        monkeypatch.setenv("STEPDOWN_LEDGER", address)
        assert "secret" not in refused(4, "status", project)


def test_a_ledger_that_another_process_is_writing(
    used: Path, project: Path, call: Callable[..., Said], refused: Callable[..., str], write: Write
) -> None:
    write({".gsd/metrics.json": json.dumps(METRICS)})
    connection = sqlite3.connect(used, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for command in (["plan"], ["status"]):
            said = call(*command, project)
            assert (said.returncode, said.stderr) == (0, "")
        said = call("report", project)  # shows what is there, and says that the past is not in it
        assert said.returncode == 0
        assert "was not read in" in said.stderr
        assert "locked by another process" in said.stderr
        assert "1 attempt" in said.stdout
        assert "locked by another process" in refused(4, "run", project, "--agent", "command")
    finally:
        connection.execute("ROLLBACK")
        connection.close()
    assert not (project / "started").exists()
    assert attempts(used) == 1
    assert call("run", project, "--agent", "command", "--max-units", "1").returncode == 0
    assert attempts(used) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_a_ledger_that_may_only_be_read(
    used: Path, project: Path, call: Callable[..., Said], refused: Callable[..., str], write: Write
) -> None:
    write({".gsd/metrics.json": json.dumps(METRICS)})
    used.chmod(0o400)
    used.parent.chmod(0o500)
    try:
        for command in (["plan"], ["status"]):
            said = call(*command, project)
            assert (said.returncode, said.stderr) == (0, "")
        said = call("report", project)
        assert said.returncode == 0
        assert "is read-only" in said.stderr
        assert "is read-only" in refused(4, "run", project, "--agent", "command")
        assert not (project / "started").exists()
    finally:
        used.parent.chmod(0o700)


def with_room(size: int, *arguments: str | Path) -> Said:
    """The program where no file may grow beyond `size` bytes: how a full disk looks to it."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60, preexec_fn=limit, env=os.environ
    )


def test_a_full_disk_stops_a_run_before_the_agent_starts(used: Path, project: Path, call: Callable[..., Said]) -> None:
    for size in (0, 4096):
        said = with_room(size, "run", project, "--agent", "command")
        assert said.returncode == 4, said
        assert "Traceback" not in said.stderr
        (line,) = said.stderr.splitlines()
        assert line.startswith("stepdown: ")
        assert str(used) in line
        assert not (project / "started").exists()
    assert attempts(used) == 1
    assert call("run", project, "--agent", "command", "--max-units", "1").returncode == 0
    assert attempts(used) == 2


def test_a_full_disk_in_the_middle_of_a_run_loses_nothing(used: Path, project: Path, call: Callable[..., Said]) -> None:
    """The agent itself uses up the room: its attempt was begun, and what cannot be recorded is said."""
    agent = "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))"
    (project / "stepdown.yaml").write_text(f"agents: {{command: {{command: ['{sys.executable}', -c, '{agent}']}}}}\n")
    done = subprocess.run(
        [PROGRAM, "run", project, "--agent", "command"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 4, done
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("stepdown: execute-task M001/S01/T02 succeeded, which could not be recorded: ")
    assert attempts(used) == 2
    assert "T02" in call("plan", project).stdout
