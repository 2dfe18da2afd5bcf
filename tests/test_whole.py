import os
import resource
import stat
from pathlib import Path

import pytest

from stepdown.whole import write_whole


def test_it_takes_the_place_of_what_was_there_with_its_rights(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old and longer")
    file.chmod(0o640)
    write_whole(file, b"new")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o640)
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_rights_that_are_asked_for(tmp_path: Path) -> None:
    write_whole(tmp_path / "secret", b"", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_what_cannot_be_written_whole_is_left_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # as a full disk would: in the middle of writing
    try:
        with pytest.raises(OSError, match="large"):
            write_whole(file, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_without_a_directory_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "a.txt", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_a_file_that_may_not_be_written_is_asked_first(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    file.chmod(0o400)
    with pytest.raises(PermissionError):
        write_whole(file, b"new")
