"""The status line: what it says of what it is told, and that it is always one line, whatever it is told."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown import statusfile
from stepdown.cli.screen import TIER_STYLES
from stepdown.report.tables import styled
from stepdown.statusfile import Session, Status, Window
from stepdown.statusline import _BADGES, line, understood
from stepdown.units import TIERS

PROGRAM = Path(sys.executable).with_name("stepdown")
NOW = 1_800_000_000.0
SONNET = Session("anthropic", "claude-sonnet-4-6", "standard", applied=True)


class Room:
    """A project and a home of stepdown's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.project = folder / "project"
        (self.home / "status").mkdir(parents=True)
        (self.project / "src").mkdir(parents=True)

    def leave(self, *, project: Path | None = None, **more: Any) -> None:
        """A gateway's word; this process stands for the gateway."""
        where = str(project or self.project)
        known = {
            "at": NOW,
            "url": "http://127.0.0.1:1",
            "pid": os.getpid(),
            "born": statusfile.born(os.getpid()),
            "mode": "full",
        }
        status = Status(**{**known, "sessions": {"s": SONNET}, **more, "project": where})
        Path(statusfile.file_of(str(self.home), where)).write_bytes(statusfile.encoded(status))

    def line(self, *, now: float = NOW, no_color: bool = True, base_url: str = "", **said: Any) -> str:
        """What is shown for this word of the agent's."""
        words = {"session_id": "s", "model": {"id": "claude-opus-4-6"}, "workspace": {"project_dir": str(self.project)}, **said}
        environ = {"STEPDOWN_HOME": str(self.home), "ANTHROPIC_BASE_URL": base_url, **({"NO_COLOR": "1"} if no_color else {})}
        return line(understood(json.dumps(words).encode(), now), environ, now)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def limits(five: float, week: float, resets: float = NOW + 600) -> dict[str, Any]:
    return {
        "five_hour": {"used_percentage": five, "resets_at": resets},
        "seven_day": {"used_percentage": week, "resets_at": NOW + 90_000},
    }


def test_model_saving_and_windows_stand_on_one_line(room: Room) -> None:
    room.leave(saved=3.2)
    assert room.line(rate_limits=limits(62, 31)) == "[S] sonnet-4-6 · saved $3.20 at API prices · 5h 62% · wk 31%"


def test_badges_and_colours_are_those_of_the_commands() -> None:
    for tier in TIERS:
        badge, color = _BADGES[tier.value]
        assert f"\x1b[{color}m{badge}\x1b[0m" == styled(tier.badge, TIER_STYLES[tier])


def test_it_is_coloured_unless_the_user_wants_none(room: Room) -> None:
    room.leave(saved=3.2)
    colored = room.line(no_color=False, rate_limits=limits(75, 90))
    assert (
        colored == "\x1b[36m[S]\x1b[0m sonnet-4-6 · saved $3.20 at API prices · \x1b[33m5h 75%\x1b[0m · \x1b[31mwk 90%\x1b[0m"
    )
    assert "\x1b" not in room.line(rate_limits=limits(75, 90))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({}, "[S] sonnet-4-6"),
        ({"saved": 0.0}, "[S] sonnet-4-6 · saved $0.00 at API prices"),
        ({"saved": -0.4}, "[S] sonnet-4-6 · cost $0.40 more at API prices"),
        ({"saved": 3.2, "mode": "observe"}, "[S] sonnet-4-6 · observe"),
        ({"pin": "claude-opus-4-6", "until": NOW + 60}, "[S] sonnet-4-6 · pinned to opus-4-6"),
        ({"pin": "heavy", "until": NOW - 60}, "[S] sonnet-4-6"),
        ({"budget": ("budget_ceiling", 0.421)}, "[S] sonnet-4-6 · budget 42%"),
        ({"sessions": {}}, "opus-4-6"),
        ({"sessions": {"s": SONNET._replace(tier="", model="my-model")}}, "my-model"),
        ({"pid": 0, "saved": 3.2}, "opus-4-6 · gateway not running · saved $3.20 at API prices"),
        ({"pid": 0, "mode": "observe", "pin": "heavy", "until": NOW + 60}, "opus-4-6 · gateway not running"),
        ({"born": "1"}, "opus-4-6 · gateway not running"),
    ],
)
def test_what_is_unknown_is_left_out(room: Room, said: Mapping[str, Any], shown: str) -> None:
    if "born" in said and not statusfile.born(os.getpid()):
        pytest.skip("this system does not say when a process began")
    room.leave(**said)
    assert room.line() == shown


def test_a_process_that_has_gone_is_no_gateway(room: Room) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    room.leave(pid=gone.pid, born="", windows=(Window("anthropic", "5h", 0.5, NOW + 60, NOW),))
    assert room.line() == "opus-4-6 · gateway not running · 5h 50%"


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        (Window("anthropic", "5h", 0.7, NOW + 600, NOW), " · 5h 70%"),  # another session has used more of it
        (Window("anthropic", "5h", 0.1, NOW + 600, NOW), " · 5h 62%"),
        (Window("anthropic", "5h", 0.1, NOW + 9000, NOW), " · 5h 10%"),  # a newer window
        (Window("anthropic", "5h", 0.9, NOW - 1, NOW), " · 5h 62%"),
        (Window("anthropic", "5h", 0.9, None, NOW), " · 5h 62%"),
        (Window("openai", "5h", 0.9, NOW + 600, NOW), " · 5h 62%"),
    ],
)
def test_the_newer_word_on_a_window_counts(room: Room, ours: Window, shown: str) -> None:
    room.leave(windows=(ours,))
    assert room.line(rate_limits={"five_hour": limits(62, 0)["five_hour"]}) == f"[S] sonnet-4-6{shown}"


def test_a_window_that_has_begun_anew_is_not_shown(room: Room) -> None:
    room.leave(
        windows=(Window("anthropic", "5h", 0.9, NOW - 1, NOW - 5), Window("anthropic", "week", 0.2, None, NOW - 8 * 86400))
    )
    assert room.line(rate_limits={"five_hour": limits(62, 0, NOW - 1)["five_hour"]}) == "[S] sonnet-4-6"


def test_the_project_is_the_nearest_one_above(room: Room) -> None:
    room.leave(saved=3.2)
    assert "$3.20" in room.line(session_id="new", workspace={"project_dir": str(room.project / "src")})
    assert "no gateway" in room.line(session_id="new", workspace={"project_dir": str(room.project.parent)})


def test_a_session_that_is_counted_for_another_project_is_found_there(room: Room, tmp_path: Path) -> None:
    room.leave(project=tmp_path / "elsewhere", saved=3.2)
    assert room.line() == "[S] sonnet-4-6 · saved $3.20 at API prices"


def test_before_a_first_request_the_gateway_it_will_go_to_is_known_but_not_what_that_saved_elsewhere(
    room: Room, tmp_path: Path
) -> None:
    room.leave(project=tmp_path / "elsewhere", saved=3.2, mode="observe", url="http://127.0.0.1:8787")
    assert room.line(session_id="new", base_url="http://127.0.0.1:8787/") == "opus-4-6 · observe"
    assert room.line(session_id="new", base_url="http://127.0.0.1:9999") == "opus-4-6 · no gateway"
    room.leave(project=tmp_path / "elsewhere", pid=0, url="http://127.0.0.1:8787")
    assert room.line(session_id="new", base_url="http://127.0.0.1:8787") == "opus-4-6 · no gateway"


def test_a_long_path_has_a_file_too(room: Room) -> None:
    deep = Path("/" + "/".join(["a" * 100] * 5))
    room.leave(project=deep, saved=1.0)
    assert "$1.00" in room.line(workspace={"project_dir": str(deep)})


def test_names_from_files_do_not_drive_the_terminal(room: Room) -> None:
    room.leave(sessions={"s": SONNET._replace(model="so\x1b[2Jnn\net\u202e" + "x" * 500)}, pin="a\x1bb\n", until=NOW + 1)
    shown = room.line()
    assert shown.isprintable()
    assert len(shown) < 200


def test_without_anything_it_says_so(tmp_path: Path) -> None:
    assert line(understood(b"", NOW), {"STEPDOWN_HOME": str(tmp_path)}, NOW) == "no gateway"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = ("session_id", "model", "workspace", "rate_limits", "cwd")


@given(
    st.binary() | st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _JSON)).map(lambda said: json.dumps(said).encode())
)
def test_whatever_it_is_told_it_is_one_line(content: bytes) -> None:
    shown = line(understood(content, NOW), {"STEPDOWN_HOME": "/nowhere"}, NOW)
    assert shown
    assert shown.encode("utf-8", "replace").count(b"\n") == 0


@given(st.binary() | _JSON.map(lambda said: json.dumps(said).encode()))
def test_whatever_a_file_holds_it_is_a_status_or_none(content: bytes) -> None:
    found = statusfile.decoded(content)
    assert found is None or statusfile.decoded(statusfile.encoded(found)) == found


_FIELDS = st.fixed_dictionaries(
    {"project": st.text(), "pid": st.integers()},
    optional=dict.fromkeys(set(Status._fields) - {"project", "pid"}, _JSON),
)


@given(_FIELDS)
def test_single_values_that_cannot_be_are_left_out(said: dict[str, Any]) -> None:
    found = statusfile.decoded(json.dumps(said).encode())
    assert found is not None
    assert statusfile.decoded(statusfile.encoded(found)) == found


def call(room: Room, **how: Any) -> "subprocess.CompletedProcess[bytes]":
    environ = {"PATH": os.environ["PATH"], "HOME": str(room.home), "STEPDOWN_HOME": str(room.home)}
    # The working directory is the project: what an agent does.
    return subprocess.run([PROGRAM, "statusline"], cwd=room.project, env=environ, check=False, timeout=30, **how)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\x00\xfe" * 100, b"[" * 100_000, b"1" * 3_000_000, b'{"cwd": "/\\u0000"}']
)
def test_the_program_prints_one_line_and_ends_well(room: Room, content: bytes) -> None:
    said = call(room, input=content, capture_output=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"no gateway\n", b"")


def test_a_status_file_that_is_none_is_no_gateway(room: Room) -> None:
    file = Path(statusfile.file_of(str(room.home), str(room.project.resolve())))
    for content in (b"", b"{", b"\xff" * 100, b'{"project": 1, "pid": "x"}', b"[" * 100_000, b" " * 2_000_000):
        file.write_bytes(content)
        said = call(room, input=b"", capture_output=True)
        assert (said.returncode, said.stdout, said.stderr) == (0, b"no gateway\n", b"")
    file.unlink()
    file.mkdir()
    assert call(room, input=b"", capture_output=True).stdout == b"no gateway\n"


def test_standard_input_that_never_ends_is_not_waited_for(room: Room) -> None:
    room.leave(project=room.project.resolve(), pid=0)
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b'{"model": {"id": "claude-opus-4-6"}}')
        begun = time.monotonic()
        said = call(room, stdin=ours, capture_output=True)
        assert time.monotonic() - begun < 10
    finally:
        os.close(ours)
        os.close(theirs)
    assert (said.returncode, said.stdout.decode()) == (0, "opus-4-6 · gateway not running\n")


def test_a_terminal_is_not_waited_for(room: Room) -> None:
    ours, theirs = pty.openpty()
    try:
        said = call(room, stdin=theirs, capture_output=True)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"no gateway\n", b"")


def test_nobody_who_reads_it_is_no_trouble(room: Room) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        said = call(room, input=b"", stdout=theirs, stderr=subprocess.PIPE)
    finally:
        os.close(theirs)
    assert (said.returncode, said.stderr) == (0, b"")


def test_it_imports_next_to_nothing() -> None:
    code = "import sys; sys.argv[1:] = ['statusline']; from stepdown.__main__ import main; main(); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in said.stdout.split()}
    assert "stepdown" in loaded
    assert not loaded & {"click", "msgspec", "pathlib", "socket", "sqlite3", "subprocess"}


def test_its_help_is_the_command_lines() -> None:
    said = subprocess.run([PROGRAM, "statusline", "--help"], capture_output=True, text=True, check=True)
    assert "connect claude" in said.stdout
    assert "statusline" in subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
