"""A child process in a group of its own: its output line by line as it comes, and an end to all of it whatever happens."""

import asyncio
import contextlib
import errno
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stepdown.errors import AgentError

GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL, and how long output may still come from a child that has ended."""

LONGEST_LINE: Final = 8 * 1024 * 1024
"""Bytes of one line that are kept; the rest of a longer one is dropped."""

_ERRORS_KEPT: Final = 16 * 1024
_WAITING: Final = 256
"""Lines read ahead of the consumer before the child has to wait."""


class _Protocol(asyncio.SubprocessProtocol):
    """Cuts standard output into lines and remembers the end of standard error."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.news = asyncio.Event()
        self.exited = asyncio.Event()
        self.open = {1, 2}
        self.errors = bytearray()
        self._part = bytearray()
        self._transport: asyncio.SubprocessTransport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self.errors += data
            del self.errors[:-_ERRORS_KEPT]
            return
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self.lines.append(bytes(self._part + piece)[:LONGEST_LINE])
            self._part.clear()
        self._part += rest
        del self._part[LONGEST_LINE:]
        self._flow()
        self.news.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        self.open.discard(fd)
        if fd == 1 and self._part:
            self.lines.append(bytes(self._part))
            self._part.clear()
        self.news.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.news.set()

    def take(self) -> bytes | None:
        """The next line, or None where there is none yet."""
        line = self.lines.popleft() if self.lines else None
        self._flow()
        return line

    def _flow(self) -> None:
        """Make the child wait while nobody reads, so that its output stays bounded here."""
        pipe = self._transport.get_pipe_transport(1) if self._transport else None
        if not isinstance(pipe, asyncio.ReadTransport) or pipe.is_closing():
            return
        if len(self.lines) > _WAITING and not self._paused:
            pipe.pause_reading()
            self._paused = True
        elif self._paused and len(self.lines) < _WAITING // 2:
            pipe.resume_reading()
            self._paused = False


class Child:
    """A running program. Leaving its context ends it and everything in its process group."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._group = transport.get_pid()

    @classmethod
    async def start(cls, command: Sequence[str], *, workdir: Path, env: Mapping[str, str], said: str = "") -> Self:
        """Start `command` in `workdir`, in a session of its own.

        Args:
            command: the program and its arguments; no shell looks at them.
            workdir: where it runs.
            env: its whole environment.
            said: what it reads on standard input, to the end.

        Raises:
            AgentError: it cannot be started; the message says why, without naming what to do.
        """
        _check_directory(workdir)
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                _Protocol, *command, cwd=workdir, env=dict(env), start_new_session=True
            )
        except ValueError as problem:
            raise AgentError(f"an argument for '{command[0]}' contains a NUL character") from problem
        except OSError as problem:
            if problem.errno == errno.E2BIG:
                raise AgentError(
                    f"the arguments for '{command[0]}' are too long; pass the prompt as {{prompt_file}}"
                ) from problem
            raise AgentError(f"cannot start '{command[0]}': {problem.strerror}") from problem
        child = cls(transport, protocol)
        child._say(said)
        return child

    def _say(self, said: str) -> None:
        pipe = self._transport.get_pipe_transport(0)
        if isinstance(pipe, asyncio.WriteTransport):
            pipe.write(said.encode("utf-8", "replace"))
            pipe.close()  # after what was written has gone out

    async def line(self, deadline: float) -> str | None:
        """The next line of its output; None when it has ended.

        Args:
            deadline: when to give up, in the running loop's time.

        Raises:
            TimeoutError: the deadline passed.
        """
        protocol = self._protocol
        while (line := protocol.take()) is None:
            if protocol.exited.is_set() and 1 not in protocol.open:
                return None
            until = deadline
            if protocol.exited.is_set():  # something it left behind still holds its output open
                until = min(deadline, asyncio.get_running_loop().time() + GRACE)
            protocol.news.clear()
            try:
                async with asyncio.timeout_at(until):
                    await protocol.news.wait()
            except TimeoutError:
                if protocol.exited.is_set():
                    return None
                raise
        return line.decode("utf-8", "replace").rstrip("\r")

    @property
    def exit_code(self) -> int | None:
        """How it ended: its exit code, minus a signal's number, or None while it runs."""
        return self._transport.get_returncode()

    @property
    def errors(self) -> tuple[str, ...]:
        """The lines of its standard error that say something, or the last of them where there are many."""
        lines = self._protocol.errors.decode("utf-8", "replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip())

    @property
    def last_error(self) -> str:
        """The last line of its standard error that says something."""
        return self.errors[-1] if self.errors else ""

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or not ours to end (a set-uid child)
            os.killpg(self._group, number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the group: asked first, then made to."""
        self._signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._protocol.exited.wait()
        finally:
            self._signal(signal.SIGKILL)
            self._transport.close()
        await self._protocol.exited.wait()
        await asyncio.sleep(0)  # the pipes' transports close in the loop's next turn


def _check_directory(workdir: Path) -> None:
    if not workdir.is_dir():
        raise AgentError(f"there is no directory {workdir} to work in")
