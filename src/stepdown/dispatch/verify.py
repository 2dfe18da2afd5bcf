"""After an attempt: the checks are made, and what each of them found is the evidence (SPEC 8, Verification).

`checks_of` says what there is to check, `needs_consent` which of it needs the user's word, `verify` does it. Commands run as
shell text in the work's directory, one after another, each in a process group of its own that does not outlive it.
"""

import asyncio
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.agents.port import Finished
from stepdown.agents.process import Child
from stepdown.dispatch.checks import AGENT, WRITTEN, Check, checks_of, needs_consent
from stepdown.dispatch.shell import PROGRAMS, needs_bash
from stepdown.errors import AgentError

__all__ = ["Check", "Finding", "Verdict", "checks_of", "needs_consent", "program_finder", "verify"]

NEEDS_WORD: Final = "not run: needs your word (--yes or trust_plan_commands)"

_KEPT_LINES: Final = 20
_KEPT_CHARACTERS: Final = 300
_MOST_ENTRIES: Final = 20_000
"""Directory entries that are looked at for a promised file that is not where the plan says."""
_NOT_OURS: Final = frozenset({".git", "node_modules", ".venv", "venv", "target", "__pycache__"})
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_FAR_DIRECTORY: Final = re.compile(r"\s*cd\s+[\"']?((?:/|~)[^\s\"';&|]*)")
_NO_PROGRAM: Final = (
    re.compile(r"(?:\S*/)?(?:ba|da|z|k)?sh: (?:line )?(?:\d+: )?(?P<name>[^\s:]+): (?:command )?not found"),
    re.compile(r"\S*python[\d.]*: No module named (?P<module>\w+)"),
    re.compile(r".*npx canceled due to missing packages.*"),
    re.compile(r"npm (?:ERR!|error) (?:code|errno) (?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED)"),
    re.compile(r"error: no such (?:sub)?command: `?(?P<name>[\w-]+).*"),
)
"""What shells and runners say where the tool is missing: the machine's lack, not the work's."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        check: the check.
        passed: True or False; None: it says nothing, and `detail` says why.
        detail: one line.
        seconds: how long it took.
        output: the last lines of a command's output, printable and shortened.
        touched: paths that differ since the command ran and did not before, relative to the work's directory.
    """

    check: Check
    passed: bool | None
    detail: str
    seconds: float = 0.0
    output: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The check and what it found, in one line."""
        shown = _shown(self.check.what)
        named = f"`{shown}`" if self.check.kind == "command" else shown
        touched = f"; it changed {_listed(self.touched)}" if self.touched else ""
        return f"{named}: {self.detail}{touched}"


class Verdict(msgspec.Struct, frozen=True):
    """What the checks say together.

    Attributes:
        verified: True: a command or a promised file says that the work is there, and nothing speaks against it. False: a check
            failed. None: nothing could be checked.
        findings: one per check, in their order.
    """

    verified: bool | None
    findings: tuple[Finding, ...] = ()

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that speak against the work."""
        return tuple(finding for finding in self.findings if finding.passed is False)

    @property
    def evidence(self) -> str:
        """One line: what failed, or what holds, or why nothing is known."""
        if self.failed:
            more = f" (and {len(self.failed) - 1} more)" if len(self.failed) > 1 else ""
            return f"{self.failed[0].line}{more}"
        if self.verified:
            held = [finding for finding in self.findings if finding.passed and _speaks(finding.check)]
            named = _listed([_shown(finding.check.what, 60) for finding in held])
            return f"{len(held)} {'check' if len(held) == 1 else 'checks'} passed: {named}"
        silent = [finding for finding in self.findings if finding.passed is None]
        return f"unverified: {silent[0].line}" if silent else "unverified: nothing to check it by"


def program_finder(env: Mapping[str, str]) -> Callable[[str], bool]:
    """Whether a word names a program on the ``PATH`` of `env`: what `checks_of` asks for."""
    path = env.get("PATH", os.defpath)
    return lambda word: shutil.which(word, path=path) is not None


async def verify(
    checks: Sequence[Check],
    workdir: Path,
    *,
    commands_allowed: bool,
    finished: Finished,
    changed: tuple[str, ...] | None,
    timeout: float,  # noqa: ASYNC109 - of each command; the whole may take longer
    env: Mapping[str, str],
    look: Callable[[], tuple[str, ...] | None] | None = None,
) -> Verdict:
    """Make the checks.

    Args:
        checks: from `checks_of`.
        workdir: where the work was done and the commands run.
        commands_allowed: whether the user agreed to the commands that `needs_consent` lists; others run anyway.
        finished: how the agent says it went. Where it says that it failed, no command is run.
        changed: paths that the attempt changed, relative to `workdir`; None where that is not known (no git).
        timeout: seconds each command may take; after one that did not end, no other is run.
        env: the whole environment of the commands.
        look: tells `changed` anew; asked after each command, so that one which changes the tree is named.
    """
    findings: list[Finding] = []
    run = _Run(workdir, timeout, env, look, frozenset(changed or ()))
    run.stopped = "not run: the agent itself says that it failed" if finished.failure is not None else ""
    for check in checks:
        if check.left_out:
            findings.append(Finding(check=check, passed=None, detail=f"not run: it {check.left_out}"))
        elif check.kind == "command":
            allowed = commands_allowed or not check.asks
            findings.append(await run.command(check) if allowed else Finding(check=check, passed=None, detail=NEEDS_WORD))
        elif check.kind == "file":
            findings.append(_file(check, workdir, changed))
        elif check.kind == "change":
            findings.append(_change(check, changed))
        else:
            findings.append(_word(check, finished))
    return Verdict(_verified(findings), tuple(findings))


def _verified(findings: Sequence[Finding]) -> bool | None:
    if any(finding.passed is False for finding in findings):
        return False
    return True if any(finding.passed and _speaks(finding.check) for finding in findings) else None


def _speaks(check: Check) -> bool:
    """Whether passing it says something about the result: an agent's word and a change alone do not."""
    return check.kind in {"command", "file"}


class _Run:
    """The commands of one attempt."""

    def __init__(
        self,
        workdir: Path,
        limit: float,
        env: Mapping[str, str],
        look: Callable[[], tuple[str, ...] | None] | None,
        changed: frozenset[str],
    ) -> None:
        self._workdir = workdir
        self._limit = limit
        self._env = env
        self._look = look
        self._changed = changed
        self.stopped = ""
        """Why no further command is run."""

    async def command(self, check: Check) -> Finding:
        """Run one command and judge it."""
        if self.stopped:
            return Finding(check=check, passed=None, detail=self.stopped)
        shell = "bash" if needs_bash(check.what) else "sh"
        lacking = _lacking(check.what, shell, self._env)
        if lacking:
            return Finding(check=check, passed=None, detail=f"{lacking}: nothing was checked")
        loop = asyncio.get_running_loop()
        started = loop.time()
        tail: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            code = await self._exit_code([shell, "-c", f"exec 2>&1\n{check.what}"], started + self._limit, tail)
        except AgentError as problem:
            return Finding(check=check, passed=None, detail=f"{problem}: nothing was checked")
        passed, detail = _judged(check, code, tail)
        if code is None:
            self.stopped = "not run: a check before it did not end"
            detail = f"did not end within {self._limit:g} s"
        return Finding(
            check=check,
            passed=passed,
            detail=detail,
            seconds=loop.time() - started,
            output=tuple(tail),
            touched=self._touched(),
        )

    async def _exit_code(self, command: Sequence[str], deadline: float, tail: deque[str]) -> int | None:
        """The command's exit code; None where it did not end in time. Its group is ended either way."""
        async with await Child.start(command, workdir=self._workdir, env=self._env) as child:
            try:
                while (line := await child.line(deadline)) is not None:
                    if shown := printable(line):
                        tail.append(shown)
                    if asyncio.get_running_loop().time() > deadline:  # output without an end never waits
                        return None
            except TimeoutError:
                return None
            return child.exit_code

    def _touched(self) -> tuple[str, ...]:
        now = None if self._look is None else self._look()
        if now is None:
            return ()
        new = tuple(path for path in now if path not in self._changed)
        self._changed = frozenset(now)
        return new


def _lacking(command: str, shell: str, env: Mapping[str, str]) -> str:
    """What the machine would need for a command and does not have; "" where nothing is known to be missing."""
    far = _FAR_DIRECTORY.match(command)  # plans written on another machine name its directories
    if far is not None and not Path(far[1]).expanduser().is_dir():
        return f"there is no {far[1]} here"
    if shell == "bash" and not program_finder(env)(shell):
        return "needs bash, which is not installed"
    return ""


def _judged(check: Check, code: int | None, tail: Sequence[str]) -> tuple[bool | None, str]:
    """What an exit code means: whether it passed, and one line."""
    last = tail[-1] if tail else ""
    said = f": {last}" if last else ""
    if code is None:
        return False, ""
    if code in {126, 127} or (code and _lacks_program(tail)):
        return None, f"not found: nothing was checked{said}"
    if code < 0:
        return False, f"was ended by signal {-code}{said}"
    if check.finds_nothing and code > 1:
        return None, f"could not search (exit {code}){said}"
    if check.finds_nothing:
        return code == 1, "found nothing, as it should" if code == 1 else f"found what should be gone{said}"
    return code == 0, "exit 0" if code == 0 else f"exit {code}{said}"


def _lacks_program(tail: Sequence[str]) -> bool:
    for line in tail:
        for pattern in _NO_PROGRAM:
            found = pattern.fullmatch(line)
            module = found.groupdict().get("module") if found else None
            if found and (module is None or module in PROGRAMS):
                return True
    return False


def _file(check: Check, workdir: Path, changed: tuple[str, ...] | None) -> Finding:
    """Whether a promised file is there, and whether this attempt had a part in it."""
    path = check.what.rstrip("/")
    place = workdir / path
    if not place.resolve().is_relative_to(workdir.resolve()):
        return Finding(check=check, passed=None, detail="lies outside the project: not looked at")
    if not place.exists():
        elsewhere = next(_same_ending(workdir, path), "")
        if elsewhere:
            return Finding(check=check, passed=None, detail=f"is not there, but {elsewhere} is")
        return Finding(check=check, passed=False, detail="was promised and is not there")
    if changed is None or check.source == WRITTEN:
        return Finding(check=check, passed=True, detail="is there")
    if any(one.rstrip("/") == path or one.startswith(f"{path}/") for one in changed):
        return Finding(check=check, passed=True, detail="is there, written by this attempt")
    return Finding(check=check, passed=None, detail="is there, but this attempt did not change it")


def _same_ending(workdir: Path, path: str) -> Iterator[str]:
    """Files below other directories whose path ends with `path`: plans often leave out the first folders."""
    seen = 0
    for folder, folders, files in os.walk(workdir):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS)
        seen += len(folders) + len(files)
        if seen > _MOST_ENTRIES:
            return
        if path.rpartition("/")[2] in (*files, *folders):
            found = (Path(folder) / path.rpartition("/")[2]).relative_to(workdir).as_posix()
            if found.endswith(f"/{path}"):
                yield found


def _change(check: Check, changed: tuple[str, ...] | None) -> Finding:
    if changed is None:
        return Finding(check=check, passed=None, detail="not known without git")
    work = [path for path in changed if not path.startswith(".gsd/")]
    if work:
        return Finding(check=check, passed=True, detail=f"changed {_listed(work)}")
    return Finding(check=check, passed=False, detail="nothing was changed, though the plan names files to change")


def _word(check: Check, finished: Finished) -> Finding:
    assert check.source == AGENT
    if finished.failure is None:
        return Finding(check=check, passed=True, detail="it says that it is done")
    return Finding(check=check, passed=False, detail=printable(finished.message) or f"it failed ({finished.failure})")


def printable(line: str) -> str:
    """The line as a screen may show it: no escape sequences, what a progress bar left last, control characters replaced."""
    line = _ESCAPES.sub("", line[-20 * _KEPT_CHARACTERS :]).rstrip().rpartition("\r")[2].replace("\t", " ")
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in line).strip()
    return line if len(line) <= _KEPT_CHARACTERS else f"{line[: _KEPT_CHARACTERS - 1]}…"


def _shown(text: str, most: int = 120) -> str:
    first, _, rest = text.removeprefix("set -e\n").strip().partition("\n")
    more = " …" if rest else ""
    return f"{printable(first)[:most]}{more if len(first) <= most else ' …'}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
