import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest
from works import START, request, turn

from stepdown.sessions.index import Index
from stepdown.sessions.read import collect
from stepdown.sessions.records import Log

SECOND: Final = 1_000_000_000


class Plain:
    """A source whose logs hold one word each, which becomes the key of one request."""

    name = "plain"
    title = "Plain"
    version = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reads = folder / "reads"

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:
        return [self.folder / "logs", self.folder / "elsewhere"]

    def files(self, place: Path) -> Iterable[Path]:
        return sorted(place.glob("*.log"))

    def stamp(self, file: Path) -> tuple[int, int]:
        found = file.stat()
        return found.st_size, found.st_mtime_ns

    def read(self, file: Path) -> Log:
        with self.reads.open("a") as noted:  # also from another process
            noted.write(f"{file.name}\n")
        if file.name.startswith("broken"):
            raise PermissionError(13, "Permission denied")
        return Log(requests=(request(key=file.read_text()),), turns=(turn(),))

    def read_names(self) -> list[str]:
        names = sorted(self.reads.read_text().split()) if self.reads.exists() else []
        self.reads.unlink(missing_ok=True)
        return names


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    (tmp_path / "logs").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "logs" / f"{name}.log").write_text(name)
    return Plain(tmp_path)


def keys(logs: Sequence[Log]) -> list[str]:
    return [log.requests[0].key for log in logs]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_log_is_read_once_and_stands_in_the_order_of_its_file(plain: Plain, workers: int, tmp_path: Path) -> None:
    with Index(tmp_path / "i.db") as index:
        found = collect([plain], {}, index=index, workers=workers)
    assert keys(found.logs["plain"]) == ["a", "b", "c"]
    assert plain.read_names() == ["a.log", "b.log", "c.log"]
    assert [(one.there, one.files, one.bytes) for one in found.found] == [(True, 3, 3), (False, 0, 0)]
    assert found.read_bytes == 3


def test_only_what_changed_is_read_again(plain: Plain, tmp_path: Path) -> None:
    def again() -> list[str]:
        with Index(tmp_path / "i.db") as index:
            found = collect([plain], {}, index=index)
        assert keys(found.logs["plain"]) == [file.read_text() for file in sorted((tmp_path / "logs").iterdir())]
        return plain.read_names()

    assert again() == ["a.log", "b.log", "c.log"]
    assert again() == []
    (tmp_path / "logs/b.log").write_text("bb")
    (tmp_path / "logs/d.log").write_text("d")
    (tmp_path / "logs/a.log").unlink()
    assert again() == ["b.log", "d.log"]
    assert again() == []
    with Index(tmp_path / "i.db") as index:
        assert len(index.files()) == 3
    plain.version = 2
    assert again() == ["b.log", "c.log", "d.log"]


def test_what_cannot_be_read_is_named_and_tried_again(plain: Plain, tmp_path: Path) -> None:
    (tmp_path / "logs/broken.log").write_text("x")
    for _ in range(2):
        with Index(tmp_path / "i.db") as index:
            found = collect([plain], {}, index=index)
        assert keys(found.logs["plain"]) == ["a", "b", "c"]
        assert found.unreadable == ((str(tmp_path / "logs/broken.log"), "Permission denied"),)
        assert "broken.log" in plain.read_names()


def test_logs_that_were_not_changed_since_are_left_alone_and_remembered(plain: Plain, tmp_path: Path) -> None:
    os.utime(tmp_path / "logs/a.log", ns=(0, int(START - 100) * SECOND))
    with Index(tmp_path / "i.db") as index:
        collect([plain], {}, index=index)
    plain.read_names()
    with Index(tmp_path / "i.db") as index:
        assert keys(collect([plain], {}, index=index, since=START).logs["plain"]) == ["b", "c"]
    with Index(tmp_path / "i.db") as index:
        assert keys(collect([plain], {}, index=index).logs["plain"]) == ["a", "b", "c"]
    assert plain.read_names() == []


def test_progress_rises_to_the_whole(plain: Plain) -> None:
    told: list[tuple[int, int]] = []
    collect([plain], {}, index=Index(None), workers=2, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)
    assert told == sorted(told)


def test_one_agents_reading_forgets_nothing_of_anothers(plain: Plain, tmp_path: Path) -> None:
    other = Plain(tmp_path / "other")
    other.name = "other"
    (tmp_path / "other/logs").mkdir(parents=True)
    (tmp_path / "other/logs/z.log").write_text("z")
    for source in (plain, other):
        with Index(tmp_path / "i.db") as index:
            collect([source], {}, index=index)
    plain.read_names()
    with Index(tmp_path / "i.db") as index:
        assert keys(collect([plain], {}, index=index).logs["plain"]) == ["a", "b", "c"]
    assert plain.read_names() == []


def test_a_log_comes_back_from_the_index_as_it_was_read() -> None:
    log = Log(requests=(request(usd=0.5, variant="us", count=0),), turns=(turn(fresh=True),), troubles={"odd lines": 2})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log


def test_a_place_that_is_a_link_to_another_is_read_once(plain: Plain, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(tmp_path / "logs")
    found = collect([plain], {}, index=Index(None))
    assert keys(found.logs["plain"]) == ["a", "b", "c"]
    assert plain.read_names() == ["a.log", "b.log", "c.log"]


class Dying(Plain):
    """Whoever else reads one of its logs is killed, as the system does that runs out of memory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._owner = os.getpid()

    def read(self, file: Path) -> Log:
        if os.getpid() != self._owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(file)


@pytest.mark.usefixtures("plain")
def test_a_process_that_is_killed_costs_time_and_no_log(tmp_path: Path) -> None:
    dying = Dying(tmp_path)
    assert keys(collect([dying], {}, index=Index(None), workers=2).logs["plain"]) == ["a", "b", "c"]
    assert dying.read_names() == ["a.log", "b.log", "c.log"]
