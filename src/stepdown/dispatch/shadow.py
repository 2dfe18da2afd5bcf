"""A second git directory over the same work tree and the same objects, in which bytes are bytes.

It lives in ``.git/stepdown-*`` for as long as a `Shadow` does. Its own index leaves the user's untouched and unlocked; its own
``info/attributes``, which outrank any ``.gitattributes``, switch off every conversion (line ends, ident, filters such as LFS,
encodings), so what is stored is what is on the disk, and what is put back too.

The index starts as a copy of the user's, so that only files whose stat data changed are read. Where conversions apply, the copy
cannot be trusted (it describes converted content), and each file is compared by its bytes once.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.dispatch.git import Git, Repository, Running
from stepdown.errors import WorkTreeError

_PREFIX: Final = "stepdown-"
_UNBORN_SECONDS: Final = 60.0
"""A directory that never got its lock is somebody's who is just making it, unless it is older than this."""

_ATTRIBUTES: Final = "* -text -crlf !eol -ident -filter !working-tree-encoding\n"
_CONVERTS: Final = re.compile(rb"(?m)[ \t](text|crlf|ident|eol=|filter=|working-tree-encoding=)")
_RULES: Final = (":(glob)**/.gitignore",)
_ALONE: Final = ("-c", "core.preloadIndex=false") if (os.cpu_count() or 1) < 4 else ()
"""With few cores, threads of the one walk of the work tree only stand in the way of the other (`bench.dispatch`)."""

_STANDARD: Final = ("--exclude-standard",)
_CONFIG: Final = """\
[core]
\tbare = false
\tautocrlf = false
\tsafecrlf = false
\tuntrackedCache = false
\tsplitIndex = false
\tsparseCheckout = false
\tlogAllRefUpdates = false
[index]
\tsparse = false
"""


class Captured(msgspec.Struct, frozen=True):
    """The work tree as it stood.

    Attributes:
        tree: its files, as a git tree.
        empty: directories with nothing in them, which git does not know.
        modes: permission bits of files that differ from what git would give them.
        left_out: what could not be taken along, in words.
    """

    tree: str
    empty: tuple[str, ...]
    modes: dict[str, int]
    left_out: tuple[str, ...]


class _Seen(msgspec.Struct, frozen=True):
    """What a walk of the work tree found: files whose stat data changed, files and empty directories unknown to the index."""

    changed: tuple[str, ...]
    others: tuple[str, ...]
    nested: tuple[str, ...]
    empty: tuple[str, ...]


def names(output: bytes) -> list[str]:
    """The names in git's NUL-separated output."""
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def listed(paths: Iterable[str]) -> bytes:
    """Names as git's ``-z --stdin`` takes them."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


class Shadow:
    """The second git directory. Removed when this object goes, or by the next `sweep` after a kill."""

    def __init__(self, repository: Repository, *, largest: int) -> None:
        self._repository = repository
        self._largest = largest
        self._tree = ""
        """What the shadow's index holds, where that is known."""
        self._fresh = False
        """Whether it is still the copy of the user's."""
        try:
            self.directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=repository.git_dir))
            lock = _lock_anew(self.directory)
            self._remove = weakref.finalize(self, _discard, self.directory, lock)
            self._furnish()
        except OSError as error:
            raise WorkTreeError(f"{repository.git_dir} cannot be written: {error.strerror}") from error
        self.git = repository.git.using(DIR=self.directory, OBJECT_DIRECTORY=repository.objects)
        self._seed()

    def close(self) -> None:
        """Remove the directory."""
        self._remove()

    @property
    def alive(self) -> bool:
        """Whether it is still there: an agent may have made a clean sweep of ``.git``."""
        return self._remove.alive and (self.directory / "HEAD").is_file()

    def _furnish(self) -> None:
        """Make the directory a git directory: the user's settings first, then those that keep bytes as they are."""
        repository = self._repository
        extensions = f"\tobjectFormat = {repository.object_format}\n" if repository.object_format != "sha1" else ""
        version = f"[core]\n\trepositoryformatversion = {1 if extensions else 0}\n"
        config = version + (f"[extensions]\n{extensions}" if extensions else "")
        for path in (repository.common / "config", repository.git_dir / "config.worktree"):
            if path.is_file():
                quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
                config += f'[include]\n\tpath = "{quoted}"\n'
        (self.directory / "refs").mkdir()
        (self.directory / "info").mkdir()
        (self.directory / "config").write_bytes(os.fsencode(config + _CONFIG))
        (self.directory / "info" / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(repository.common / "info" / "exclude", self.directory / "info" / "exclude")
        (self.directory / "HEAD").write_text("ref: refs/heads/stepdown\n", encoding="utf-8")

    def copy_index(self, name: str) -> Path:
        """A copy of the user's index in this directory, its time kept: git trusts an entry only if it is older than that."""
        copy = self.directory / name
        for shared in self._repository.git_dir.glob("sharedindex.*"):
            shutil.copy2(shared, self.directory)
        copy.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(self._repository.index, copy)
        return copy

    def _seed(self) -> None:
        """Start from the user's index, and take from it every mark that tells git to look away from a file."""
        index = self.copy_index("index")
        self._tree, self._fresh = "", True
        if not index.exists():
            return
        entries = self.git("ls-files", "-s", "-v", "-z")
        marked = [os.fsdecode(path) for path in re.findall(rb"(?:\A|\0)[a-z] [^\t]*\t([^\0]+)", entries)]
        if marked:
            self.git("update-index", "--no-assume-unchanged", "-z", "--stdin", feed=listed(marked))
        skipped = [os.fsdecode(path) for path in re.findall(rb"(?:\A|\0)[Ss] [^\t]*\t([^\0]+)", entries)]
        present = [path for path in skipped if os.path.lexists(self._repository.top / path)]
        if present:
            self.git("update-index", "--no-skip-worktree", "-z", "--stdin", feed=listed(present))
        if self._converts([os.fsdecode(path) for path in re.findall(rb"\t([^\0]*\.gitattributes)\0", entries)]):
            # An index as old as this proves nothing of any file, so git compares bytes.
            os.utime(index, ns=(10**9, 10**9))
            self.git("update-index", "--force-write-index")

    def _converts(self, tracked: Sequence[str]) -> bool:
        """Whether git may have given any file other bytes than it stores."""
        repository = self._repository
        outside = (repository.attributes, repository.common / "info" / "attributes", Path("/etc/gitattributes"))
        inside = {".gitattributes", *tracked}
        return repository.converting or any(
            _has_conversions(path, missing=name in tracked)
            for name, path in [*(("", path) for path in outside), *((name, repository.top / name) for name in inside)]
        )

    def capture(self, start: str, *, old_rules: bool = False) -> Captured:
        """Store the work tree's files as they are now.

        Args:
            start: the tree whose files are known ones, ignored or not; "" for those of the user's index.
            old_rules: whether the ``.gitignore`` files of `start`, rather than today's, say what is ignored.

        Raises:
            WorkTreeError: git failed, or an object could not be written.
        """
        try:
            return self._capture(start, old_rules=old_rules)
        except WorkTreeError:
            # Somebody's `git gc --prune=now` may have taken objects that only this index knew: begin again with the user's.
            self._seed()
            return self._capture(start, old_rules=old_rules)

    def _capture(self, start: str, *, old_rules: bool) -> Captured:
        if not start and not self._fresh:
            self._seed()
        elif start != self._tree and (old_rules or not self._fresh):
            self.git("read-tree", "--reset", start)
            self._tree, self._fresh = start, False
        seen = self._look(old_rules=old_rules)
        modes: dict[str, int] = {}
        left_out = [f"{path} is a repository of its own" for path in seen.nested]
        taken = []
        for path in (*seen.changed, *seen.others):
            reason = self._unfit(path, modes, tracked=path in seen.changed)
            if reason:
                left_out.append(f"{path} {reason}")
            else:
                taken.append(path)
        if taken:
            self._fresh = False
            # What a link now stands in front of is gone, and git refuses to look behind it.
            links = {parent for path in taken for parent in _parents(path) if (self._repository.top / parent).is_symlink()}
            behind = [path for path in taken if not links.isdisjoint(_parents(path))]
            if behind:
                self.git("update-index", "--force-remove", "-z", "--stdin", feed=listed(behind))
            there = [path for path in taken if path not in behind]
            self.git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", feed=listed(there))
        if taken or not self._tree:
            missing_ok = ("--missing-ok",) if self._repository.promised else ()
            self._tree, self._fresh = "", False
            self._tree = self.git("write-tree", *missing_ok).decode().strip()
        return Captured(self._tree, seen.empty, modes, tuple(left_out))

    def _unfit(self, path: str, modes: dict[str, int], *, tracked: bool) -> str:
        """Why a file cannot be taken along, "" where it can; notes unusual permissions."""
        place = self._repository.top / path
        try:
            found = place.lstat()
        except OSError:
            return ""  # gone, which is what will be recorded
        if not stat.S_ISREG(found.st_mode):
            return ""
        if not tracked and found.st_size > self._largest:
            return f"is larger than {self._largest:,} bytes and not tracked"
        if not os.access(place, os.R_OK):
            return "cannot be read"
        if found.st_mode & 0o777 not in {0o644, 0o755, 0o664, 0o775}:
            modes[path] = found.st_mode & 0o777
        return ""

    def _look(self, *, old_rules: bool) -> _Seen:
        """Walk the work tree: twice at the same time, once for what git knows and once for what it does not."""
        changes = self.git.start(*_ALONE, "diff-files", "--name-only", "-z", "--ignore-submodules=all")
        outline = names(self._others("--directory", *_STANDARD).result())
        collapsed = any(path.endswith("/") for path in outline)
        others = names(self._others(*_STANDARD).result()) if collapsed else outline
        changed = tuple(dict.fromkeys(names(changes.result())))
        if old_rules and any(path.rpartition("/")[2] == ".gitignore" for path in (*changed, *others)):
            outline, others = self._under_old_rules()
        files = tuple(path for path in others if not path.endswith("/"))
        nested = tuple(path for path in others if path.endswith("/"))
        return _Seen(changed, files, nested, self._empty(outline, files, changed))

    def _others(self, *options: str) -> Running:
        return self.git.start("ls-files", "-z", "--others", *options)

    def _under_old_rules(self) -> tuple[list[str], list[str]]:
        """What is not ignored by the ``.gitignore`` files in the index, whatever has become of them on the disk."""
        rules = self.directory / "rules"
        shutil.rmtree(rules, ignore_errors=True)
        rules.mkdir()
        known = self.git("ls-files", "-z", "--", *_RULES)
        self.git("checkout-index", "-z", "--stdin", "-f", f"--prefix={rules}/", feed=known)
        judge = Git(rules, self.git.using(WORK_TREE=rules, INDEX_FILE=self.directory / "no-index").env)

        def kept(paths: list[str]) -> list[str]:
            # A directory is judged by a file in it, since it does not exist among the rules.
            asked = {path + "-" if path.endswith("/") else path: path for path in paths}
            ignored = set(names(judge.ask("check-ignore", "--no-index", "-z", "--stdin", feed=listed(asked)) or b""))
            return [path for question, path in asked.items() if question not in ignored]

        outline, others = self._others("--directory"), self._others()
        return kept(names(outline.result())), kept(names(others.result()))

    def _empty(self, outline: Iterable[str], files: Iterable[str], changed: Iterable[str] = ()) -> tuple[str, ...]:
        """The empty directories, and those with only empty ones in them, the upper ones first; not those with ignored files.

        `changed` are files the index knows: where they are gone, git does not list the directory they were in.
        """
        folders = {parent for path in files for parent in _parents(path)}
        waiting = [path.rstrip("/") for path in outline if path.endswith("/")]
        waiting += {parent for path in changed for parent in _parents(path)} - folders
        found: set[str] = set()
        while waiting:
            path = waiting.pop()
            place = self._repository.top / path
            if path not in folders:
                if place.is_dir() and not place.is_symlink() and not _holds_a_file(place):
                    found |= {os.path.relpath(folder, self._repository.top) for folder, _, _ in os.walk(place)}
            elif not (place / ".git").exists():
                with contextlib.suppress(OSError), os.scandir(place) as entries:
                    waiting += [f"{path}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
        return tuple(sorted(found))

    def put_back(self, now: str, before: str, modes: dict[str, int]) -> None:
        """Turn the files of the tree `now`, which must just have been captured, into those of `before`.

        A file keeps the permissions of the one it takes the place of, or gets those in `modes`: git knows no more than
        the executable bit.

        Raises:
            WorkTreeError: something is in the way, or changed meanwhile.
        """
        raw = names(self.git("diff-tree", "-r", "-z", "--no-renames", now, before))
        targets = dict(zip(raw[1::2], (entry.split()[1] for entry in raw[::2]), strict=True))
        standing = {path: mode for path in targets if (mode := _permissions(self._repository.top / path)) is not None}
        try:
            self.git("read-tree", "-m", "-u", now, before)
        finally:
            self._tree = ""
        for path, kind in targets.items():
            place = self._repository.top / path
            mode = modes.get(path, standing.get(path))
            if kind.startswith("100") and mode is not None and _permissions(place) is not None:
                executable = (mode & 0o444) >> 2 if kind == "100755" else 0
                place.chmod((mode & ~0o111) | executable)
        self._tree = before

    def put_back_empty(self, before: Sequence[str]) -> None:
        """Remove the empty directories that were not there, make those that are missing."""
        outline = names(self._others("--directory", *_STANDARD).result())
        collapsed = any(path.endswith("/") for path in outline)
        now = self._empty(outline, names(self._others(*_STANDARD).result()) if collapsed else ())
        for path in sorted(set(now) - set(before), key=len, reverse=True):
            with contextlib.suppress(OSError):  # one that holds an older empty directory stays
                (self._repository.top / path).rmdir()
        for path in before:
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                (self._repository.top / path).mkdir(parents=True, exist_ok=True)


def sweep(git_dir: Path) -> None:
    """Remove what killed processes have left in a git directory."""
    for directory in git_dir.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            with contextlib.suppress(OSError):
                if directory.stat().st_mtime < time.time() - _UNBORN_SECONDS:
                    shutil.rmtree(directory, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            _discard(directory, lock)


def _lock_anew(directory: Path) -> int:
    """Lock a new directory; the lock gets its name only once it is held, so that nobody takes it for a dead one's."""
    lock = os.open(directory / "lock.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (directory / "lock.new").rename(directory / "lock")
    return lock


def _discard(directory: Path, lock: int) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)


def _has_conversions(path: Path, *, missing: bool) -> bool:
    """Whether a file of attributes asks for any; `missing` is the answer for one that cannot be read."""
    try:
        return bool(_CONVERTS.search(path.read_bytes()))
    except OSError:
        return missing


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _holds_a_file(directory: Path) -> bool:
    return any(
        files or any((Path(found) / name).is_symlink() for name in folders) for found, folders, files in os.walk(directory)
    )


def _permissions(path: Path) -> int | None:
    """A regular file's permission bits."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            return found.st_mode & 0o777
    return None
