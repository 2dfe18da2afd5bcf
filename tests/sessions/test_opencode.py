import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.sessions.opencode import HALF_WRITTEN, UNKNOWN_FORM, OpenCode
from stepdown.sessions.opencode_messages import Message, Session, add_session
from stepdown.sessions.opened import Tally
from stepdown.sessions.records import Counted, Log
from stepdown.sessions.values import IMPOSSIBLE, UNCOUNTED

START = 1_795_437_940_000
"""Milliseconds since the epoch."""
SCHEMA = """
CREATE TABLE session (id text PRIMARY KEY, project_id text NOT NULL, parent_id text, directory text NOT NULL,
  title text NOT NULL, cost real DEFAULT 0 NOT NULL, tokens_input integer DEFAULT 0 NOT NULL,
  tokens_output integer DEFAULT 0 NOT NULL, tokens_reasoning integer DEFAULT 0 NOT NULL,
  tokens_cache_read integer DEFAULT 0 NOT NULL, tokens_cache_write integer DEFAULT 0 NOT NULL, agent text,
  time_created integer NOT NULL, time_updated integer NOT NULL);
CREATE TABLE message (id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL, data text NOT NULL);
CREATE TABLE part (id text PRIMARY KEY, message_id text NOT NULL, session_id text NOT NULL, data text NOT NULL);
CREATE TABLE session_message (id text PRIMARY KEY, session_id text NOT NULL, type text NOT NULL, data text NOT NULL);
"""
"""What of the schema of 1.18.33 is read."""


def tokens(**changes: Any) -> dict[str, Any]:
    """As 1.18 writes them: 7 + 11 (5 of thinking apart) + 13 + 17."""
    cache = {"read": 13, "write": 17}
    return {"total": 53, "input": 7, "output": 11, "reasoning": 5, "cache": cache} | changes


def asked(number: int, text: str = "Do it", agent: str = "build", **part: Any) -> Message:
    data = {"role": "user", "time": {"created": START + number * 1000}, "agent": agent}
    return Message(f"msg_{number:03}", data, [{"type": "text", "text": text} | part])


def answered(number: int, to: int, *parts: dict[str, Any], agent: str = "build", **changes: Any) -> Message:
    """An answer half a second after it was asked for, of one step."""
    at = START + number * 1000
    data = {
        "role": "assistant",
        "parentID": f"msg_{to:03}",
        "mode": agent,
        "agent": agent,
        "path": {"cwd": "/home/me/shop", "root": "/home/me/shop"},
        "cost": 0.02,
        "tokens": tokens(),
        "modelID": "claude-sonnet-4-6",
        "providerID": "anthropic",
        "time": {"created": at, "completed": at + 500},
    } | changes
    finish = [{"type": "step-finish", "reason": "stop", "tokens": data["tokens"], "cost": data["cost"]}]
    return Message(f"msg_{number:03}", data, [{"type": "step-start"}, *parts, *(finish if data["tokens"] else [])])


def tool(name: str, status: str = "completed", **given: Any) -> dict[str, Any]:
    return {"type": "tool", "tool": name, "callID": "call_1", "state": {"status": status, "input": given}}


def told(*messages: Message, **session: Any) -> Log:
    tally = Tally()
    add_session(tally, Session("ses_1", **({"directory": "/home/me/shop"} | session)), messages)
    return tally.log()


def fill(connection: sqlite3.Connection, *messages: Message, session: str = "ses_1", **row: Any) -> None:
    """A session as OpenCode keeps it."""
    whole = {"id": session, "project_id": "p", "directory": "/home/me/shop", "title": "t", "agent": "build"}
    whole |= {"time_created": START, "time_updated": START + 9000} | row
    names = ", ".join(whole)
    connection.execute(f"INSERT INTO session ({names}) VALUES ({', '.join('?' * len(whole))})", list(whole.values()))
    for message in messages:
        key, document = f"{session}/{message.id}", json.dumps(message.data)
        connection.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?)", (key, session, 0, document.replace("msg_", f"{session}/msg_"))
        )
        for number, part in enumerate(message.parts):
            connection.execute("INSERT INTO part VALUES (?, ?, ?, ?)", (f"{key}/{number}", key, session, json.dumps(part)))
    connection.commit()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "opencode"
    place.mkdir()
    return place / "opencode.db"


@pytest.fixture
def owner(file: Path) -> Iterator[sqlite3.Connection]:
    """OpenCode itself, with its database open."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def test_a_prompt_and_what_it_led_to() -> None:
    log = told(
        asked(1, '"Fix the typo in README.md"'),
        answered(2, 1, tool("read", "error", filePath="a.md"), tool("write", filePath="a.md"), tool("edit", filePath="b.md")),
        answered(3, 1, tool("apply_patch", patchText="*** Begin Patch\n*** Update File: b.md\n*** Add File: c.md\n")),
        asked(4, "## UNIT: Execute Task T01\n\nM001/S01/T01: write\n"),
        answered(5, 4, providerID="my-own", modelID="gpt-5.4-mini", cost=0),
        asked(6, "How would you go about it?", agent="plan"),
        answered(7, 6, agent="plan"),
    )
    assert not log.troubles
    assert [(turn.type, turn.id, turn.origin, turn.files, turn.calls, turn.errors) for turn in log.turns] == [
        ("execute-task", "", "human", 3, 4, 1),
        ("execute-task", "M001/S01/T01", "plan", 0, 0, 0),
        ("plan-slice", "", "human", 0, 0, 0),
    ]
    assert log.turns[0].signals is not None
    assert "typo" in log.turns[0].signals.tags
    assert {turn.project for turn in log.turns} == {"/home/me/shop"}
    assert [(one.turn, one.provider, one.usd) for one in log.requests] == [
        (0, "anthropic", 0.02),
        (0, "anthropic", 0.02),
        (1, "", None),
        (2, "anthropic", 0.02),
    ]
    one = log.requests[0]
    assert (one.input, one.output, one.cache_read, one.cache_write) == (7, 16, 13, 17)
    assert one.at == (START + 2500) / 1000


@pytest.mark.parametrize(
    ("counted", "model", "output"),
    [
        (tokens(), "anthropic/claude", 16),  # 1.18: apart, and the total says so
        (tokens(total=48), "openai/gpt", 11),  # within, and the total says so
        (tokens(total=None), "openai/gpt", 11),  # before: within
        (tokens(total=None), "openrouter/google/gemini-3-pro", 16),  # before: Google's are apart
        (tokens(total=None, reasoning=12), "openai/gpt", 23),  # more than all cannot be within
        (tokens(reasoning=0, total=None), "x/y", 11),
    ],
)
def test_thinking_is_counted_once(counted: dict[str, Any], model: str, output: int) -> None:
    provider, _, name = model.partition("/")
    log = told(asked(1), answered(2, 1, tokens=counted, providerID=provider, modelID=name))
    assert [one.output for one in log.requests] == [output]


def test_every_step_of_an_older_answer_is_a_request() -> None:
    message = answered(2, 1)
    first = {"type": "step-finish", "tokens": tokens(input=100, total=146), "cost": 0.5}
    both = told(asked(1), Message(message.id, message.data, [first, *message.parts]))
    assert [(one.input, one.usd) for one in both.requests] == [(100, 0.5), (7, 0.02)]
    assert [one.input for one in told(asked(1), Message(message.id, message.data, [])).requests] == [7]


def test_what_opencode_put_in_begins_nothing() -> None:
    log = told(asked(1), answered(2, 1), asked(3, "Summarize the task tool output above", synthetic=True), answered(4, 3))
    assert [one.turn for one in log.requests] == [0, 0]


def test_a_compaction_is_a_unit_and_the_prompt_it_interrupted_goes_on() -> None:
    cut = Message("msg_003", {"role": "user", "time": {"created": START + 3000}}, [{"type": "compaction", "auto": True}])
    log = told(
        asked(1, "A long story"),
        answered(2, 1),
        cut,
        answered(4, 3, agent="compaction", summary=True),
        asked(5, "A long story"),
        answered(6, 5),
        asked(7, "Another"),
        answered(8, 7),
    )
    assert [(turn.type, turn.origin, turn.fresh) for turn in log.turns] == [
        ("execute-task", "human", False),
        ("subagent/compaction", "agent", False),
        ("execute-task", "human", True),
    ]
    assert [one.turn for one in log.requests] == [0, 1, 0, 2]


def test_a_session_with_a_parent_is_a_subagent() -> None:
    [turn] = told(asked(1, "Find it", agent="explore"), answered(2, 1, agent="explore"), parent="ses_0").turns
    assert (turn.type, turn.origin) == ("subagent/explore", "subagent")
    bare = {key: value for key, value in asked(1).data.items() if key != "agent"}
    [older] = told(Message("msg_001", bare, asked(1).parts), answered(2, 1, agent="general"), parent="ses_0").turns
    assert older.type == "subagent/general"


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        ({"name": "MessageAbortedError", "data": {}}, "stopped"),
        ({"name": "APIError", "data": {"message": "Unable to connect"}}, "error"),
        ({"name": "APIError", "data": {"message": "You have hit your usage limit."}}, "limit"),
    ],
)
def test_how_a_turn_ended(error: dict[str, Any], ended: str) -> None:
    failed = answered(2, 1, error=error, tokens={"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}})
    log = told(asked(1), failed)
    assert (log.turns[0].ended, log.requests, log.troubles) == (ended, (), {})
    assert told(asked(1), failed, answered(3, 1)).turns[0].ended == ""


def test_what_is_not_counted_is_named() -> None:
    running = {"created": START + 2000}
    log = told(
        asked(1), answered(2, 1, tokens={}), answered(3, 1, tokens={}, time=running), answered(4, 1, tokens=tokens(input=-1))
    )
    assert not log.requests
    assert log.troubles == {UNCOUNTED: 1, IMPOSSIBLE: 1}


def test_a_database_in_use_is_read_to_its_newest_word(file: Path, owner: sqlite3.Connection) -> None:
    fill(owner, asked(1), answered(2, 1))
    before = OpenCode().stamp(file)
    assert len(OpenCode().read(file).requests) == 1
    owner.execute("BEGIN IMMEDIATE")  # OpenCode is writing, and goes on
    fill(owner, asked(1), answered(3, 1), session="ses_2")
    assert OpenCode().stamp(file) != before
    assert len(OpenCode().read(file).requests) == 2


def test_reading_leaves_no_trace(file: Path, owner: sqlite3.Connection, tmp_path: Path) -> None:
    fill(owner, asked(1), answered(2, 1))
    copy = tmp_path / "copy/opencode.db"  # with what a crash left: changes that are not in the file yet
    copy.parent.mkdir()
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).write_bytes(file.with_name(file.name + end).read_bytes())
    owner.close()
    for one in (file, copy):
        before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in one.parent.iterdir()}
        assert len(OpenCode().read(one).requests) == 1
        assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in one.parent.iterdir()} == before


def test_a_database_that_cannot_be_read_says_why(file: Path, owner: sqlite3.Connection) -> None:
    fill(owner, asked(1), answered(2, 1))
    owner.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    owner.close()
    whole = file.read_bytes()
    for content in (b"no database at all" * 300, whole[:4096] + b"\xff" * (len(whole) - 4096), whole[:5000]):
        file.write_bytes(content)
        with pytest.raises(OSError, match="the database cannot be read: "):
            OpenCode().read(file)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        OpenCode().read(file)


def test_a_database_kept_to_itself_is_said_to_be_locked(
    file: Path, owner: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepdown.sessions.opencode._WAIT_SECONDS", 0.05)
    fill(owner, asked(1), answered(2, 1))
    owner.close()
    with sqlite3.connect(file, isolation_level=None) as greedy:
        greedy.execute("PRAGMA journal_mode = DELETE")
        greedy.execute("BEGIN EXCLUSIVE")
        greedy.execute("UPDATE session SET title = 'x'")
        assert file.with_name(file.name + "-journal").exists()
        with pytest.raises(OSError, match="locked"):
            OpenCode().read(file)
        greedy.execute("ROLLBACK")
    greedy.close()


def test_rows_of_a_kind_that_nobody_wrote(file: Path, owner: sqlite3.Connection) -> None:
    fill(owner, asked(1), answered(2, 1))
    for number, data in enumerate((b"{", b"\xff\xfe", None, 7, "[]", b'{"role": "assistant", "time": 3, "tokens": [1]}')):
        owner.execute("INSERT INTO message VALUES (?, 'ses_1', 0, ifnull(?, ''))", (f"zzz{number}", data))
    owner.execute("INSERT INTO session_message VALUES ('a', 'ses_9', 'assistant', '{}'), ('b', 'ses_1', 'assistant', '{}')")
    owner.execute("INSERT INTO message VALUES ('gone', 'ses_8', 0, ?)", (json.dumps(answered(9, 8).data),))
    owner.commit()
    log = OpenCode().read(file)
    assert [log.turns[one.turn].session for one in log.requests] == ["ses_8", "ses_1"]
    assert log.troubles == {HALF_WRITTEN: 5, UNKNOWN_FORM: 1}


def test_forks_and_the_older_files_tell_the_same_answers(file: Path, owner: sqlite3.Connection) -> None:
    story = asked(1), answered(2, 1)
    fill(owner, *story)
    fill(owner, *story, asked(3), answered(4, 3), session="ses_0", time_created=START + 99_000, tokens_input=14)
    storage = file.parent / "storage"
    for message in story:
        for path, document in [
            (f"message/ses_1/{message.id}.json", message.data),
            *((f"part/{message.id}/prt_{number}.json", part) for number, part in enumerate(message.parts)),
        ]:
            (storage / path).parent.mkdir(parents=True, exist_ok=True)
            (storage / path).write_text(json.dumps(document))
    info = storage / "session/p/ses_1.json"
    info.parent.mkdir(parents=True)
    info.write_text(json.dumps({"id": "ses_1", "directory": "/home/me/old", "parentID": "ses_9"}))
    database, directory = OpenCode().files(file.parent)
    log, older = OpenCode().read(database), OpenCode().read(directory)
    assert [log.turns[one.turn].session for one in log.requests] == ["ses_1", "ses_0"]
    assert [one.key for one in older.requests] == [log.requests[0].key]
    assert (older.turns[0].project, older.turns[0].type) == ("/home/me/old", "subagent/build")
    assert not log.counted

    before = OpenCode().stamp(directory)
    (storage / "message/ses_1/msg_002.json").write_text("{")
    assert OpenCode().stamp(directory) != before
    assert OpenCode().read(directory).troubles == {HALF_WRITTEN: 1}


def test_its_own_count_of_a_session_with_one_model(file: Path, owner: sqlite3.Connection) -> None:
    kinds = {"input": 7, "output": 11, "reasoning": 5, "cache_read": 13, "cache_write": 17}
    own: dict[str, Any] = {f"tokens_{kind}": number for kind, number in kinds.items()}
    fill(owner, asked(1), answered(2, 1), cost=0.02, **own)
    fill(owner, asked(1), answered(3, 1), answered(4, 1, modelID="other"), session="ses_2", **own)
    log = OpenCode().read(file)
    assert log.counted == (Counted("ses_1", "claude-sonnet-4-6", (START + 9000) / 1000, 7, 16, 13, 17, 0.02),)


def test_where_it_looks(tmp_path: Path, file: Path, owner: sqlite3.Connection) -> None:
    environ = {"HOME": str(tmp_path)}
    data = tmp_path / ".local/share/opencode"
    assert OpenCode().places(environ, []) == [data]
    assert OpenCode().places(environ | {"XDG_DATA_HOME": str(tmp_path)}, []) == [file.parent]
    assert OpenCode().places(environ | {"OPENCODE_DB": "mine.db"}, []) == [data]
    assert OpenCode().places(environ | {"OPENCODE_DB": str(file)}, []) == [data, file]
    owner.commit()
    (file.parent / "opencode-beta.db").touch()
    (file.parent / "storage/message/ses_1").mkdir(parents=True)
    assert [path.name for path in OpenCode().files(file.parent)] == ["opencode-beta.db", "opencode.db", "ses_1"]
    assert list(OpenCode().files(file)) == [file]
    assert list(OpenCode().files(data)) == []


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["role", "time", "tokens", "cost", "modelID", "providerID", "parentID", "agent", "path", "error", "summary"]
)


@settings(max_examples=150)
@given(
    data=st.dictionaries(NAMES, ODD), part=st.dictionaries(st.sampled_from(["type", "text", "tool", "state", "tokens"]), ODD)
)
def test_nothing_in_a_message_is_ever_raised(data: dict[str, Any], part: dict[str, Any]) -> None:
    first, second = asked(1), answered(2, 1, tool("edit", filePath="a"))
    log = told(
        Message(first.id, first.data | data, [*first.parts, part]),
        Message(second.id, second.data | data, [part, *second.parts, second.parts[1] | part, second.parts[2] | part]),
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log
    assert all(0 <= one.turn < len(log.turns) and one.prompt + one.output > 0 for one in log.requests)
