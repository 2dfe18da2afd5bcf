"""Wrong calls, odd terminals, closed pipes: the program says one line and ends with a documented code."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stepdown.cli import COMMANDS

Said = subprocess.CompletedProcess[str]

PROGRAM = Path(sys.executable).with_name("stepdown")


def test_no_command_shows_the_help(call: Callable[..., Said]) -> None:
    said = call()
    assert said.returncode == 2
    assert not said.stdout
    assert all(name in said.stderr for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_has_help(name: str, call: Callable[..., Said]) -> None:
    said = call(*filter(None, (name, "--help")))
    assert said.returncode == 0
    assert not said.stderr
    assert "Usage: stepdown" in said.stdout
    assert "--help" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plam",), "did you mean 'plan'?"),
        (("frobnicate",), "there are: audit, plan, decide"),
        (("plan", "--jsno"), "'--jsno'"),
        (("plan", ".", "extra"), "extra"),
        (("run", "--max-units", "0"), "'--max-units'"),
        (("run", "--max-units", "many"), "'--max-units'"),
        (("decide",), "TYPE"),
        (("decide", ""), "TYPE is empty"),
        (("decide", "execute-task\nrm"), r"'execute-task\nrm"),
        (("decide", "execute\x1b[31m"), r"'execute\x1b[31m"),
        (("decide", "execute-task", "--id", "M001\r"), r"M001\r"),
        (("decide", "execute-task", "--budget-used", "nan"), "--budget-used"),
        (("decide", "execute-task", "--budget-used", "inf"), "--budget-used"),
        (("decide", "execute-task", "--budget-used", "-1"), "--budget-used"),
        (("decide", "execute-task", "--budget-used", "half"), "'--budget-used'"),
        (("decide", "execute-task", "--retry-of", "bogus"), "'light', 'standard', 'heavy'"),
        (("models", "claude-sonet-4-6"), "claude-sonnet-4-6"),
        (("models", "--tier", "huge"), "'light', 'standard', 'heavy'"),
        (("x\x1b]0;owned\x07",), "there is no command"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: tuple[str, ...], words: str, refused: Callable[..., str], home: Path) -> None:
    said = refused(2, *arguments)
    assert len(said.splitlines()) == 1
    assert words in said
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    "arguments", [("status",), ("preferences",), ("doctor",), ("models", "--project"), ("decide", "x", "--project")]
)
def test_a_project_has_to_be_a_directory(arguments: tuple[str, ...], refused: Callable[..., str], tmp_path: Path) -> None:
    assert "nowhere: there is no such directory" in refused(3, *arguments, "nowhere")
    (tmp_path / "file").write_text("hello")
    assert "file is not a directory" in refused(3, *arguments, "file")


def test_a_directory_that_has_gone(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for command in (["plan"], ["status"], ["run", "--agent", "practice"], ["decide", "execute-task"]):
        assert "there is no such directory" in refused(3, *command)
    monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_onto_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([PROGRAM, "models"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == b"stepdown: reading or writing failed: No space left on device\n"


def test_a_plan_file_that_is_missing_or_a_directory(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "nowhere.md" in refused(3, "decide", "execute-task", "--plan", "nowhere.md")
    assert "directory" in refused(3, "decide", "execute-task", "--plan", tmp_path)


@pytest.mark.parametrize("content", [os.urandom(4096), b"\0" * 4096, b"\xff\xfe\x00", b"- [ ] step\n" * 1_000_000])
def test_a_plan_file_of_any_bytes_is_decided(content: bytes, call: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "T01-PLAN.md").write_bytes(content)
    said = call("decide", "execute-task", "--plan", "T01-PLAN.md", "--ceiling", "claude-sonnet-4-6")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("[")


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["preferences"]])
def test_a_closed_pipe_is_no_noise(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # the reader has gone before the first line
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run([PROGRAM, *arguments], stdout=pipe, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, " an "),  # no encoding is known to be right here
        ({"PYTHONIOENCODING": "ascii:strict"}, " an "),
        ({"PYTHONIOENCODING": "latin-1"}, "Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e an ??"),
    ],
)
def test_a_terminal_without_unicode_shows_what_it_can(
    variables: dict[str, str], shown: str, small: Path, program: Callable[..., Said]
) -> None:
    plan = small / ".gsd/milestones/M001/slices/S01/S01-PLAN.md"
    plan.write_text(plan.read_text().replace("Say hello", "Grüße an 日本"), encoding="utf-8")
    said = program("plan", small, **variables)
    assert (said.returncode, said.stderr) == (0, "")
    assert shown in said.stdout
    said = program("plan", small, "--json", **variables)
    assert (said.returncode, said.stderr) == (0, "")
    assert "Grüße an 日本" in said.stdout  # JSON is UTF-8 anywhere


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no file names that are not UTF-8")
@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("plan",), ("plan", "--json"), ("report", "--json")])
def test_a_directory_whose_name_is_not_utf8(arguments: tuple[str, ...], small: Path, call: Callable[..., Said]) -> None:
    odd = small.rename(small.with_name(os.fsdecode(b"caf\xe9")))
    said = call(*arguments, odd)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout


def on_a_terminal(*arguments: str | Path, columns: int) -> str:
    """What the program writes to a terminal of that width, raw."""
    ours, its = pty.openpty()
    child = subprocess.Popen(
        [PROGRAM, *arguments],
        stdout=its,
        stderr=its,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm"},
    )
    os.close(its)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert child.wait(60) == 0
    return said.decode()


def test_a_narrow_terminal_cuts_tables_and_nothing_drives_it(small: Path) -> None:
    plan = small / ".gsd/milestones/M001/slices/S01/S01-PLAN.md"
    evil = "Say \x1b]0;owned\x07\x1b[2J\x9b31m hello, at some length, to everyone"
    plan.write_text(plan.read_text().replace("Say hello", evil), encoding="utf-8")
    said = on_a_terminal("plan", small, columns=40)
    colours = re.compile(r"\x1b\[[0-9;]*m")
    assert colours.search(said)
    plain = colours.sub("", said)
    assert all(character.isprintable() or character in "\r\n" for character in plain)
    table = plain.split("\r\n\r\n")[0].splitlines()
    assert len(table) > 2
    assert max(map(len, table)) <= 40
    assert "\x9b" not in on_a_terminal("plan", small, "--json", columns=40)


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["plan", "--help"]])
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, stepdown.cli\n"
        "try: stepdown.cli.main()\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stderr.split())
    assert {"stepdown", "click"} <= loaded
    assert not loaded & {"aiohttp", "starlette", "rich", "asyncpg", "jinja2", "uvicorn"}
