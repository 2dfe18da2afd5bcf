"""Snapshots against the real git, in real repositories."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepdown.dispatch.worktree import GitTree, PlainTree, open_tree
from stepdown.errors import WorkTreeError
from stepdown.policy import DEFAULT_POLICY, Policy

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(top: Path, *arguments: str, feed: bytes | None = None) -> str:
    done = subprocess.run(["git", *arguments], cwd=top, input=feed, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return os.fsdecode(done.stdout)


@pytest.fixture(autouse=True)
def _no_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's name, mail or preferences: a home without any."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("XDG_CONFIG_HOME", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def commit(top: Path, message: str = "work") -> str:
    git(top, "add", "-A")
    git(top, "-c", "user.name=u", "-c", "user.email=u@localhost", "commit", "-q", "--allow-empty", "-m", message)
    return git(top, "rev-parse", "HEAD").strip()


def new_repository(top: Path) -> Path:
    top.mkdir(parents=True, exist_ok=True)
    git(top, "init", "-q", "-b", "main")
    (top / "a.txt").write_text("a\n")
    (top / "src").mkdir()
    (top / "src" / "b.py").write_text("b = 1\n")
    (top / ".gitignore").write_text("*.log\nbuild/\n")
    commit(top)
    return top


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repo")


@pytest.fixture
def tree(top: Path) -> Iterator[GitTree]:
    with_git = opened(top)
    yield with_git
    with_git.close()


def opened(directory: Path, policy: Policy = DEFAULT_POLICY) -> GitTree:
    tree = open_tree(directory, policy)
    assert isinstance(tree, GitTree), tree.note
    return tree


def files(top: Path) -> dict[str, tuple[int, bytes]]:
    """Every file, link and directory with its mode and content, ``.git`` excepted."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name == ".git" or name.startswith(".git/"):
            continue
        mode = path.lstat().st_mode
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[name] = (0 if path.is_dir() and not path.is_symlink() else mode, content)
    return found


def standing(top: Path) -> dict[str, object]:
    """Everything of the user's that an attempt must leave as it was."""
    return {
        "files": files(top),
        "status": git(top, "status", "--porcelain", "-z"),
        "cached": git(top, "diff", "--cached", "--binary"),
        "head": (top / ".git" / "HEAD").read_text(),
        "refs": git(top, "for-each-ref", "refs/heads", "refs/tags", "refs/stash"),
    }


def in_commit(top: Path, ref: str) -> dict[str, bytes]:
    listing = git(top, "ls-tree", "-r", "-z", ref).split("\0")
    entries = [entry.partition("\t") for entry in listing if entry]
    return {
        path: subprocess.run(["git", "cat-file", "blob", kind.split()[2]], cwd=top, capture_output=True, check=True).stdout
        for kind, _, path in entries
        if " blob " in kind
    }


def test_an_attempt_is_undone_and_kept(top: Path, tree: GitTree) -> None:
    (top / "a.txt").write_text("the user's\n")
    (top / "notes.md").write_text("not committed\n")
    git(top, "add", "notes.md")
    before = standing(top)
    snapshot = tree.snapshot("M001/S01/T01/1")
    assert snapshot.ref == "refs/stepdown/M001/S01/T01/1"
    assert standing(top) == before
    assert tree.changed(snapshot) == ()
    (top / "a.txt").write_text("the attempt's\n")
    (top / "src" / "b.py").unlink()
    (top / "src" / "new").mkdir()
    (top / "src" / "new" / "c.py").write_text("c\n")
    (top / "void" / "deep").mkdir(parents=True)
    git(top, "add", "-A")
    assert tree.changed(snapshot) == ("a.txt", "src/b.py", "src/new/c.py")
    kept = tree.restore(snapshot, keep_as="failed/1")
    assert kept == "refs/stepdown/failed/1"
    assert standing(top) == before
    names = git(top, "diff", "--name-status", f"{kept}^", kept).split()
    assert names == ["M", "a.txt", "D", "src/b.py", "A", "src/new/c.py"]
    assert tree.kept() == (snapshot.ref, kept)
    tree.release(snapshot)
    tree.release(snapshot)
    assert tree.kept() == (kept,)
    assert tree.note == ""


def test_nothing_changed_keeps_nothing(top: Path, tree: GitTree) -> None:
    snapshot = tree.snapshot("x")
    git(top, "status")
    (top / "a.txt").touch()
    assert tree.restore(snapshot, keep_as="failed") == ""
    assert tree.kept() == (snapshot.ref,)
    tree.release_all("")
    assert tree.kept() == ()


def test_the_directory_may_be_below_the_top(top: Path) -> None:
    tree = opened(top / "src")
    snapshot = tree.snapshot("x")
    (top / "a.txt").write_text("changed")
    (top / "src" / "b.py").write_text("changed")
    assert tree.changed(snapshot) == ("../a.txt", "b.py")
    shutil.rmtree(top / "src")
    tree.restore(snapshot, keep_as="k")
    assert (top / "src" / "b.py").read_text() == "b = 1\n"


def _lines(top: Path) -> None:
    (top / ".gitattributes").write_text("* text=auto\n*.id ident\n*.up filter=upper\n*.u16 working-tree-encoding=UTF-16\n")
    git(top, "config", "filter.upper.clean", "tr a-z A-Z")
    git(top, "config", "filter.upper.smudge", "tr A-Z a-z")


def _autocrlf(top: Path) -> None:
    git(top, "config", "core.autocrlf", "input")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("convert", [_lines, _autocrlf])
def test_bytes_come_back_as_they_were_whatever_git_would_make_of_them(top: Path, convert: Callable[[Path], None]) -> None:
    convert(top)
    content = {
        "dos.txt": b"one\r\ntwo\r\n",
        "mixed.txt": b"one\r\ntwo\n",
        "x.id": b"$Id: abcdef $\n",
        "x.up": b"mixed Case\n",
        "x.u16": "größe\n".encode("utf-16"),
    }
    for name, data in content.items():
        (top / name).write_bytes(data)
    commit(top, "converted")
    os.utime(top / "a.txt")
    time.sleep(0.02)
    git(top, "status")
    tree = opened(top)
    for number in range(2):  # the second with an index that was used before
        before = standing(top)
        snapshot = tree.snapshot("x")
        assert tree.changed(snapshot) == ()
        for name in content:
            (top / name).write_bytes(b"ATTEMPT\r\n")
        kept = tree.restore(snapshot, keep_as=f"kept{number}")
        assert standing(top) == before
        assert in_commit(top, kept)["dos.txt"] == b"ATTEMPT\r\n"
        tree.release(snapshot)


def test_odd_names_links_and_modes(top: Path, tree: GitTree) -> None:
    odd = ["-rf", "new\nline", "größe.txt", "tab\there", ' "quoted" ', "*", ":(glob)x", os.fsdecode(b"\xff\xfe")]
    for name in odd:
        (top / name).write_text(name.encode(errors="replace").decode())
    (top / "link").symlink_to("src")
    (top / "dangling").symlink_to("nowhere")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "secret").write_text("s")
    (top / "secret").chmod(0o600)
    before = standing(top)
    snapshot = tree.snapshot("x")
    for name in odd:
        (top / name).unlink()
    (top / "link").unlink()
    (top / "link").write_text("a file now")
    (top / "dangling").unlink()
    (top / "run.sh").chmod(0o644)
    (top / "secret").unlink()
    shutil.rmtree(top / "src")
    (top / "src").symlink_to("..")
    assert set(odd) <= set(tree.changed(snapshot))
    tree.restore(snapshot, keep_as="k")
    assert standing(top) == before


def test_a_link_to_elsewhere_is_never_followed(top: Path, tree: GitTree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.py").write_text("somebody else's\n")
    before = standing(top)
    snapshot = tree.snapshot("x")
    shutil.rmtree(top / "src")
    (top / "src").symlink_to(outside)
    tree.restore(snapshot, keep_as="k")
    assert standing(top) == before
    assert (outside / "b.py").read_text() == "somebody else's\n"


def test_ignored_files_are_left_alone_even_where_the_rules_change(top: Path, tree: GitTree) -> None:
    (top / "build").mkdir()
    (top / "build" / "out.o").write_text("old")
    (top / "run.log").write_text("old")
    snapshot = tree.snapshot("x")
    (top / "run.log").write_text("new")
    (top / ".gitignore").write_text("hidden/\n!build/\n")
    (top / "hidden").mkdir()
    (top / "hidden" / "made.py").write_text("made")
    kept = tree.restore(snapshot, keep_as="k")
    assert (top / "run.log").read_text() == "new"
    assert (top / "build" / "out.o").read_text() == "old"
    assert not (top / "hidden").exists()
    assert "hidden/made.py" in in_commit(top, kept)
    assert "build/out.o" not in in_commit(top, kept)
    assert git(top, "status", "--porcelain") == ""


def test_empty_directories_stay_and_those_of_the_attempt_go(top: Path, tree: GitTree) -> None:
    (top / "logs").mkdir()
    (top / "mine" / "inner").mkdir(parents=True)
    (top / "mine" / "note").write_text("x")
    before = files(top)
    snapshot = tree.snapshot("x")
    (top / "logs" / "x.txt").write_text("x")
    (top / "mine" / "theirs" / "deep").mkdir(parents=True)
    (top / "mine" / "inner").rmdir()
    (top / "empty" / "er").mkdir(parents=True)
    tree.restore(snapshot, keep_as="k")
    assert files(top) == before


@pytest.mark.parametrize("detached", [False, True])
def test_commits_of_the_attempt_are_kept_and_the_branch_goes_back(top: Path, tree: GitTree, *, detached: bool) -> None:
    if detached:
        git(top, "checkout", "-q", "--detach")
    (top / "a.txt").write_text("dirty\n")
    before = standing(top)
    snapshot = tree.snapshot("x")
    (top / "c.txt").write_text("c")
    made = commit(top, "by the agent")
    kept = tree.restore(snapshot, keep_as="k")
    assert standing(top) == before
    assert made in git(top, "rev-list", kept).split()
    assert kept in tree.note
    assert ("HEAD" if detached else "main") in tree.note


def test_another_branch_stays_where_the_attempt_left_it(top: Path, tree: GitTree) -> None:
    snapshot = tree.snapshot("x")
    start = git(top, "rev-parse", "main")
    git(top, "checkout", "-q", "-b", "feature")
    (top / "c.txt").write_text("c")
    made = commit(top)
    git(top, "branch", "-D", "main")
    tree.restore(snapshot, keep_as="k")
    assert git(top, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert git(top, "rev-parse", "main") == start
    assert git(top, "rev-parse", "feature").strip() == made
    assert git(top, "status", "--porcelain") == ""
    assert "switched away" in tree.note or "moved main" in tree.note


def test_a_repository_without_commits(tmp_path: Path) -> None:
    top = tmp_path / "new"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    (top / "a").write_text("a")
    git(top, "add", "a")
    (top / "b").write_text("b")
    tree = opened(top)
    before = files(top), git(top, "status", "--porcelain")
    snapshot = tree.snapshot("x")
    (top / "a").write_text("changed")
    made = commit(top)
    kept = tree.restore(snapshot, keep_as="k")
    assert (files(top), git(top, "status", "--porcelain")) == before
    assert made in git(top, "rev-list", kept)
    assert subprocess.run(["git", "rev-parse", "-q", "--verify", "HEAD"], cwd=top, check=False).returncode != 0


def test_an_unborn_repository_without_an_index(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    tree = opened(tmp_path)
    snapshot = tree.snapshot("x")
    (tmp_path / "made").write_text("m")
    git(tmp_path, "add", "made")
    assert tree.restore(snapshot, keep_as="k")
    assert git(tmp_path, "status", "--porcelain") == ""


def conflict(top: Path) -> None:
    git(top, "checkout", "-q", "-b", "other")
    (top / "a.txt").write_text("theirs\n")
    commit(top)
    git(top, "checkout", "-q", "main")
    (top / "a.txt").write_text("ours\n")
    commit(top)
    merge = ["git", "-c", "user.name=u", "-c", "user.email=u@localhost", "merge", "other"]
    assert subprocess.run(merge, cwd=top, capture_output=True, check=False).returncode == 1


def test_a_conflict_under_way_comes_back(top: Path, tree: GitTree) -> None:
    conflict(top)
    before = standing(top), git(top, "ls-files", "-s")
    snapshot = tree.snapshot("x")
    assert (standing(top), git(top, "ls-files", "-s")) == before
    (top / "a.txt").write_text("resolved\n")
    git(top, "add", "a.txt")
    assert tree.restore(snapshot, keep_as="k")
    assert (standing(top), git(top, "ls-files", "-s")) == before
    assert tree.restore(snapshot, keep_as="k2") == ""


def test_a_merge_the_attempt_left_unfinished_is_forgotten(top: Path, tree: GitTree) -> None:
    before = standing(top)["files"]
    snapshot = tree.snapshot("x")
    conflict(top)
    tree.restore(snapshot, keep_as="k")
    assert standing(top)["files"] == before
    assert git(top, "status", "--porcelain") == ""
    assert not (top / ".git" / "MERGE_HEAD").exists()
    assert "merge" in tree.note


def test_a_rebase_under_way_that_the_attempt_ends_is_said(top: Path, tree: GitTree) -> None:
    conflict(top)
    snapshot = tree.snapshot("x")
    git(top, "merge", "--abort")
    tree.restore(snapshot, keep_as="k")
    assert "begin it again" in tree.note
    assert git(top, "status", "--porcelain").startswith("UU a.txt")


def test_marks_in_the_index_stay(top: Path, tree: GitTree) -> None:
    (top / "later.txt").write_text("later")
    git(top, "add", "-N", "later.txt")
    git(top, "update-index", "--assume-unchanged", "a.txt")
    git(top, "update-index", "--skip-worktree", "src/b.py")
    (top / "a.txt").write_text("a secret of the user's\n")
    (top / "src" / "b.py").write_text("local\n")
    before = standing(top), git(top, "ls-files", "-v")
    snapshot = tree.snapshot("x")
    (top / "a.txt").write_text("attempt\n")
    (top / "src" / "b.py").write_text("attempt\n")
    git(top, "add", "later.txt")
    assert tree.changed(snapshot) == ("a.txt", "src/b.py")
    tree.restore(snapshot, keep_as="k")
    assert (standing(top), git(top, "ls-files", "-v")) == before


def test_a_sparse_checkout(top: Path) -> None:
    git(top, "sparse-checkout", "set", "--cone", "elsewhere")
    assert not (top / "src").exists()
    tree = opened(top)
    before = standing(top)
    snapshot = tree.snapshot("x")
    (top / "a.txt").write_text("changed")
    (top / "new.txt").write_text("new")
    assert tree.changed(snapshot) == ("a.txt", "new.txt")
    tree.restore(snapshot, keep_as="k")
    assert standing(top) == before


@pytest.mark.parametrize(
    "setting",
    ["core.splitIndex=true", "index.version=4", "core.untrackedCache=true", "feature.manyFiles=true", "index.threads=2"],
)
def test_indexes_of_every_kind(top: Path, setting: str) -> None:
    git(top, "config", *setting.split("="))
    git(top, "update-index", "--force-write-index")
    if "splitIndex" in setting:
        git(top, "update-index", "--split-index")
        assert list((top / ".git").glob("sharedindex.*"))
    (top / "staged.txt").write_text("s")
    git(top, "add", "staged.txt")
    tree = opened(top)
    before = standing(top)
    snapshot = tree.snapshot("x")
    (top / "staged.txt").write_text("changed")
    git(top, "add", "-A")
    tree.restore(snapshot, keep_as="k")
    assert standing(top) == before


def test_submodules_and_nested_repositories_are_not_entered(top: Path, tmp_path: Path) -> None:
    library = new_repository(tmp_path / "library")
    git(top, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    commit(top)
    (top / "lib" / "a.txt").write_text("dirty inside\n")
    new_repository(top / "nested")
    tree = opened(top)
    before = standing(top)
    snapshot = tree.snapshot("x")
    assert "nested/ is a repository of its own" in tree.note
    (top / "lib" / "a.txt").write_text("dirtier\n")
    (top / "a.txt").write_text("changed")
    assert tree.changed(snapshot) == ("a.txt",)
    tree.restore(snapshot, keep_as="k")
    assert (top / "lib" / "a.txt").read_text() == "dirtier\n"
    (top / "lib" / "a.txt").write_text("dirty inside\n")
    assert standing(top) == before


def test_a_linked_work_tree(top: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(top, "worktree", "add", "-q", str(linked), "-b", "side")
    tree = opened(linked)
    snapshot = tree.snapshot("x")
    (linked / "a.txt").write_text("changed")
    commit(linked)
    kept = tree.restore(snapshot, keep_as="k")
    assert (linked / "a.txt").read_text() == "a\n"
    assert git(linked, "status", "--porcelain") == ""
    assert kept in opened(top).kept()


def test_sha256(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256")
    (tmp_path / "a").write_text("a")
    commit(tmp_path)
    tree = opened(tmp_path)
    snapshot = tree.snapshot("x")
    assert len(snapshot.commit) == 64
    (tmp_path / "a").write_text("b")
    assert tree.restore(snapshot, keep_as="k")
    assert (tmp_path / "a").read_text() == "a"
    tree.release(snapshot)
    assert tree.kept() == ("refs/stepdown/k",)


def test_large_files_that_git_does_not_track_are_left_out_by_name(top: Path) -> None:
    tree = opened(top, Policy(snapshot_file_bytes=100))
    (top / "big.bin").write_bytes(b"x" * 101)
    (top / "small.bin").write_bytes(b"x" * 100)
    snapshot = tree.snapshot("x")
    assert "big.bin is larger than 100 bytes" in tree.note
    assert "small.bin" not in tree.note
    (top / "big2.bin").write_bytes(b"y" * 101)
    (top / "small.bin").unlink()
    tree.restore(snapshot, keep_as="k")
    assert "big2.bin" in tree.note
    assert {"big.bin", "big2.bin", "small.bin"} <= set(files(top))


def test_no_hook_no_signature_no_gc(top: Path, tmp_path: Path) -> None:
    for name in ("post-index-change", "reference-transaction", "post-checkout", "pre-commit", "fsmonitor"):
        hook = top / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\n")
        hook.chmod(0o755)
    git(top, "config", "commit.gpgSign", "true")
    git(top, "config", "gpg.program", "false")
    git(top, "config", "core.logAllRefUpdates", "true")
    git(top, "config", "core.fsmonitor", str(top / ".git" / "hooks" / "fsmonitor"))
    reflog = (top / ".git" / "logs" / "HEAD").read_text()
    tree = opened(top)
    snapshot = tree.snapshot("x")
    (top / "a.txt").write_text("changed")
    tree.restore(snapshot, keep_as="k")
    tree.release(snapshot)
    assert not (tmp_path / "ran").exists()
    assert (top / ".git" / "logs" / "HEAD").read_text() == reflog


def test_a_lock_on_the_index_is_no_obstacle_unless_the_index_changed(top: Path, tree: GitTree) -> None:
    lock = top / ".git" / "index.lock"
    snapshot = tree.snapshot("x")
    lock.touch()
    (top / "a.txt").write_text("changed")
    assert tree.restore(snapshot, keep_as="k")
    assert tree.snapshot("y").commit
    lock.unlink()
    (top / "a.txt").write_text("changed")
    git(top, "add", "a.txt")
    lock.touch()
    with pytest.raises(WorkTreeError, match="is held by another git"):
        tree.restore(snapshot, keep_as="k2")
    assert (top / "a.txt").read_text() == "a\n"
    lock.unlink()
    assert tree.restore(snapshot, keep_as="k2") == "refs/stepdown/k2"
    assert git(top, "status", "--porcelain") == ""


def test_a_name_that_is_taken_gets_another(top: Path, tree: GitTree) -> None:
    first = tree.snapshot("u")
    (top / "a.txt").write_text("more")
    assert tree.snapshot("u").ref == "refs/stepdown/u-2"
    assert tree.snapshot("u/1").ref == "refs/stepdown/u-1"
    assert tree.snapshot("v/1").ref == "refs/stepdown/v/1"
    assert tree.snapshot("v").ref == "refs/stepdown/v-2"
    assert tree.snapshot("hook/*: ..~^.lock").ref.startswith("refs/stepdown/hook/")
    assert git(top, "rev-parse", first.ref).strip() == first.commit


def test_a_snapshot_that_is_gone_says_so(top: Path, tree: GitTree) -> None:
    snapshot = tree.snapshot("x")
    tree.release(snapshot)
    other = git(top, "rev-parse", "HEAD").strip()
    git(top, "reflog", "expire", "--expire=now", "--all")
    git(top, "gc", "-q", "--prune=now")
    with pytest.raises(WorkTreeError, match="is gone"):
        tree.restore(snapshot, keep_as="k")
    with pytest.raises(WorkTreeError, match="is not a snapshot"):
        tree.restore(type(snapshot)("refs/heads/main", other), keep_as="k")


def test_a_gc_between_two_snapshots_takes_nothing_that_is_needed(top: Path, tree: GitTree) -> None:
    (top / "staged.txt").write_text("staged")
    git(top, "add", "staged.txt")
    (top / "untracked.txt").write_text("untracked")
    tree.release(tree.snapshot("x"))
    git(top, "gc", "-q", "--prune=now")
    snapshot = tree.snapshot("y")
    git(top, "gc", "-q", "--prune=now")
    (top / "untracked.txt").unlink()
    (top / "staged.txt").write_text("changed")
    tree.restore(snapshot, keep_as="k")
    assert (top / "untracked.txt").read_text() == "untracked"
    git(top, "fsck", "--no-dangling")


def test_a_new_process_restores_what_an_old_one_snapshotted(top: Path) -> None:
    (top / "mine.txt").write_text("mine")
    git(top, "add", "-N", "mine.txt")
    before = standing(top)
    snapshot = opened(top).snapshot("x")
    (top / "mine.txt").unlink()
    (top / "made.txt").write_text("made")
    other = opened(top)
    assert other.changed(snapshot) == ("made.txt", "mine.txt")
    other.restore(snapshot, keep_as="k")
    assert standing(top) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from stepdown.dispatch import git
from stepdown.dispatch.worktree import Snapshot, open_tree
tree = open_tree(Path(sys.argv[1]))
calls = 0
start = git.Git.start
def counting(self, *arguments, **options):
    global calls
    running = start(self, *arguments, **options)
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return running
git.Git.start = counting
tree.restore(Snapshot(sys.argv[3], sys.argv[4]), keep_as="k")
"""


def run_alone(*program: str) -> int:
    """Run a program to its end and to that of everything it started; its exit code."""
    process = subprocess.Popen(program, start_new_session=True)
    code = process.wait()
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)
            time.sleep(0.01)
    return code


def test_a_restore_that_is_killed_anywhere_can_be_repeated(tmp_path: Path) -> None:
    killed = 0
    for step in range(1, 60, 4):
        top = new_repository(tmp_path / str(step))
        (top / "mine.txt").write_text("mine")
        git(top, "add", "mine.txt")
        before = standing(top)
        snapshot = opened(top).snapshot("x")
        (top / "mine.txt").write_text("attempt")
        (top / "src" / "b.py").unlink()
        made = commit(top)
        (top / "later.txt").write_text("attempt")
        code = run_alone(sys.executable, "-c", KILLED, str(top), str(step), snapshot.ref, snapshot.commit)
        tree = opened(top)
        tree.restore(snapshot, keep_as="k")
        (kept,) = (ref for ref in tree.kept() if ref != snapshot.ref)
        assert standing(top) == before
        state = in_commit(top, kept)
        assert state["mine.txt"] == b"attempt"
        assert state["later.txt"] == b"attempt"
        assert made in git(top, "rev-list", kept)
        tree.close()
        assert not list((top / ".git").glob("stepdown-*"))
        if code != -signal.SIGKILL:
            assert code == 0
            break
        killed += 1
    assert killed > 3


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(top: Path, tree: GitTree) -> None:
    snapshot = tree.snapshot("x")
    (living,) = (top / ".git").glob("stepdown-*")
    dead = top / ".git" / "stepdown-dead"
    shutil.copytree(living, dead)
    other = opened(top)
    assert not dead.exists()
    assert living.exists()
    other.snapshot("y")
    other.close()
    assert list((top / ".git").glob("stepdown-*")) == [living]
    shutil.rmtree(living)
    (top / "a.txt").write_text("changed")
    assert tree.changed(snapshot) == ("a.txt",)


def test_where_there_is_nothing_to_snapshot_attempts_continue_in_place(
    tmp_path: Path, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare.git"
    bare.mkdir()
    git(bare, "init", "-q", "--bare")
    empty = tmp_path / "plain"
    empty.mkdir()
    for directory, reason in (
        (empty, "not a git repository"),
        (bare, "without a work tree"),
        (top / ".git", "without a work tree"),
    ):
        tree = open_tree(directory)
        assert isinstance(tree, PlainTree)
        assert reason in tree.note
        assert "continue in place" in tree.note
        snapshot = tree.snapshot("x")
        assert snapshot is None
        assert tree.changed(snapshot) == ()
        assert tree.restore(snapshot, keep_as="k") == ""
        tree.release(snapshot)
        tree.release_all("")
        tree.close()
        assert tree.kept() == ()
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert "git is not installed" in open_tree(top).note
    (programs / "git").write_text("#!/bin/sh\necho git version 2.17.1\n")
    (programs / "git").chmod(0o755)
    assert "git version 2.17.1 is too old" in open_tree(top).note


def test_a_home_that_is_a_repository_is_not_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_repository(tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    assert "home directory" in open_tree(home / "src").note


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_repository_that_cannot_be_written(top: Path) -> None:
    place = top / ".git"
    place.chmod(0o500)
    try:
        assert "cannot be written" in open_tree(top).note
    finally:
        place.chmod(0o700)


NAMES = st.sampled_from(["a.txt", "src/b.py", "src", "new", "new/c", "new/d/e", ".gitignore", "ü", "empty/dir"])
EDITS = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "rename", "chmod", "link", "mkdir", "stage", "unstage"]), NAMES, NAMES),
    max_size=8,
)


def edit(  # noqa: C901  one line for each kind
    top: Path, kind: str, name: str, other: str, content: str
) -> None:
    """One change to the tree; one that is not possible is none."""
    path, target = top / name, top / other
    try:
        match kind:
            case "write":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            case "delete" if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            case "delete":
                path.unlink()
            case "rename":
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
            case "chmod" if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode ^ stat.S_IXUSR)
            case "link":
                path.symlink_to(other)
            case "mkdir":
                path.mkdir(parents=True)
            case "stage":
                subprocess.run(["git", "add", "-A", "--", name], cwd=top, capture_output=True, check=False)
            case "unstage":
                subprocess.run(["git", "reset", "-q", "--", name], cwd=top, capture_output=True, check=False)
            case _:
                pass
    except OSError:
        pass


def as_git_keeps_modes(top: Path) -> None:
    """Give every file one of the two modes that a checkout gives."""
    for path in top.rglob("*"):
        if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(top).parts:
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(before=EDITS, attempts=st.lists(EDITS, min_size=1, max_size=2), committed=st.booleans(), afresh=st.booleans())
def test_whatever_is_done_is_undone(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[str, str, str]],
    attempts: list[list[tuple[str, str, str]]],
    committed: bool,
    afresh: bool,
) -> None:
    top = new_repository(tmp_path_factory.mktemp("any") / "repo")
    for kind, name, other in before:
        edit(top, kind, name, other, "the user's\n")
    as_git_keeps_modes(top)
    then = standing(top)
    tree = opened(top)
    for number, edits in enumerate(attempts):
        snapshot = tree.snapshot("before")
        for kind, name, other in edits:
            edit(top, kind, name, other, f"attempt {number}\n")
        if committed:
            commit(top)
        as_git_keeps_modes(top)
        now = files(top)
        if afresh:
            tree.close()
            tree = opened(top)
        kept = tree.restore(snapshot, keep_as=f"kept/{number}")
        assert standing(top) == then
        if kept:
            state = in_commit(top, kept)
            known = {name for name, (mode, _) in now.items() if mode}
            assert {name: state.get(name) for name in known} == {name: now[name][1] for name in known}
        tree.release(snapshot)
    tree.close()
    assert not list((top / ".git").glob("stepdown-*"))
    shutil.rmtree(top.parent)
