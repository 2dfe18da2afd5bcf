"""Lines that are redrawn in place, as a real terminal (tmux) and a real pty show them."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pane import Pane

from stepdown.cli.terminal import can_redraw

SHOWS = """
import os, sys, time
from pathlib import Path
from stepdown.cli.terminal import InPlace
sys.stdout.reconfigure(errors="replace")
place = InPlace(lambda columns, rows: [f"row {n} ".ljust(columns - 1, "=") for n in range(5)], sys.stdout)
go = Path(sys.argv[1])
print(*(f"before {n}" for n in range(30)), sep="\\n")  # tmux takes what wraps from the top, and these are there
place.open()
number = 0
while not go.exists():
    place.paint()
    if number % 10 == 0:
        print(f"line {number // 10:02}")
    if number == 15:
        print("a problem", file=sys.stderr)
    sys.stdout.write("half a " if number == 21 else "line\\n" if number == 22 else "")
    number += 1
    time.sleep(0.02)
with place.paused():
    print("a question?")
print("after it")
sys.stdout.write("no end")
place.close()
print("the end")
"""


def test_what_is_printed_scrolls_by_above_whatever_becomes_of_the_terminals_size(
    pane: Callable[..., Pane], tmp_path: Path
) -> None:
    go, script = tmp_path / "go", tmp_path / "shows.py"
    script.write_text(SHOWS)
    shown = pane(f"{sys.executable} {script} {go}", columns=100, rows=12)
    shown.until(lambda text: "line 04" in text)
    assert not shown.cursor_is_shown()
    for columns, rows in ((60, 12), (140, 12), (90, 30), (90, 8), (70, 10)):
        shown.resize(columns, rows)
        text = shown.until(lambda text, width=columns - 1: len(text.splitlines()[-1]) == width)  # type: ignore[misc]
        assert [row for row in text.splitlines() if row.startswith("row")] == text.splitlines()[-5:]
    go.touch()
    text = shown.until(lambda text: "the end" in text)
    assert "row" not in text
    lines = [line for line in text.splitlines() if "line 0" in line or "line 1" in line]
    assert lines == sorted(set(lines))
    assert text.splitlines()[-4:] == ["a question?", "after it", "no end", "the end"]
    assert {"a problem", "half a line"} <= set(text.splitlines())
    assert shown.cursor_is_shown()


def test_a_pipe_a_file_and_a_terminal_that_is_somebody_elses_are_not_drawn_on() -> None:
    ours, theirs = pty.openpty()
    try:
        with open(theirs, "w", encoding="utf-8", closefd=False) as terminal:
            assert terminal.isatty()
            assert not can_redraw(terminal, {"TERM": "xterm"})  # it is not the one that we were started from
    finally:
        os.close(ours)
        os.close(theirs)
    assert not can_redraw(io.StringIO(), {"TERM": "xterm"})


ASKS = "import sys, stepdown.cli.terminal as it; print(it.can_redraw(sys.stdout))"


@pytest.mark.parametrize(
    ("variables", "can"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
        ({"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}, False),
    ],
)
def test_what_a_terminal_has_to_be_able_to(variables: dict[str, str], can: bool) -> None:
    ours, theirs = pty.openpty()
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    try:
        subprocess.run(
            [sys.executable, "-SE", "-c", take, sys.executable, "-c", ASKS],
            stdin=theirs,
            stdout=theirs,
            start_new_session=True,
            check=True,
            timeout=30,
            env={**os.environ, "TERM": "xterm", **variables},
        )
        assert os.read(ours, 100).decode().strip() == str(can)
    finally:
        os.close(ours)
        os.close(theirs)
