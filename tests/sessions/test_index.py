import os
import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest
from works import request, turn

from stepdown.sessions.index import Index, entry
from stepdown.sessions.records import Log

LOG = Log(requests=(request(key="k"),), turns=(turn(),), troubles={"half-written lines": 1})
FILE = Path("/home/ada/.claude/projects/shop/a.jsonl")
KEY = ("claude", str(FILE))
STAMP = (1_000, 1_793_500_000_000_000_000)


def keep(index: Index, stamp: tuple[int, int] = STAMP, version: int = 1) -> None:
    index.keep({KEY: entry(version, stamp, msgspec.msgpack.encode(LOG))})


def found(path: Path, stamp: tuple[int, int] = STAMP, version: int = 1) -> Log | None:
    with Index(path) as index:
        return index.find("claude", version, FILE, stamp)


def test_a_log_is_remembered_until_it_or_its_reader_changes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "index.db"
    with Index(path) as index:
        keep(index)
        assert index.problem == ""
    assert found(path) == LOG
    assert found(path, stamp=(1_001, STAMP[1])) is None
    assert found(path, stamp=(1_000, STAMP[1] + 1)) is None
    assert found(path, version=2) is None


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    with Index(tmp_path / "i.db") as index:
        keep(index)
    with Index(tmp_path / "i.db") as index:
        assert index.files() == {KEY}
        index.keep({}, [KEY])
    with Index(tmp_path / "i.db") as index:
        assert index.files() == set()


def test_without_a_file_nothing_is_kept_and_nothing_fails() -> None:
    with Index(None) as index:
        keep(index)
        assert index.find("claude", 1, FILE, STAMP) is None


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    with Index(tmp_path / "i.db") as index:
        keep(index)
    assert stat.S_IMODE((tmp_path / "i.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look like one" * 40, b"SQLite format 3\0 broken"]
)
def test_a_broken_index_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "i.db"
    path.write_bytes(content)
    with Index(path) as index:
        keep(index)
    assert found(path) == LOG


def test_a_broken_entry_is_read_again(tmp_path: Path) -> None:
    with Index(tmp_path / "i.db") as index:
        index.keep({KEY: entry(1, STAMP, b"\x93\x01")})
    assert found(tmp_path / "i.db") is None


def test_a_locked_index_costs_time_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with Index(path) as index:
        keep(index)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    try:
        with Index(path) as index:
            assert index.find("claude", 1, FILE, STAMP) == LOG
            keep(index, (2, 2))
            assert "locked" in index.problem
    finally:
        other.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_a_directory_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with Index(tmp_path / "i.db") as index:
        keep(index)
        assert index.problem
    tmp_path.chmod(0o700)


def test_a_place_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with Index(tmp_path / "home" / "i.db") as index:
        assert index.problem


def test_a_path_that_is_no_text_is_read_each_time(tmp_path: Path) -> None:
    odd = ("claude", os.fsdecode(b"/home/ada/\xff.jsonl"))
    with Index(tmp_path / "i.db") as index:
        index.keep({odd: entry(1, STAMP, msgspec.msgpack.encode(LOG))})
        assert index.problem == ""
