"""Where the user stands in their repository: HEAD, the index, what is under way. Read for a snapshot, put back after it."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from stepdown.dispatch.git import Git, Repository, Running
from stepdown.dispatch.shadow import Shadow, listed
from stepdown.errors import WorkTreeError

_OPERATIONS: Final = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
"""What git leaves in its directory while it is in the middle of something."""

_NO_DATE: Final = "@0 +0000"

_LOCK_SECONDS: Final = 2.0
"""How long another git's hold on the index is waited for."""

_TICK_NANOSECONDS: Final = 10**9
"""Longer than any file system's clock takes for one step, FAT's excepted."""

_INTENT_TO_ADD: Final = 1 << 29
"""The flag of an index entry made by ``git add -N``, as ``ls-files --debug`` prints it."""


class Head(msgspec.Struct, frozen=True):
    """Where HEAD is.

    Attributes:
        branch: the full name of the branch that is checked out; "" where HEAD is detached.
        commit: the commit; "" where there is none yet.
        tree: the commit's tree.
    """

    branch: str
    commit: str
    tree: str


class Staged(msgspec.Struct, frozen=True):
    """What is in the index.

    Attributes:
        tree: its content as a tree; "" where it has none: in the middle of a conflict, or with files only intended to be added.
        blob: then the index file itself, as a blob.
    """

    tree: str
    blob: str = ""


class Place:
    """HEAD, the index and what is under way in a repository."""

    def __init__(self, repository: Repository, shadow: Shadow) -> None:
        self._repository = repository
        self._git = repository.git
        self._shadow = shadow
        self._known: tuple[object, Staged] | None = None
        """The index file as it was last seen, and what was in it."""

    def ask_head(self) -> Running:
        """Begin to ask git for HEAD; `head` takes the answer."""
        return self._git.start("rev-parse", "HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD")

    def head(self, asked: Running | None = None) -> Head:
        """Where HEAD is."""
        answer = (asked or self.ask_head()).ask()
        if answer is not None:
            commit, tree, branch = os.fsdecode(answer).split()
            return Head("" if branch == "HEAD" else branch, commit, tree)
        return Head(os.fsdecode(self._git("symbolic-ref", "HEAD")).strip(), "", "")

    def moved(self, before: Head) -> list[str]:
        """The commits that HEAD and its former branch are at now, where either is not what it was; empty where both are."""
        now = self.head()
        tip = self._tip(before.branch) if before.branch else now.commit
        if (now.branch, now.commit, tip) == (before.branch, before.commit, before.commit):
            return []
        return [commit for commit in dict.fromkeys((now.commit, tip)) if commit] or [before.commit]

    def put_head_back(self, before: Head, kept: str) -> str:
        """Move the former branch and HEAD back, and say what was moved. What they were at must have been kept."""
        now = self.head()
        reason = ("-m", f"stepdown: back to before the attempt; see {kept}")
        if not before.branch:
            self._git("update-ref", *reason, "--no-deref", "HEAD", before.commit)
            return f"the attempt moved HEAD; it is back at {before.commit[:10]}, and {kept} holds where it was"
        tip = self._tip(before.branch)
        if tip != before.commit:
            if before.commit:
                self._git("update-ref", *reason, before.branch, before.commit, tip or "0" * len(before.commit))
            else:
                self._git("update-ref", "-d", before.branch, tip)
        if now.branch != before.branch:
            self._git("symbolic-ref", *reason, "HEAD", before.branch)
        name = before.branch.removeprefix("refs/heads/")
        what = "committed or moved" if tip != before.commit else "switched away from"
        return f"the attempt {what} {name}; it is as before, and {kept} holds the attempt's commits"

    def _tip(self, branch: str) -> str:
        return (self._git.ask("rev-parse", "-q", "--verify", branch) or b"").decode().strip()

    def staged(self) -> Staged:
        """What is in the index now."""
        seen = self._identity()
        if self._known is not None and self._known[0] == seen:
            return self._known[1]
        staged = self._read_staged()
        # An index that was written just now could be written again without looking any different.
        settled = seen is None or time.time_ns() - seen[2] > _TICK_NANOSECONDS
        self._known = (seen, staged) if settled else None
        return staged

    def forget(self) -> None:
        """Read the index anew the next time: its objects may have been pruned by then."""
        self._known = None

    def _identity(self) -> tuple[int, int, int] | None:
        """What changes whenever git replaces the index; None where there is none."""
        try:
            found = self._repository.index.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read_staged(self) -> Staged:
        copy = self._shadow.copy_index("staged")
        git = self._shadow.git.using(INDEX_FILE=copy)
        missing_ok = ("--missing-ok",) if self._repository.promised else ()
        tree = None if self._has_intentions(copy) else git.ask("write-tree", *missing_ok)
        if tree is not None:
            return Staged(tree.decode().strip())
        return Staged(
            "", git("hash-object", "-w", "--no-filters", "--", str(self._shadow.copy_index("staged"))).decode().strip()
        )

    def _has_intentions(self, index: Path) -> bool:
        """Whether files are only intended to be added. Such entries need version 3 of the format or a newer one."""
        try:
            with index.open("rb") as file:
                version = file.read(8)[4:]
        except FileNotFoundError:
            return False
        if int.from_bytes(version, "big") < 3:
            return False
        flags = self._shadow.git.using(INDEX_FILE=index)("ls-files", "--debug").split(b"flags: ")[1:]
        return any(int(flag.split(maxsplit=1)[0], 16) & _INTENT_TO_ADD for flag in flags)

    def staged_commit(self, staged: Staged) -> str:
        """A commit that keeps an index's objects from being pruned; of the same index always the same one."""
        tree = staged.tree or self._git("mktree", feed=f"100644 blob {staged.blob}\tindex\n".encode()).decode().strip()
        undated = Git(self._git.directory, {**self._git.env, "GIT_AUTHOR_DATE": _NO_DATE, "GIT_COMMITTER_DATE": _NO_DATE})
        return undated("commit-tree", "--no-gpg-sign", "-m", "stepdown: what was staged", tree).decode().strip()

    def index_differs(self, before: Staged) -> bool:
        """Whether something else is staged than was."""
        if before.tree:
            return self.staged() != before
        then = self._shadow.directory / "then"
        then.write_bytes(self._git("cat-file", "blob", before.blob))
        now = self._shadow.copy_index("staged")
        listing = [self._shadow.git.using(INDEX_FILE=index)("ls-files", "-s", "-z") for index in (then, now)]
        return listing[0] != listing[1]

    def put_index_back(self, before: Staged) -> None:
        """Stage what was staged. Only entries that differ are written, so that the marks on the others stay.

        Raises:
            WorkTreeError: another git holds the index.
        """
        if not self.index_differs(before):
            return
        if before.tree:
            self._wait_for_lock()
            raw = self._git("diff-index", "--cached", "--raw", "-z", "--no-renames", "--abbrev=64", before.tree)
            fields = [os.fsdecode(field) for field in raw.split(b"\0")]
            lines = []
            for entry, path in zip(fields[::2], fields[1::2], strict=False):
                mode, _, blob, _, _ = entry.removeprefix(":").split()
                lines.append(f"0 {'0' * len(blob)}\t{path}")  # every stage of a conflict first
                if mode != "000000":
                    lines.append(f"{mode} {blob}\t{path}")
            self._git("update-index", "-z", "--index-info", feed=listed(lines))
        else:
            self._replace_index(self._git("cat-file", "blob", before.blob))

    def _wait_for_lock(self) -> None:
        lock = self._lock
        deadline = time.monotonic() + _LOCK_SECONDS
        while lock.exists():
            if time.monotonic() > deadline:
                raise WorkTreeError(f"{lock} is held by another git: wait for it, or delete the file if none is running")
            time.sleep(0.05)

    @property
    def _lock(self) -> Path:
        return self._repository.index.with_name(self._repository.index.name + ".lock")

    def _replace_index(self, content: bytes) -> None:
        self._wait_for_lock()
        try:
            descriptor = os.open(self._lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WorkTreeError(f"{self._lock} cannot be made ({error.strerror}): try again") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            self._lock.rename(self._repository.index)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                self._lock.unlink()
            raise

    def doing(self) -> tuple[str, ...]:
        """The operations git is in the middle of."""
        found = (name for mark, name in _OPERATIONS.items() if (self._repository.git_dir / mark).exists())
        return tuple(dict.fromkeys(found))

    def end(self, before: tuple[str, ...]) -> list[str]:
        """Make git forget operations that were not under way before, and say so; also which ones have ended since."""
        now = self.doing()
        for name in now:
            if name not in before:
                applying = (self._repository.git_dir / "rebase-apply" / "applying").exists()
                self._git("am" if applying else name, "--quit")
        return [f"the attempt left a {name} unfinished, and git has forgotten it" for name in now if name not in before] + [
            f"a {name} was under way and the attempt ended it: its files are back, begin it again"
            for name in before
            if name not in now
        ]
