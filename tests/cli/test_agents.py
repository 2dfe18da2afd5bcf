"""Agents that fail in every way: the attempt is in the ledger with its kind, the box stays open, the next run tries again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from stepdown.ledger import Record, open_ledger

Said = subprocess.CompletedProcess[str]
Write = Callable[[Mapping[str, str | bytes]], Path]

PROGRAM = Path(sys.executable).with_name("stepdown")
BOX = "- [ ] **T01: Say hello**"
SLICE = ".gsd/milestones/M001/slices/S01/S01-PLAN.md"


@pytest.fixture
def agent(small: Path, write: Write) -> Callable[..., Path]:
    """Makes Python code the project's `command` agent; gives the project."""

    def make(code: str, timeout: float = 30) -> Path:
        settings = {"agents": {"command": {"command": [sys.executable, "-c", code], "timeout": timeout}}}
        write({"stepdown.yaml": msgspec.json.encode(settings)})  # JSON is YAML
        return small

    return make


def records(file: Path) -> list[Record]:
    with open_ledger(f"sqlite:{file}") as ledger:
        return list(ledger.records())


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("raise SystemExit(3)", "quality", "exit code 3"),
        ("import sys; sys.exit('no such\\x1b[31m model')", "quality", "exit code 1: no such"),
        ("import os; os.kill(os.getpid(), 9)", "quality", "SIGKILL"),
        ('print(\'{"failure": "provider", "message": "overloaded"}\')', "provider", "overloaded"),
        ("print('{\"is_error\": true}')", "quality", "reported an error"),
        ("import os; os.write(2, bytes(range(256))); os._exit(1)", "quality", "exit code 1"),
        ("import os; os.close(1); os.close(2); os._exit(7)", "quality", "exit code 7"),
    ],
)
def test_a_failure_is_recorded_and_tried_again(
    code: str, kind: str, words: str, agent: Callable[..., Path], call: Callable[..., Said], ledger_file: Path
) -> None:
    project = agent(code)
    for attempt in (1, 2):
        said = call("run", project, "--agent", "command")
        assert said.returncode == 1
        assert f"FAILED ({kind})" in said.stdout
        assert words in said.stdout
        assert all(line.isprintable() for line in (said.stdout + said.stderr).splitlines())
        found = records(ledger_file)
        assert len(found) == attempt
        assert all(record.attempt.unit_id == "M001/S01/T01" for record in found)
        outcome = found[0].outcome
        assert outcome is not None
        assert (outcome.failure, outcome.tokens, outcome.cost_usd) == (kind, None, None)
        assert words in outcome.message
        assert BOX in (project / SLICE).read_text()


@pytest.mark.parametrize(
    "code",
    [
        "",
        "print('all done, not a word of JSON')",
        "import os; os.write(1, os.urandom(100_000))",
        'print(\'{"usage": {"input_tokens": "many", "output_tokens": -4}, "cost_usd": "NaN"}\')',
        "print('[' * 100_000)",
        "print('{\"usage\": {\"input_tokens\": 1' + '0' * 30 + ', \"output_tokens\": 1}}')",
    ],
)
def test_an_agent_that_reports_nothing_usable_succeeds_at_unknown_cost(
    code: str, agent: Callable[..., Path], call: Callable[..., Said], ledger_file: Path
) -> None:
    said = call("run", agent(code), "--agent", "command", "--max-units", "1")
    assert (said.returncode, said.stderr) == (0, "")
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert (record.outcome.failure, record.outcome.tokens, record.outcome.cost_usd) == (None, None, None)
    assert "1 units of unknown cost" in said.stdout


def gone(pid: int) -> bool:
    """Whether a process has ended, or does within two seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


NEVER_ENDS = "import os, time; open('pid', 'w').write(str(os.getpid())); os.replace('pid', 'started'); time.sleep(600)"


def test_an_agent_that_never_ends_is_stopped(agent: Callable[..., Path], call: Callable[..., Said], ledger_file: Path) -> None:
    project = agent(NEVER_ENDS, timeout=1)
    said = call("run", project, "--agent", "command")
    assert said.returncode == 1
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.failure == "quality"
    assert "still running after 1 s" in record.outcome.message
    assert gone(int((project / "started").read_text()))
    assert BOX in (project / SLICE).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopping_a_run_settles_its_attempt(number: signal.Signals, agent: Callable[..., Path], ledger_file: Path) -> None:
    project = agent(NEVER_ENDS)
    with subprocess.Popen(
        [PROGRAM, "run", project, "--agent", "command"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        for _ in range(500):
            if (project / "started").exists():
                break
            time.sleep(0.02)
        child.send_signal(number)
        _, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert errors.strip() == "stepdown: stopped"
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.failure == "cancelled"
    assert gone(int((project / "started").read_text()))
    assert BOX in (project / SLICE).read_text()


def test_impatient_ctrl_c_loses_nothing(agent: Callable[..., Path], ledger_file: Path) -> None:
    """The second comes while an agent that does not listen is being ended."""
    project = agent(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {NEVER_ENDS}")
    with subprocess.Popen(
        [PROGRAM, "run", project, "--agent", "command"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        for _ in range(500):
            if (project / "started").exists():
                break
            time.sleep(0.02)
        for _ in range(2):
            child.send_signal(signal.SIGINT)
            time.sleep(0.2)
        _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors.strip()) == (130, "stepdown: stopped")
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.failure == "cancelled"
    assert gone(int((project / "started").read_text()))


def test_a_run_whose_output_nobody_reads_any_more_stops(agent: Callable[..., Path], ledger_file: Path) -> None:
    project = agent("for number in range(1000): print(number, flush=True)")
    subprocess.run(["git", "init", "--quiet", project], check=True)  # so that the first thing said is said of an attempt
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [PROGRAM, "run", project, "--agent", "command"], stdout=pipe, stderr=subprocess.PIPE, check=False, timeout=30
        )
    assert done.returncode == 130
    assert done.stderr.strip() == b"stepdown: stopped"
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.failure == "cancelled"
    assert BOX in (project / SLICE).read_text()


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("{}", 5, "no command line is set"),
        ("{command: [surely-not-installed, '{prompt_file}']}", 5, "'surely-not-installed' is not installed"),
        ("{command: ['./not-there.sh']}", 5, "'./not-there.sh' is not installed"),
        ("{command: [python3, '{modle}']}", 2, "{modle}"),
    ],
)
def test_a_command_that_cannot_start(
    settings: str, code: int, words: str, small: Path, write: Write, refused: Callable[..., str], home: Path
) -> None:
    write({"stepdown.yaml": f"agents: {{command: {settings}}}\n"})
    assert words in refused(code, "run", small, "--agent", "command")
    assert [path.name for path in home.rglob("*") if path.is_file() and path.parent.name != "agreed"] == []


def test_agents_that_are_not_there(
    small: Path, refused: Callable[..., str], home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "there is no agent 'nobody'; there are claude, codex, command, practice" in refused(
        2, "run", small, "--agent", "nobody"
    )
    assert "did you mean 'claude'" in refused(2, "run", small, "--agent", "clade")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Claude Code is not installed: npm install" in refused(5, "run", small)
    assert not list(home.iterdir())


def test_a_program_that_is_there_but_does_not_start_is_recorded(
    small: Path, write: Write, call: Callable[..., Said], ledger_file: Path
) -> None:
    script = write({"agent.sh": "#!/not/there\n"}) / "agent.sh"
    script.chmod(0o755)
    write({"stepdown.yaml": f"agents: {{command: {{command: ['{script}']}}}}\n"})
    said = call("run", small, "--agent", "command")
    assert said.returncode == 5
    (line,) = said.stderr.splitlines()
    assert "cannot start" in line
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.failure == "provider"
    assert BOX in (small / SLICE).read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_a_plan_that_cannot_be_ticked_says_so(agent: Callable[..., Path], call: Callable[..., Said], ledger_file: Path) -> None:
    project = agent("pass")
    (project / SLICE).chmod(0o400)
    said = call("run", project, "--agent", "command")
    assert said.returncode == 3
    assert "cannot write" in said.stderr
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.failure is None


@pytest.mark.parametrize(("mode", "warned"), [("", True), ("acceptEdits", False)])
def test_a_claude_code_that_may_not_write_is_said_before_anything_is_spent(
    mode: str, warned: bool, small: Path, write: Write, call: Callable[..., Said]
) -> None:
    settings = {"permission_mode": mode, "command": ["false"]}
    write({"stepdown.yaml": msgspec.json.encode({"agents": {"claude": settings}})})
    said = call("run", small, "--agent", "claude", "--max-units", "1").stderr
    assert ("agents: {claude: {permission_mode: acceptEdits}}" in said) is warned
    assert "permission_mode" not in call("run", small, "--agent", "practice", "--max-units", "1").stderr
