"""A program in our place: its terminal, its signals, its end are what they would be without us."""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Final, NoReturn

_ITS_OWN: Final = (signal.SIGINT, signal.SIGQUIT)
"""The terminal sends these to everybody in front of it, so the program has them already. What they mean is its business."""

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Sent to us by somebody who means the program."""

_DEFAULT: Final = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores and other programs expect."""


def run(program: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end, and give its exit status as `os.waitpid` does.

    Args:
        program: its file.
        arguments: with its name in front.
        environ: its whole environment.

    Raises:
        OSError: it does not start.
    """
    with _signals() as child:
        child.append(os.posix_spawn(program, [*arguments], environ, setsigdef=_DEFAULT))
        while True:
            _, status = os.waitpid(child[0], os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                return status
            # ctrl-Z reaches us as well, and we would not be here; a program that stops itself stops us with it, or the shell
            # would wait for a terminal that nobody reads.
            os.kill(os.getpid(), signal.SIGSTOP)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child[0], signal.SIGCONT)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """While it lasts, signals are the program's; its process is in the list once it runs."""
    child: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        """Do nothing. Unlike SIG_IGN, a handler of ours is not what the program inherits."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        with contextlib.suppress(ProcessLookupError):
            os.kill(child[0], number) if child else None

    before = {}
    for number in (*_ITS_OWN, *_PASSED_ON):
        if signal.getsignal(number) is not signal.SIG_IGN:  # with nohup or in the background it is ignored, by the program, too
            before[number] = signal.signal(number, leave if number in _ITS_OWN else pass_on)
    try:
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_like(status: int) -> NoReturn:
    """End as the program did: by its exit code, or by the signal that ended it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # the core is the program's
        with contextlib.suppress(OSError):  # SIGKILL has no handler to set
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        raise SystemExit(128 + number)
    raise SystemExit(os.waitstatus_to_exitcode(status))
