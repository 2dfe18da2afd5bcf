"""`stepdown run` as somebody sees it who sits in front of it: in tmux, while it runs and afterwards."""

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_day import BadDay
from pane import Pane

from stepdown.ledger import open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

PROGRAM = Path(sys.executable).with_name("stepdown")
LYING = Fault(kind="wrong", model="claude-haiku-4-5", unit="M002/S02/T03")
"""The light model says that it wrote the manual, and did not."""


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    """Takes a moment for each answer, so that there is something to be seen."""
    served = PracticeProvider(faults=[LYING, Fault(kind="late", pause=0.5, times=0)])
    served.start()
    yield served
    served.stop()


@pytest.fixture
def command(example: Path, provider: PracticeProvider) -> str:
    """Runs the example from where the README is repaired to where the manual is written."""
    preferences = example / ".gsd/PREFERENCES.md"
    named = f"providers:\n  practice: {{base_url: '{provider.url}'}}\nbudget_ceiling"
    preferences.write_text(preferences.read_text().replace("budget_ceiling", named, 1))
    return f"TERM=screen {PROGRAM} run {shlex.quote(str(example))} --agent practice --yes"


def test_a_unit_runs_one_steps_up_and_the_plan_goes_on(pane: Callable[..., Pane], command: str) -> None:
    shown = pane(f"{command} --max-units 7", columns=100, rows=36)

    first = shown.until(lambda text: "execute-task M002/S02/T01  0:0" in text and "    · t" in text)
    assert re.search(r"^[⠋-⠿] \[L\]  execute-task M002/S02/T01  Fix the misspelled", first, re.MULTILINE)
    assert re.search(r"^  \[S\]  execute-task M002/S02/T02 .* claude-sonnet-4-6 +~\$", first, re.MULTILINE)
    assert re.search(r"^━+─+  1\d of 2\d units, 0:\d\d, ~\d+s to go$", first, re.MULTILINE)
    assert re.search(r"^spent \$[\d.]+, ~\$[\d.]+ to go, saved ~\$[\d.]+$", first, re.MULTILINE)
    assert not shown.cursor_is_shown()

    stepped = shown.until(lambda text: "execute-task M002/S02/T03  stepped up  0:0" in text)
    assert "FAILED (quality)" in stepped
    assert re.search(r"^[⠋-⠿] \[S\]  execute-task M002/S02/T03", stepped, re.MULTILINE)

    end = shown.until(lambda text: "(estimated)." in text)
    assert re.search(r"^7 units done, \d of them on less than their ceiling, 1 of them after stepping up\.$", end, re.MULTILINE)
    assert not re.search(r"[⠋-⠿✓━]|to go", end)
    assert re.search(r"^  7  \[L\] claude-haiku-4-5  execute-task M002/S02/T03: Write the manual$", end, re.MULTILINE)
    assert re.search(r"^     \[S\] claude-sonnet-4-6  stepped up$\n^         done, verified; ", end, re.MULTILINE)
    assert shown.cursor_is_shown()


def test_the_terminal_is_made_smaller_and_larger(pane: Callable[..., Pane], command: str) -> None:
    # Made narrower, tmux makes room from the top of the screen, even where its end is empty: there has to be something.
    shown = pane(f"seq 40; {command} --max-units 6", columns=140, rows=30)
    shown.until(lambda text: "  2  [S]" in text)
    for columns, rows in ((80, 30), (60, 30), (60, 20), (60, 12), (120, 40)):
        shown.resize(columns, rows)
        bars = shown.until(lambda text: "━" in text).count("━─")
        assert bars == 1
        time.sleep(0.5)  # two drawings
        lines = shown.screen().splitlines()
        assert max(map(len, lines)) <= columns
        assert sum("units, 0:" in line for line in lines) == 1
    end = shown.until(lambda text: "(estimated)." in text)
    assert not re.search(r"[⠋-⠿✓━]|to go", end)
    assert [line[:8] for line in end.splitlines() if re.match(r"  \d  \[", line)] == [
        f"  {n}  [{t}]" for n, t in enumerate("SSLLLS", 1)
    ]


def test_ctrl_c_names_what_was_under_way_and_leaves_the_terminal_as_it_was(pane: Callable[..., Pane], command: str) -> None:
    shown = pane(f"{command} --max-units 6; stty -a | grep -o -- '-*icanon'")
    shown.until(lambda text: "    · t" in text)
    shown.press("C-c")
    end = shown.until(lambda text: "icanon" in text).splitlines()
    assert "  1  [S] claude-sonnet-4-6  validate-milestone M001: A list one can talk to" in end
    assert end[-2:] == ["stepdown: stopped", "icanon"]
    assert not [line for line in end if line[:1] in {"✓", "━", "⠋"}]
    assert shown.cursor_is_shown()


def test_with_ctrl_z_the_shell_has_its_terminal_and_the_run_goes_on(pane: Callable[..., Pane], command: str) -> None:
    shown = pane("PS1='ready> ' bash --norc -i")
    shown.press(f"{command} --max-units 3", "Enter")
    shown.until(lambda text: "    · t" in text)
    shown.press("C-z")
    stopped = shown.until(lambda text: "Stopped" in text and text.endswith("ready>"))
    assert not re.search(r"[⠋-⠿✓━]", stopped)
    assert shown.cursor_is_shown()
    shown.press("bg", "Enter")
    shown.until(lambda text: "  2  [S]" in text)
    shown.press("echo still $((40 + 2))", "Enter")
    background = shown.until(lambda text: "still 42" in text)
    assert not re.search(r"[⠋-⠿✓━]", background)
    shown.press("fg", "Enter")
    shown.until(lambda text: "3 units done" in text and text.endswith("ready>"))
    assert shown.cursor_is_shown()


def test_what_a_plan_says_drives_no_terminal(pane: Callable[..., Pane], tmp_path: Path, ledger_file: Path) -> None:
    day = BadDay(tmp_path, ledger_file)
    day.agent('print("\\x1b[2Jowned \\x9b31m[red]bold", flush=True); work(); time.sleep(1)')
    plan = day.project / ".gsd/milestones/M001/slices/S01/S01-PLAN.md"
    plan.write_text(plan.read_text().replace("Fix a typo", "Fix \x1b]0;owned\x07\x1b[2J\x9b31m [bold]読み込み 🎉 \u202egpj"))
    shown = pane(f"TERM=screen {PROGRAM} run {day.project} --agent command --yes --max-units 1", columns=120)
    text = shown.until(lambda text: "· text" in text)
    assert "[bold]読み込み 🎉" in text
    assert "[red]bold" in text
    assert "execute-task M001/S01/T02" in text
    shown.until(lambda text: "1 units done" in text)


def test_no_colours_where_none_are_wanted(pane: Callable[..., Pane], command: str) -> None:
    shown = pane(f"export NO_COLOR=1; {command} --max-units 1")
    shown.until(lambda text: "    · t" in text)
    assert "\x1b[" not in shown.text(styles=True)


def test_plain_lines_stay_what_they_were(pane: Callable[..., Pane], command: str, ledger_file: Path) -> None:
    shown = pane(f"{command} --max-units 1 --plain")
    shown.until(lambda text: "  1  [S] claude-sonnet-4-6  validate-milestone M001" in text)
    assert shown.cursor_is_shown()
    assert not re.search(r"[⠋-⠿✓━]", shown.until(lambda text: "1 units done" in text))
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        assert len(ledger.records()) == 1
