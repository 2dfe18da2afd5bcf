"""`stepdown run` on a real terminal: what it asks, the keys it listens to, and the terminal as it was afterwards."""

import contextlib
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_day import BadDay

from stepdown.ledger import Evidence, open_ledger
from stepdown.units import Tier

Said = subprocess.CompletedProcess[str]
Run = Callable[..., Said]

PROGRAM = Path(sys.executable).with_name("stepdown")
CONSENT = r"Run them in this project, now and later\? \[y/N\]:"
OVER_BUDGET = r"Go on over budget until this run ends\? \[y/N\]:"
RUNS = r"claude-haiku-4-5  execute-task M001/S01/{}"
"""How the attempt under way is shown; the plan's table has every unit from the beginning."""
LIMIT = 20.0


@pytest.fixture
def day(tmp_path: Path, ledger_file: Path) -> BadDay:
    return BadDay(tmp_path, ledger_file)


class Terminal:
    """A terminal with a program in the foreground of it."""

    def __init__(self, *command: str | Path) -> None:
        self._ours, theirs = pty.openpty()
        self.theirs = theirs
        self.before = termios.tcgetattr(theirs)
        self.text = ""
        self.process = subprocess.Popen(
            # A session of its own, with the terminal as its controlling one: what a shell's foreground job has.
            [sys.executable, "-SE", "-c", _TAKE_TERMINAL, *map(str, command)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )

    def until(self, pattern: str) -> str:
        """What is shown up to and with the next match of `pattern`."""
        end = time.monotonic() + LIMIT
        while (found := re.search(pattern, self.text)) is None:
            assert self._read(end - time.monotonic()), f"{pattern!r} was never shown: {self.text}"
        shown, self.text = self.text[: found.end()], self.text[found.end() :]
        return shown

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def ctrl_c(self) -> None:
        """Press it, once, where a person would: when the program waits (Python misses one just before it begins to read)."""
        time.sleep(0.3)
        self.press("\x03")

    def end(self) -> tuple[int, str]:
        """Wait for the program's end; its code and the rest of what it showed."""
        code = self._reap()
        while self._read(0.05):
            pass
        return code, self.text

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.theirs)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)

    def _reap(self) -> int:
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            self._read(0.02)  # a terminal that nobody reads fills up
            assert time.monotonic() < end, f"it does not end: {self.text}"
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], max(0.0, seconds))[0]:
            return False
        self.text += os.read(self._ours, 65_536).decode("utf-8", "replace").replace("\r\n", "\n")
        return True


_TAKE_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def terminal(day: BadDay) -> Iterator[Callable[..., Terminal]]:
    """``terminal("--max-units", "2")`` runs the day's plan with the command agent."""
    with contextlib.ExitStack() as stack:

        def run(*arguments: str) -> Terminal:
            opened = Terminal(PROGRAM, "run", day.project, "--agent", "command", *arguments)
            stack.callback(opened.close)
            return opened

        yield run


def test_consent_is_asked_for_once_in_a_project(day: BadDay, terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    day.agent("work()", verification_commands=[f"echo x >> {tmp_path}/ran"])
    refused = terminal("--max-units", "1")
    assert f"    echo x >> {tmp_path}/ran" in refused.until(CONSENT)
    refused.press("\n")  # no is what an empty answer means
    assert refused.end()[0] == 0
    assert not (tmp_path / "ran").exists()

    asked = terminal("--only", "M001/S01/T02")
    asked.until(CONSENT)
    asked.press("y\n")
    code, shown = asked.end()
    assert (code, "done, verified" in shown) == (0, True)
    assert (tmp_path / "ran").read_text() == "x\n"

    day.agent("work()", verification_commands=[f"echo y >> {tmp_path}/ran"])
    plan = day.project / ".gsd/milestones/M001/slices/S01/S01-PLAN.md"
    plan.write_text(plan.read_text().replace("- [x] **T01", "- [ ] **T01"))
    (day.project / "README.md").write_text("# Helo\n")
    again = terminal("--only", "M001/S01/T01")
    code, shown = again.end()
    assert (code, "Run them" in shown) == (0, False)
    assert (tmp_path / "ran").read_text() == "x\ny\n"


@pytest.mark.parametrize(("answer", "left"), [("\n", 2), ("n\n", 2), ("y\n", 0)])
def test_forgetting_everything_is_asked_about(answer: str, left: int, ledger_file: Path) -> None:
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        ledger.add_evidence([Evidence(at=at, pattern="run-uat", tier=Tier.LIGHT, success=True) for at in (1.0, 2.0)])
    asked = Terminal(PROGRAM, "reset")
    with contextlib.closing(asked):
        asked.until(r"Forget 2 events of run-uat \(2\)\? \[y/N\]:")
        asked.press(answer)
        code, shown = asked.end()
    assert (code, "Nothing was forgotten" in shown) == (0, left > 0)
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        assert sum(map(len, ledger.evidence().values())) == left


def test_ctrl_c_at_the_question_starts_nothing(day: BadDay, terminal: Callable[..., Terminal]) -> None:
    day.agent("work()")
    asked = terminal()
    asked.until(CONSENT)
    asked.ctrl_c()
    code, shown = asked.end()
    assert (code, shown.split()[-2:]) == (130, ["stepdown:", "stopped"])
    assert asked.settings() == asked.before
    assert day.records() == []


def test_a_full_budget_is_asked_about_and_gone_over(day: BadDay, terminal: Callable[..., Terminal]) -> None:
    hook = {"name": "review", "after": ["execute-task"], "prompt": "Look."}
    day.agent("work(); usage()", budget_ceiling=0.001, post_unit_hooks=[hook])
    asked = terminal("--max-units", "2", "--yes")
    assert "hook/review M001/S01/T01 was not started" in asked.until(OVER_BUDGET)
    assert asked.settings() == asked.before  # what is typed can be seen
    asked.press("y\n")
    code, shown = asked.end()
    assert code == 0
    assert "Go on over budget" not in shown
    assert day.units() == ["execute-task T01", "hook/review T01", "execute-task T02", "hook/review T02"]
    assert day.ticked() == [1, 2]


@pytest.mark.parametrize(("answer", "code"), [("n\n", 6), ("", 130)], ids=["no", "ctrl-C"])
def test_a_full_budget_that_is_not_gone_over_keeps_what_is_done(
    answer: str, code: int, day: BadDay, terminal: Callable[..., Terminal]
) -> None:
    day.agent("work(); usage()", budget_ceiling=0.001)
    asked = terminal("--yes")
    asked.until(OVER_BUDGET)
    if answer:
        asked.press(answer)
    else:
        asked.ctrl_c()
    ended, shown = asked.end()
    assert ended == code
    assert shown.count("stepdown: ") == 1
    assert day.ticked() == [1]
    assert day.units() == ["execute-task T01"]
    assert day.named()
    assert asked.settings() == asked.before


def test_halt_never_asks(day: BadDay, terminal: Callable[..., Terminal]) -> None:
    day.agent("work(); usage()", budget_ceiling=0.001, budget_enforcement="halt")
    code, shown = terminal("--yes").end()
    assert (code, "[y/N]" in shown) == (6, False)
    assert day.ticked() == [1]


WAITS_FOR_GO = """
parent = os.getppid()
while task == "T02" and not pathlib.Path("go").exists():
    if os.getppid() != parent: sys.exit(1)
    time.sleep(0.01)
work()
"""


@pytest.mark.parametrize(
    ("view", "offered"),
    [([], r"\[o\] over  \[u\] under  \[k\] ok: execute-task M001/S01/T01"), (["--plain"], r"o over, u under, k ok")],
    ids=["live", "plain"],
)
def test_a_key_rates_the_unit_before_while_the_next_one_runs(
    view: list[str], offered: str, day: BadDay, terminal: Callable[..., Terminal], program: Run
) -> None:
    day.agent(WAITS_FOR_GO)
    run = terminal("--max-units", "2", "--yes", *view)
    run.until(offered)
    run.until(RUNS.format("T02"))
    assert run.settings() != run.before  # a key alone is enough
    run.press("x\x1b[Au")  # what means nothing is passed over
    assert "Traceback" not in run.until(r"rated under: execute-task M001/S01/T01")
    run.press("k")  # it has been rated; the next key is for the next unit
    (day.project / "go").write_text("")
    code, shown = run.end()
    assert (code, "rated" in shown) == (0, False)
    assert run.settings() == run.before
    with open_ledger(f"sqlite:{day.ledger_file}") as ledger:
        assert [(rating.unit_id, rating.word) for rating in ledger.ratings(str(day.project))] == [("M001/S01/T01", "under")]
    assert "under" in program("why", "M001/S01/T01", "--project", day.project).stdout


@pytest.mark.parametrize("way", ["ctrl-C", "SIGTERM", "SIGHUP"])
def test_the_terminal_is_as_it_was_after_a_run_is_stopped(way: str, day: BadDay, terminal: Callable[..., Terminal]) -> None:
    day.agent(WAITS_FOR_GO)
    run = terminal("--max-units", "2", "--yes")
    run.until(RUNS.format("T02"))
    assert run.settings() != run.before
    if way == "ctrl-C":
        run.ctrl_c()
    else:
        run.process.send_signal(signal.Signals[way])
    code, shown = run.end()
    assert (code, shown.split()[-2:]) == (130, ["stepdown:", "stopped"])
    assert run.settings() == run.before
    assert day.ticked() == [1]


def test_a_ledger_that_cannot_take_a_rating_says_so_and_the_run_goes_on(day: BadDay, terminal: Callable[..., Terminal]) -> None:
    day.agent(WAITS_FOR_GO)
    run = terminal("--max-units", "2", "--yes")
    run.until(RUNS.format("T02"))
    with contextlib.closing(sqlite3.connect(day.ledger_file)) as ledger:
        ledger.execute("CREATE TRIGGER full BEFORE INSERT ON ratings BEGIN SELECT RAISE(FAIL, 'the disk is full'); END")
    run.press("u")
    assert "Traceback" not in run.until(r"stepdown: .*the disk is full.*\n")
    (day.project / "go").write_text("")
    assert run.end()[0] == 0
    assert day.ticked() == [1, 2]


def test_in_the_background_it_leaves_the_terminal_alone(day: BadDay) -> None:
    """A shell's ``stepdown run &``: setting up somebody else's terminal would stop it."""
    day.agent("work()")
    shell = f"trap '' TTIN; {PROGRAM} run {day.project} --agent command --max-units 1 --yes & wait $!; echo code $?"
    terminal = Terminal("/bin/bash", "-mc", shell)
    try:
        assert "over" not in terminal.until(r"code 0\n")
    finally:
        terminal.close()
    assert day.ticked() == [1]
