"""git as a program: how it is called so that nothing of the user's takes part but the repository itself.

No hooks, no prompts, no file system monitor, no automatic gc, none of the GIT_ variables that a hook or an alias may have left
in the environment. Object and ref writes are not flushed to the disk one by one: they survive any killed process; a power cut
may lose the last seconds of them as it loses the files themselves.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from stepdown.errors import WorkTreeError

OLDEST: Final = (2, 35)
"""The oldest git whose `read-tree` and `rev-parse --path-format` do what is needed here."""

_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=none",
    "gc.auto=0",
    "maintenance.auto=false",
)
_OPTIONS: Final = tuple(part for setting in _SETTINGS for part in ("-c", setting))
# What `git rev-parse --local-env-vars` lists, without the variables that carry configuration, and what changes a pathspec.
_STRAY: Final = frozenset(
    f"GIT_{name}"
    for name in (
        "ALTERNATE_OBJECT_DIRECTORIES",
        "ATTR_SOURCE",
        "COMMON_DIR",
        "DIR",
        "GLOB_PATHSPECS",
        "GRAFT_FILE",
        "ICASE_PATHSPECS",
        "IMPLICIT_WORK_TREE",
        "INDEX_FILE",
        "INDEX_VERSION",
        "INTERNAL_SUPER_PREFIX",
        "LITERAL_PATHSPECS",
        "NAMESPACE",
        "NOGLOB_PATHSPECS",
        "OBJECT_DIRECTORY",
        "PREFIX",
        "QUARANTINE_PATH",
        "SHALLOW_FILE",
        "WORK_TREE",
    )
)
_OURS: Final = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_AUTHOR_NAME": "stepdown",
    "GIT_AUTHOR_EMAIL": "stepdown@localhost",
    "GIT_COMMITTER_NAME": "stepdown",
    "GIT_COMMITTER_EMAIL": "stepdown@localhost",
}


class NoRepositoryError(Exception):
    """Why a directory's work tree cannot be snapshotted, in a few words."""


class Running:
    """A git that has been started, so that several work at once."""

    def __init__(self, arguments: tuple[str, ...], directory: Path, process: "subprocess.Popen[bytes]") -> None:
        self._arguments = arguments
        self._directory = directory
        self._process = process

    def ask(self, feed: bytes | None = None) -> bytes | None:
        """Its output; None where it failed."""
        output, _ = self._process.communicate(feed)
        return None if self._process.returncode else output

    def result(self, feed: bytes | None = None) -> bytes:
        """Its output.

        Raises:
            WorkTreeError: it failed, in its own words.
        """
        output, complaint = self._process.communicate(feed)
        if self._process.returncode:
            said = _one_line(complaint) or f"exit code {self._process.returncode}"
            raise WorkTreeError(f"git {self._arguments[0]} failed in {self._directory}: {said}")
        return output


class Git(msgspec.Struct, frozen=True):
    """git in one directory with one environment.

    Attributes:
        directory: where it runs.
        env: its whole environment.
    """

    directory: Path
    env: Mapping[str, str]

    @classmethod
    def at(cls, directory: Path) -> Self:
        """The program as the user would call it there."""
        return cls(directory, {name: value for name, value in os.environ.items() if name not in _STRAY} | _OURS)

    def using(self, **env: Path) -> "Git":
        """The same with some variables set, their names without ``GIT_``."""
        return Git(self.directory, {**self.env, **{f"GIT_{name}": str(value) for name, value in env.items()}})

    def start(self, *arguments: str, fed: bool = False) -> Running:
        """Start git; `fed` where `Running.result` will be given its standard input.

        Raises:
            WorkTreeError: it cannot be started.
        """
        try:
            process = subprocess.Popen(
                ["git", *_OPTIONS, *arguments],
                cwd=self.directory,
                env=self.env,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise WorkTreeError(f"git cannot be started in {self.directory}: {error.strerror}") from error
        return Running(arguments, self.directory, process)

    def __call__(self, *arguments: str, feed: bytes | None = None) -> bytes:
        """Run git and return its output.

        Raises:
            WorkTreeError: it failed, in its own words.
        """
        return self.start(*arguments, fed=feed is not None).result(feed)

    def ask(self, *arguments: str, feed: bytes | None = None) -> bytes | None:
        """Run git and return its output, None where it fails."""
        return self.start(*arguments, fed=feed is not None).ask(feed)


class Repository(msgspec.Struct, frozen=True):
    """Where a repository keeps what.

    Attributes:
        git: git in the work tree's topmost directory, bound to this repository.
        top: the work tree's topmost directory.
        git_dir: this work tree's own part (``.git``, or below ``.git/worktrees``).
        common: the part all of its work trees share.
        objects: the object store.
        index: the user's index.
        object_format: ``sha1`` or ``sha256``.
        promised: some objects are still with a remote (a partial clone).
        converting: the configuration alone makes git change line ends of the files it writes.
        attributes: the file of attributes outside the work tree that the configuration names.
    """

    git: Git
    top: Path
    git_dir: Path
    common: Path
    objects: Path
    index: Path
    object_format: str
    promised: bool
    converting: bool
    attributes: Path

    @classmethod
    def around(cls, directory: Path) -> Self:
        """The repository whose work tree holds `directory`.

        Raises:
            NoRepositoryError: there is none that could be used.
        """
        git = Git.at(directory)
        _check_version(git)
        places = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--git-path", "objects", "--git-path", "index")
        try:
            answer = os.fsdecode(git("rev-parse", "--path-format=absolute", *places, "--show-object-format")).splitlines()
        except WorkTreeError as error:
            raise NoRepositoryError(_why_not(str(error))) from error
        if len(answer) != 6:
            raise NoRepositoryError("its repository's path cannot be read")
        top, git_dir, common, objects, index = map(Path, answer[:5])
        _check_usable(directory, top, git_dir, objects)
        settings = _settings(git)
        return cls(
            git=Git(top, git.env).using(DIR=git_dir, WORK_TREE=top),
            top=top,
            git_dir=git_dir,
            common=common,
            objects=objects,
            index=index,
            object_format=answer[5],
            promised=any(name.startswith(("remote.", "extensions.")) for name in settings),
            converting=settings.get("core.autocrlf", "false").lower() not in {"false", "no", "off", "0"},
            attributes=Path(settings.get("core.attributesfile") or _default_attributes()).expanduser(),
        )


def _settings(git: Git) -> dict[str, str]:
    """What the configuration says on conversion and on objects that are elsewhere."""
    wanted = r"^(core\.(autocrlf|attributesfile)|remote\..*\.promisor|extensions\.partialclone)$"
    lines = os.fsdecode(git.ask("config", "-z", "--get-regexp", wanted) or b"").split("\0")
    return {name: value for name, _, value in (line.partition("\n") for line in lines) if name}


def _default_attributes() -> str:
    return f"{os.environ.get('XDG_CONFIG_HOME') or '~/.config'}/git/attributes"


def _check_version(git: Git) -> None:
    try:
        said = git("version").decode(errors="replace").strip()
    except WorkTreeError as error:
        raise NoRepositoryError("git is not installed") from error
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise NoRepositoryError(f"{said} is too old, {OLDEST[0]}.{OLDEST[1]} or newer is needed")


def _check_usable(directory: Path, top: Path, git_dir: Path, objects: Path) -> None:
    for place in (git_dir, objects):
        if not os.access(place, os.W_OK | os.X_OK):
            raise NoRepositoryError(f"{place} cannot be written")
    with contextlib.suppress(RuntimeError):  # nobody's home
        home = Path.home().resolve()
        if top.resolve() == home != directory.resolve():
            raise NoRepositoryError("its only repository is the whole home directory")


def _why_not(said: str) -> str:
    if "not a git repository" in said:
        return "not a git repository"
    if "must be run in a work tree" in said:
        return "a git repository without a work tree"
    return said


def _one_line(complaint: bytes) -> str:
    """What git said that matters: its first fatal line, with the lines that belong to it."""
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith(("fatal:", "error:"))), 0)
    return " ".join(lines[first : first + 4])
