"""Claude Code's status line and ``/rate``: written where there is room for them, and taken back without a trace."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stepdown.clients import CLIENTS
from stepdown.clients.connection import Connected, Connections, Edit
from stepdown.clients.records import Lasting, There
from stepdown.whole import write_whole

THERE = There(url="http://127.0.0.1:8787", behind={"anthropic": "https://api.anthropic.com"})
MINE = {"hooks": [{"type": "command", "command": "log-it"}]}


class Home:
    """A user's directory with Claude Code in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / ".claude" / "settings.json"
        self.rate = folder / ".claude" / "commands" / "rate.md"
        self.settings.parent.mkdir()
        self.connections = Connections(folder / "kept")

    @property
    def lasting(self) -> Lasting:
        found = CLIENTS["claude"].lasting(THERE, {"HOME": str(self.folder)})
        assert found is not None
        return found

    def connect(self, lasting: Lasting | None = None) -> Edit:
        edit, connected = self.connections.connecting("claude", lasting or self.lasting, THERE)
        if not edit.is_nothing:
            self.connections.connect("claude", edit, connected)
        return edit

    def undo(self) -> Edit:
        connected = self.connections.known("claude")
        assert connected is not None
        edit = self.connections.undoing("claude", connected, self.lasting.format)
        self.connections.undo("claude", edit)
        return edit

    def says(self) -> Any:
        return json.loads(self.settings.read_text())

    def write(self, said: object) -> None:
        self.settings.write_text(json.dumps(said, indent=2))

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")} - {"kept"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_both_are_written_and_taken_back_without_a_trace(home: Home) -> None:
    text = '{"model": "opus", // mine\n "hooks": {"Stop": []}}'
    home.settings.write_text(text)
    home.connect()
    said = home.lasting.format.parse(home.settings.read_text())
    assert said["statusLine"]["type"] == "command"
    (hook,) = said["hooks"]["UserPromptExpansion"]
    assert hook["matcher"] == "rate"
    assert "over|under|ok" in home.rate.read_text()
    assert home.connect().is_nothing
    assert home.undo().notes == ()
    assert home.settings.read_text() == text
    assert home.files() == {".claude", ".claude/settings.json"}


def test_the_commands_run_from_anywhere(home: Home, tmp_path: Path) -> None:
    home.connect()
    environ = {"HOME": str(tmp_path), "STEPDOWN_HOME": str(tmp_path / "none"), "NO_COLOR": "1"}
    said = home.says()

    def run(command: str, stdin: str) -> str:
        said = subprocess.run(
            command, shell=True, cwd="/", env=environ, input=stdin, capture_output=True, text=True, check=True
        )
        return said.stdout

    assert run(said["statusLine"]["command"], '{"model": {"id": "claude-opus-4-6"}}') == "opus-4-6 · no gateway\n"
    asked = json.dumps({"session_id": "s", "command_name": "rate", "command_args": "under", "command_source": "userSettings"})
    (hook,) = said["hooks"]["UserPromptExpansion"]
    answer = json.loads(run(hook["hooks"][0]["command"], asked))
    assert answer["decision"] == "block"
    assert answer["reason"].startswith("stepdown: no gateway is running")


def test_a_status_line_of_the_users_stays(home: Home) -> None:
    theirs = {"type": "command", "command": "my-line"}
    home.write({"statusLine": theirs})
    (note,) = home.connect().notes
    assert "is your own, and stays" in note
    assert home.says()["statusLine"] == theirs
    assert home.rate.exists()
    home.undo()
    assert home.says() == {"statusLine": theirs}


def test_a_command_of_the_users_stays_and_nothing_answers_in_its_place(home: Home) -> None:
    home.rate.parent.mkdir()
    home.rate.write_text("Rate my code.")
    (note,) = home.connect().notes
    assert f"{home.rate} is your own" in note
    assert "hooks" not in home.says()
    home.undo()
    assert home.rate.read_text() == "Rate my code."


@pytest.mark.parametrize("hooks", [[], "x", {"UserPromptExpansion": "x"}, {"UserPromptExpansion": {}}])
def test_hooks_that_are_not_understood_are_left_alone(home: Home, hooks: object) -> None:
    home.write({"hooks": hooks})
    (note,) = home.connect().notes
    assert "hooks are not understood" in note
    assert home.says()["hooks"] == hooks
    assert not home.rate.exists()


def test_the_users_own_hooks_stay_whatever_is_done_to_them_in_between(home: Home) -> None:
    home.write({"hooks": {"UserPromptExpansion": [MINE]}})
    before = home.settings.read_text()
    home.connect()
    first, ours = home.says()["hooks"]["UserPromptExpansion"]
    assert first == MINE
    other = {"matcher": "x", **MINE}
    for members in ([ours, MINE, other], [ours], [other, ours]):
        home.write({**home.says(), "hooks": {"UserPromptExpansion": members}})
        home.connect()  # again, in between
        assert home.says()["hooks"]["UserPromptExpansion"].count(ours) == 1
        home.undo()
        kept = [one for one in members if one != ours]
        assert home.says().get("hooks", {}).get("UserPromptExpansion", []) == kept
        home.settings.write_text(before)
        home.connect()
    home.undo()
    assert home.settings.read_text() == before


def test_a_file_that_its_program_has_written_anew_is_put_back_all_the_same(home: Home) -> None:
    home.settings.write_text('{"hooks":{"UserPromptExpansion":[{"hooks":[{"type":"command","command":"log-it"}]}]}}')
    home.connect()
    home.settings.write_text(json.dumps({"theme": "dark", **home.says()}))  # on one line, and something more
    assert home.undo().notes == ()
    assert home.says() == {"theme": "dark", "hooks": {"UserPromptExpansion": [MINE]}}
    assert not home.rate.parent.exists()


def test_what_the_user_changed_since_stays(home: Home) -> None:
    home.connect()
    home.write({**home.says(), "statusLine": {"type": "command", "command": "my-line"}})
    home.rate.write_text("Mine now.")
    notes = home.undo().notes
    assert any("statusLine was changed since" in note for note in notes)
    assert any(f"{home.rate} was changed since" in note for note in notes)
    assert home.says() == {"statusLine": {"type": "command", "command": "my-line"}}
    assert home.rate.read_text() == "Mine now."


def test_without_them_they_go_again_and_the_rest_stays(home: Home) -> None:
    home.write({"model": "opus"})
    home.connect()
    home.connect(home.lasting.bare)
    assert set(home.says()) == {"model", "env"}
    assert not home.rate.parent.exists()
    home.undo()
    assert home.says() == {"model": "opus"}


def test_other_commands_of_the_users_keep_their_directory(home: Home) -> None:
    home.connect()
    home.rate.with_name("mine.md").write_text("Mine.")
    home.undo()
    assert home.files() == {".claude", ".claude/commands", ".claude/commands/mine.md"}


def test_another_installation_takes_the_place_of_the_first(home: Home) -> None:
    home.connect()
    kept = home.folder / "kept" / "claude.json"
    for file in (home.settings, kept):
        file.write_text(file.read_text().replace("/stepdown ", "/old/stepdown "))
    home.connect()
    said = home.says()
    assert "/old/" not in json.dumps(said)
    assert len(said["hooks"]["UserPromptExpansion"]) == 1
    home.undo()
    assert home.files() == {".claude"}


def test_what_an_earlier_version_remembered_can_be_taken_back(home: Home) -> None:
    """Before there were extras, a connection knew of one file and of words alone."""
    home.connect(home.lasting.bare)
    kept = home.folder / "kept" / "claude.json"
    said = json.loads(kept.read_text())
    del said["own"]
    for change in said["changes"]:
        del change["member"]
    write_whole(kept, json.dumps(said).encode())
    known = home.connections.known("claude")
    assert isinstance(known, Connected)
    home.connect()
    assert home.rate.exists()
    home.undo()
    assert home.files() == {".claude"}
