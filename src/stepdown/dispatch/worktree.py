"""The work tree before an attempt, and back to it: a snapshot is a commit that a ref below ``refs/stepdown`` holds.

The commit's tree is every file that git tracks or would track, as its bytes are on the disk; its message says, as JSON, what
else there was: HEAD, what was staged, empty directories, unusual permissions. The user's index, HEAD, branches and stash are
read, not touched. What an attempt did is kept the same way before anything of it is undone, so nothing is ever lost; every
step can be repeated after a kill. ``docs/concepts/snapshots.md`` says what is and is not part of it.
"""

import json
import os
import re
from pathlib import Path
from typing import Final

import msgspec

from stepdown.dispatch.git import NoRepositoryError, Repository
from stepdown.dispatch.place import Head, Place, Staged
from stepdown.dispatch.shadow import Captured, Shadow, names, sweep
from stepdown.errors import WorkTreeError
from stepdown.policy import DEFAULT_POLICY, Policy

_ROOT: Final = "refs/stepdown/"
_TITLE: Final = "stepdown: "
_NAMED: Final = 5
"""So many paths are named in a note; the rest are counted."""


class Snapshot(msgspec.Struct, frozen=True):
    """A work tree as it was.

    Attributes:
        ref: the full name of the ref that holds it.
        commit: the commit it holds.
    """

    ref: str
    commit: str


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot's commit says beside its tree."""

    tree: str
    head: Head
    staged: Staged
    doing: tuple[str, ...]
    empty: tuple[str, ...]
    modes: dict[str, int]


class PlainTree:
    """A work tree that cannot be snapshotted: attempts continue in place, and every method does nothing.

    Attributes:
        note: why.
    """

    def __init__(self, reason: str) -> None:
        self.note = f"{reason}: attempts continue in place"

    def snapshot(self, name: str) -> Snapshot | None:  # noqa: ARG002  `GitTree` needs it
        """None."""
        return None

    def find(self, name: str) -> Snapshot | None:  # noqa: ARG002  `GitTree` needs it
        """None."""
        return None

    def changed(self, snapshot: Snapshot | None) -> tuple[str, ...]:  # noqa: ARG002  `GitTree` needs it
        """Nothing that is known."""
        return ()

    def restore(self, snapshot: Snapshot | None, *, keep_as: str) -> str:  # noqa: ARG002  `GitTree` needs them
        """Nothing is kept: ""."""
        return ""

    def release(self, snapshot: Snapshot | None) -> None:
        """There is nothing to release."""

    def release_all(self, prefix: str) -> None:
        """There is nothing to release."""

    def kept(self) -> tuple[str, ...]:
        """No refs."""
        return ()

    def close(self) -> None:
        """There is nothing to close."""


class GitTree:
    """The whole work tree of the repository that holds a directory.

    Attributes:
        note: what is worth saying of the last snapshot or restore; "" for nothing.
    """

    def __init__(self, directory: Path, repository: Repository, policy: Policy = DEFAULT_POLICY) -> None:
        self.note = ""
        self._directory = directory
        self._repository = repository
        self._policy = policy
        self._opened: tuple[Shadow, Place] | None = None
        sweep(repository.git_dir)

    def snapshot(self, name: str) -> Snapshot:
        """Store the work tree as it is now.

        Args:
            name: of the ref, below ``refs/stepdown/``; characters that refs cannot have become ``-``, and a name that holds
                something else already gets a number.

        Raises:
            WorkTreeError: the disk is full, the repository is broken or gone.
        """
        shadow, place = self._open()
        asked = place.ask_head()
        staged = place.staged()
        captured = shadow.capture(staged.tree)
        head = place.head(asked)
        parents = [head.commit] if head.commit else []
        if not staged.tree or staged.tree != head.tree:
            parents.append(place.staged_commit(staged))
            place.forget()
        said = {
            "head": msgspec.structs.asdict(head),
            "staged": msgspec.structs.asdict(staged),
            "doing": place.doing(),
            "empty": captured.empty,
            "modes": captured.modes,
        }
        commit = self._commit(captured.tree, parents, f"{_TITLE}before {_ref_name(name)}\n\n{json.dumps(said)}\n")
        self.note = _note(captured)
        return Snapshot(self._hold(name, commit), commit)

    def changed(self, snapshot: Snapshot | None) -> tuple[str, ...]:
        """The files that differ from a snapshot's, relative to the directory this tree was opened for, in order.

        Raises:
            WorkTreeError: the snapshot is gone, or git failed.
        """
        if snapshot is None:
            return ()
        meta = self._meta(snapshot)
        tree = self._open()[0].capture(meta.tree, old_rules=True).tree
        return self._differing(meta.tree, tree)

    def restore(self, snapshot: Snapshot | None, *, keep_as: str) -> str:
        """Put the work tree, the index and HEAD back as they were; what they had become is kept first.

        The kept commit's first parent is the snapshot, so ``git diff REF^ REF`` is what the attempt did; commits it made are
        further parents. The branch that was checked out is moved back; other branches stay as they are.

        Args:
            snapshot: what to go back to.
            keep_as: the kept ref's name, as in `snapshot`.

        Returns:
            The full name of the kept ref, "" where nothing had changed.

        Raises:
            WorkTreeError: something is in the way (by name), or git failed. What was kept stays kept; call again.
        """
        if snapshot is None:
            return ""
        shadow, place = self._open()
        meta = self._meta(snapshot)
        captured = shadow.capture(meta.tree, old_rules=True)
        moved = place.moved(meta.head)
        index_changed = place.index_differs(meta.staged)
        self.note = _note(captured)
        kept = ""
        if captured.tree != meta.tree or moved or index_changed:
            ends = [commit for commit in moved if commit != meta.head.commit]
            if index_changed:
                ends.append(place.staged_commit(place.staged()))
            kept = self._keep(snapshot, captured.tree, ends, keep_as)
        if captured.tree != meta.tree:
            self._put_files_back(shadow, captured, meta, kept)
        if captured.empty != meta.empty or captured.tree != meta.tree:
            shadow.put_back_empty(meta.empty)
        notes = [self.note, *place.end(meta.doing)]
        place.put_index_back(meta.staged)
        if moved:
            notes.append(place.put_head_back(meta.head, kept))
        self.note = "; ".join(filter(None, notes))
        return kept

    def find(self, name: str) -> Snapshot | None:
        """A snapshot of that name that an earlier process left behind; None where there is none, or where HEAD has moved since.

        Raises:
            WorkTreeError: the ref of that name holds something else.
        """
        ref = _ROOT + _ref_name(name)
        tip = self._tip(ref)
        if not tip:
            return None
        snapshot = Snapshot(ref, tip)
        _, place = self._open()
        return None if place.moved(self._meta(snapshot).head) else snapshot

    def release(self, snapshot: Snapshot | None) -> None:
        """Forget a snapshot; one that is gone already, or whose ref means something else by now, is left alone.

        Raises:
            WorkTreeError: its ref cannot be deleted.
        """
        if snapshot is None:
            return
        try:
            self._repository.git("update-ref", "-d", snapshot.ref, snapshot.commit)
        except WorkTreeError:
            if self._tip(snapshot.ref) == snapshot.commit:
                raise

    def release_all(self, prefix: str) -> None:
        """Forget everything whose name starts so, ``attempt/`` for instance: what killed runs have left.

        Raises:
            WorkTreeError: a ref cannot be deleted.
        """
        for ref in self.kept():
            if ref.startswith(_ROOT + prefix):
                self.release(Snapshot(ref, self._tip(ref)))

    def kept(self) -> tuple[str, ...]:
        """The full names of all refs of ours, in order: snapshots not released and attempts kept."""
        return tuple(self._repository.git("for-each-ref", "--format=%(refname)", _ROOT).decode().splitlines())

    def close(self) -> None:
        """Remove the temporary files below ``.git``; the tree can be used again afterwards."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _open(self) -> tuple[Shadow, Place]:
        if self._opened is None or not self._opened[0].alive:
            self.close()
            shadow = Shadow(self._repository, largest=self._policy.snapshot_file_bytes)
            self._opened = shadow, Place(self._repository, shadow)
        return self._opened

    def _commit(self, tree: str, parents: list[str], message: str) -> str:
        linked = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
        made = self._repository.git("commit-tree", "--no-gpg-sign", tree, *linked, feed=message.encode())
        return made.decode().strip()

    def _meta(self, snapshot: Snapshot) -> _Meta:
        said = self._repository.git.ask("cat-file", "commit", snapshot.commit)
        if said is None:
            raise WorkTreeError(f"the snapshot {snapshot.ref} is gone from {self._repository.git_dir}: continue in place")
        try:
            header, _, message = said.decode().partition("\n\n")
            stored = json.loads(message.partition("\n\n")[2])
            return msgspec.convert({**stored, "tree": header.split()[1]}, _Meta)
        except (ValueError, IndexError, TypeError, msgspec.ValidationError) as error:
            raise WorkTreeError(f"{snapshot.commit} in {self._repository.git_dir} is not a snapshot of stepdown's") from error

    def _differing(self, before: str, after: str) -> tuple[str, ...]:
        if before == after:
            return ()
        top = self._repository.top
        found = names(self._repository.git("diff-tree", "-r", "-z", "--no-renames", "--name-only", before, after))
        return tuple(sorted(os.path.relpath(top / path, self._directory) for path in found))

    def _put_files_back(self, shadow: Shadow, captured: Captured, meta: _Meta, kept: str) -> None:
        try:
            shadow.put_back(captured.tree, meta.tree, meta.modes)
        except WorkTreeError as error:
            raise WorkTreeError(f"{error}: move it away and try again; the attempt is kept as {kept}") from error

    def _keep(self, snapshot: Snapshot, tree: str, ends: list[str], name: str) -> str:
        """Hold an attempt's state in a ref; after a kill, the one that holds it already, unless there is more to keep."""
        ref = _ROOT + _ref_name(name)
        earlier = self._tip(ref)
        parents = [snapshot.commit, *ends]
        if earlier:
            known = self._repository.git("rev-list", "--parents", "--no-walk", earlier).decode().split()[1:]
            if known[:1] == [snapshot.commit]:
                mixed = self._only_mixed(tree, earlier, snapshot.commit)
                if mixed and set(ends) <= set(known):
                    return ref
                tree = f"{earlier}^{{tree}}" if mixed else tree
                parents.append(earlier)
        commit = self._commit(tree, parents, f"{_TITLE}{_ref_name(name)}\n")
        return self._hold(name, commit, instead_of=earlier if earlier in parents else "")

    def _only_mixed(self, tree: str, *commits: str) -> bool:
        """Whether every file of a tree is as in one of two commits: a restore of the one to the other that was broken off."""
        ours, theirs = (set(self._differing(f"{commit}^{{tree}}", tree)) for commit in commits)
        return not ours & theirs

    def _tip(self, ref: str) -> str:
        return (self._repository.git.ask("rev-parse", "-q", "--verify", ref) or b"").decode().strip()

    def _hold(self, name: str, commit: str, *, instead_of: str = "") -> str:
        """Give a commit a ref. The name gets a number where it is taken, and loses its slashes where a ref is in their way.

        Raises:
            WorkTreeError: git cannot write refs.
        """
        name = _ref_name(name)
        try:
            return self._create(_ROOT + name, commit, instead_of)
        except WorkTreeError:
            taken = set(self.kept())
            parents = {_ROOT + name[: found.start()] for found in re.finditer("/", name)}
            if not taken:
                raise
        if parents & taken:
            name = name.replace("/", "-")
        inner = {ref[: found.start()] for ref in taken for found in re.finditer("/", ref)}
        number, ref = 1, _ROOT + name
        while ref in taken or ref in inner:
            number += 1
            ref = f"{_ROOT}{name}-{number}"
        return self._create(ref, commit, "")

    def _create(self, ref: str, commit: str, instead_of: str) -> str:
        self._repository.git("update-ref", ref, commit, instead_of or "0" * len(commit))
        return ref


def open_tree(directory: Path, policy: Policy = DEFAULT_POLICY) -> GitTree | PlainTree:
    """The work tree around a directory; what killed processes left in its git directory is removed.

    A directory that no usable repository holds (none at all, no git, git too old, read-only) gives a `PlainTree` that says
    why.
    """
    try:
        return GitTree(directory.resolve(), Repository.around(directory), policy)
    except NoRepositoryError as error:
        return PlainTree(str(error))


def _note(captured: Captured) -> str:
    if not captured.left_out:
        return ""
    more = len(captured.left_out) - _NAMED
    named = ", ".join(captured.left_out[:_NAMED]) + (f", and {more} more" if more > 0 else "")
    return f"not part of the snapshot: {named}"


def _ref_name(name: str) -> str:
    """A name that git accepts for a ref (``git help check-ref-format``)."""
    clean = re.sub(r"[^\w/+=,.-]|\.\.+|@\{", "-", name, flags=re.ASCII)
    parts = [re.sub(r"^\.|\.lock$|\.$", "-", part) for part in clean.split("/") if part]
    return "/".join(parts) or "unnamed"
