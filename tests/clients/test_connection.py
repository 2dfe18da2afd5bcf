"""Configurations pointed at a gateway and put back, whatever happened to them in between."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.clients import CLIENTS
from stepdown.clients.connection import Connections, diff
from stepdown.clients.records import There
from stepdown.errors import GatewayError

THERE = There(
    url="http://127.0.0.1:8787", behind={"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
)
ELSEWHERE = There(url="http://127.0.0.1:9000", behind=THERE.behind)

FILES = {
    "claude": (".claude/settings.json", '{\n  "model": "opus", // mine\n  "env": {\n    "FOO": "1"\n  }\n}\n'),
    "codex": (".codex/config.toml", '# mine\nmodel = "gpt-5.5"\n\n[features]\nweb = true # yes\n'),
    "opencode": (".config/opencode/opencode.json", '{"provider": {"anthropic": {"options": {"timeout": 5}}}}'),
    "qwen": (".qwen/settings.json", '{\r\n    "env": {}\r\n}\r\n'),
    "aider": (".aider.conf.yml", "# mine\nmodel: sonnet\ndark-mode: true"),
    "pi": (".pi/agent/models.json", "{}"),
}


class Home:
    """A user's directory with one client in it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.connections = Connections(folder / "kept")
        self.environ = {"HOME": str(folder)}
        self.file = folder / FILES[name][0]

    def write(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text, encoding="utf-8", newline="")

    def text(self) -> str:
        with self.file.open(encoding="utf-8", newline="") as file:
            return file.read()

    def connect(self, there: There = THERE) -> bool:
        """Whether anything changed."""
        lasting = CLIENTS[self.name].lasting(there, self.environ)
        assert lasting is not None
        edit, connected = self.connections.connecting(self.name, lasting, there)
        if edit.before == edit.after:
            return False
        self.connections.connect(self.name, edit, connected)
        return True

    def undo(self) -> tuple[str, ...]:
        lasting, connected = CLIENTS[self.name].lasting(THERE, self.environ), self.connections.known(self.name)
        assert lasting is not None
        assert connected is not None
        edit = self.connections.undoing(self.name, connected, lasting.format)
        self.connections.undo(self.name, edit)
        return edit.notes

    def parsed(self) -> Any:
        lasting = CLIENTS[self.name].lasting(THERE, self.environ)
        assert lasting is not None
        return lasting.format.parse(self.text())


@pytest.fixture(params=list(FILES))
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    return Home(tmp_path, request.param)


def test_every_client_is_here() -> None:
    assert list(FILES) == list(CLIENTS)


def test_what_was_there_comes_back_byte_for_byte(home: Home) -> None:
    before = FILES[home.name][1]
    home.write(before)
    home.file.chmod(0o640)
    assert home.connect()
    assert THERE.url in home.text()
    assert home.file.stat().st_mode & 0o777 == 0o640
    assert home.connections.backup(home.name).read_bytes().decode() == before
    assert home.connections.backup(home.name).stat().st_mode & 0o077 == 0
    assert home.undo() == ()
    assert home.text() == before
    assert home.connections.known(home.name) is None
    assert not home.connections.backup(home.name).exists()


def test_where_nothing_was_nothing_is_left(home: Home) -> None:
    assert home.connect()
    home.undo()
    assert not home.file.exists()


def test_twice_is_once_and_another_gateway_replaces_the_first(home: Home) -> None:
    home.write(FILES[home.name][1])
    assert home.connect()
    first = home.text()
    assert not home.connect()
    assert home.text() == first
    assert home.connect(ELSEWHERE)
    assert ELSEWHERE.url in home.text()
    assert THERE.url not in home.text()
    home.undo()
    assert home.text() == FILES[home.name][1]


@pytest.mark.parametrize("existed", [True, False])
def test_what_the_user_changed_since_stays(home: Home, existed: bool) -> None:
    if existed:
        home.write(FILES[home.name][1])
    before = home.parsed() if existed else {}
    home.connect()
    addition = {"aider": "added: 1\n", "codex": "\n[added]\nx = 1\n"}.get(home.name)
    if addition is not None:
        text = home.text()
        home.write(text + ("" if text.endswith("\n") else "\n") + addition)
    else:
        home.write(json.dumps({"added": 1, **home.parsed()}))
    assert home.undo() == ()
    expected = {"added": {"x": 1} if home.name == "codex" else 1, **before}
    assert home.parsed() == expected


def test_what_came_between_two_connections_stays(tmp_path: Path) -> None:
    home = Home(tmp_path, "claude")
    home.write('{"model": "opus"}')
    home.connect()
    home.write(json.dumps({**home.parsed(), "theme": "dark"}))
    home.connect(ELSEWHERE)
    assert home.undo() == ()
    assert home.parsed() == {"model": "opus", "theme": "dark"}


def test_a_value_that_the_user_took_over_is_left_and_said(tmp_path: Path) -> None:
    home = Home(tmp_path, "claude")
    home.write('{"env": {"ANTHROPIC_BASE_URL": "https://api.anthropic.com", "FOO": "1"}}')
    home.connect()
    home.write(home.text().replace(THERE.url, "https://mine.example"))
    [note] = home.undo()
    assert "env.ANTHROPIC_BASE_URL was changed since" in note
    assert home.parsed() == {"env": {"ANTHROPIC_BASE_URL": "https://mine.example", "FOO": "1"}}


def test_an_address_that_was_there_comes_back(tmp_path: Path) -> None:
    home = Home(tmp_path, "claude")
    home.write('{"env": {"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}}')
    home.connect()
    home.write(json.dumps({**home.parsed(), "model": "opus"}))
    home.undo()
    assert home.parsed() == {"env": {"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}, "model": "opus"}


def test_a_file_that_has_gone_is_left_gone(home: Home) -> None:
    home.write(FILES[home.name][1])
    home.connect()
    home.file.unlink()
    [note] = home.undo()
    assert "has gone since" in note
    assert not home.file.exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    home = Home(tmp_path, "claude")
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "claude.json"
    target.write_text("{}")
    home.file.parent.mkdir()
    home.file.symlink_to(target)
    home.connect()
    assert home.file.is_symlink()
    assert THERE.url in target.read_text()
    home.undo()
    assert (home.file.is_symlink(), target.read_text()) == (True, "{}")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("claude", '{"env": {"ANTHROPIC_BASE_URL": "https://llm.corp.example"}}', "providers.anthropic.base_url"),
        ("codex", 'openai_base_url = "https://llm.corp.example/v1"', "providers.openai.base_url"),
        ("codex", 'model_provider = "azure"', "its provider 'azure'"),
        ("codex", "features = {a = true}", "add by hand openai_base_url"),
        ("codex", "features.a = true", "add by hand openai_base_url"),
        ("codex", "model = ", "cannot be read"),
        ("claude", "{", "line 1"),
        ("claude", "[]", "an object is expected"),
        ("claude", '{"env": 5}', "env is not an object"),
        ("aider", "set-env:\n  - A=1\n", "set-env already"),
        ("aider", "{model: x}", "add by hand openai-api-base"),
        ("aider", "a: [", "cannot be read"),
        ("opencode", '{"provider": {"openai": {"options": {"baseURL": "https://x.example/v1"}}}}', "https://x.example/v1"),
    ],
)
def test_what_cannot_be_changed_is_left_as_it_is_with_a_line(name: str, text: str, words: str, tmp_path: Path) -> None:
    home = Home(tmp_path, name)
    home.write(text)
    with pytest.raises(GatewayError) as problem:
        home.connect()
    assert words in str(problem.value)
    assert "\n" not in str(problem.value)
    assert home.text() == text
    assert home.connections.known(name) is None


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    home = Home(tmp_path, "claude")
    home.write("")
    home.file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(GatewayError, match="UTF-8"):
        home.connect()
    home.file.unlink()
    home.file.mkdir()
    with pytest.raises(GatewayError, match="cannot be read"):
        home.connect()


def test_a_note_of_ours_that_is_broken_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path, "claude")
    home.connect()
    (tmp_path / "kept/claude.json").write_text("{")
    with pytest.raises(GatewayError, match="by hand"):
        home.connections.known("claude")


def test_the_diff_shows_what_changes(tmp_path: Path) -> None:
    home = Home(tmp_path, "aider")
    home.write("model: x\n")
    lasting = CLIENTS["aider"].lasting(THERE, home.environ)
    assert lasting is not None
    lines = list(diff(home.connections.connecting("aider", lasting, THERE)[0]))
    assert f'+openai-api-base: "{THERE.url}/v1"' in lines
    assert " model: x" in lines


SCALARS = st.dictionaries(st.sampled_from(["FOO", "BAR", "ANTHROPIC_MODEL"]), st.text(max_size=5), max_size=3)


@given(before=SCALARS, after=SCALARS, indent=st.sampled_from([None, 2, 4]))
def test_whatever_the_user_did_in_between_only_ours_goes(
    before: dict[str, str], after: dict[str, str], indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Home(tmp_path_factory.mktemp("home"), "claude")
    home.write(json.dumps({"model": "opus", "env": before}, indent=indent))
    home.connect()
    said = home.parsed()
    ours = {name: value for name, value in said["env"].items() if name not in before}
    home.write(json.dumps({**said, "env": {**after, **ours}}, indent=indent))
    assert home.undo() == ()
    assert home.parsed() == {"model": "opus", "env": after}
