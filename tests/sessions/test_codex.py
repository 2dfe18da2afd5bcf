"""What is read of Codex's logs, and where they are. The real program: `tests/journeys/test_audit.py`."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from codex_logs import NOW, START, VERSIONS, Session, a_session, everything, log_of, numbers, types

from stepdown.sessions.codex import Codex
from stepdown.sessions.records import Counted, Log, Turn


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_each_form_says_the_same(version: str) -> None:
    session = a_session(version)
    log = log_of(session)
    assert numbers(log) == [(900, 0, 100, 50), (300, 1_000, 0, 30), (300, 1_200, 0, 40)]
    assert [request.turn for request in log.requests] == [0, 0, 1]
    assert {(one.model, one.provider, one.variant, one.searches) for one in log.requests} == {("gpt-5.4", "openai", "", 0)}
    assert types(log) == [("execute-task", "", "human")] * 2
    first, second = log.turns
    assert (first.conversation, first.session, first.project) == (session.id, session.id, "/home/me/shop")
    assert (first.files, first.calls, first.errors, first.ended, first.fresh) == (2, 2, 0, "", False)
    assert first.signals is not None
    assert (second.files, second.calls) == (0, 0)
    assert START < first.at < log.requests[0].at < log.requests[1].at < second.at
    assert len({request.key for request in log.requests}) == 3
    assert log.counted == (Counted(session.id, "gpt-5.4", log.counted[0].at, 1_500, 120, 2_200, 100),)
    assert log.troubles == {}


def test_no_text_of_anyone_is_kept() -> None:
    said = msgspec.json.encode(log_of(a_session()))
    for word in (b"prices", b"translate", b"guide", b"Begin Patch"):
        assert word not in said


def test_turns_are_records_that_can_be_kept() -> None:
    log = log_of(everything(NOW))
    assert all(isinstance(turn, Turn) for turn in log.turns)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log


def test_they_are_looked_for_in_codexs_home(tmp_path: Path) -> None:
    source = Codex()
    assert (source.name, source.title) == ("codex", "Codex")
    assert source.places({"HOME": "/home/me"}, []) == [
        Path("/home/me/.codex/sessions"),
        Path("/home/me/.codex/archived_sessions"),
    ]
    assert source.places({"HOME": "/home/me", "CODEX_HOME": "/c"}, []) == [Path("/c/sessions"), Path("/c/archived_sessions")]
    assert list(source.files(tmp_path / "nowhere")) == []


def test_every_thread_is_found_in_the_order_they_began_and_nothing_else(tmp_path: Path) -> None:
    later, first = Session(at=START + 9_000).write(tmp_path), a_session().write(tmp_path)
    packed = first.with_name("rollout-2026-05-29-x.jsonl.zst")
    packed.write_bytes(b"(\xb5/\xfd")
    (tmp_path / "notes.jsonl").write_text("{}\n")
    (tmp_path / "rollout-x.txt").write_text("{}\n")
    assert list(Codex().files(tmp_path)) == [first, later, packed]
    assert Codex().stamp(first) == (first.stat().st_size, first.stat().st_mtime_ns)


def test_a_place_that_cannot_be_listed_says_why(tmp_path: Path) -> None:
    circle = tmp_path / "sessions"
    circle.symlink_to(circle)
    with pytest.raises(OSError, match="symbolic links"):
        list(Codex().files(circle))


def test_a_file_is_read_and_one_that_cannot_be_says_why(tmp_path: Path) -> None:
    file = a_session().write(tmp_path)
    assert Codex().read(file) == log_of(a_session())
    with pytest.raises(FileNotFoundError):
        Codex().read(tmp_path / "rollout-gone.jsonl")
    with pytest.raises(OSError, match="compressed with zstd"):
        Codex().read(tmp_path / "rollout-x.jsonl.zst")


@pytest.mark.parametrize("lose", [lambda raw: raw.partition(b"\n")[2], lambda raw: raw.replace(b'"id":', b'"ID":', 1)])
def test_a_thread_whose_head_is_lost_is_called_as_its_file(tmp_path: Path, lose: Callable[[bytes], bytes]) -> None:
    session = a_session()
    file = session.write(tmp_path)
    file.write_bytes(lose(file.read_bytes()))
    log = Codex().read(file)
    assert {turn.session for turn in log.turns} == {session.id}
    assert [request.key for request in log.requests] == [request.key for request in log_of(session).requests]


def test_what_is_written_while_it_is_read_is_read_the_next_time(tmp_path: Path) -> None:
    file = a_session().write(tmp_path)
    before = Codex().stamp(file)
    with file.open("ab") as stream:
        stream.write(Session().ask("x").bytes())
    os.utime(file, ns=(before[1] + 1, before[1] + 1))
    assert Codex().stamp(file) != before
