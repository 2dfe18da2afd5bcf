"""A gateway of one's own in the background, for a program that needs one: found where there is one, else started."""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from stepdown.errors import GatewayError
from stepdown.gateway.found import TOKEN, Found, find, left_word
from stepdown.gateway.guard import LOOPBACK
from stepdown.ledger.open import home

IDLE: Final = 600
"""Seconds without anybody after which it ends by itself."""

_START: Final = 20.0
"""Seconds that it may take to answer; half a second is usual."""

_LOOK: Final = 0.02

_KEPT: Final = 24 * 3600
"""Seconds that a log outlives its gateway."""


def ensure(project: str, environ: Mapping[str, str] = os.environ) -> Found:
    """The gateway of a project, started if need be.

    Raises:
        GatewayError: it cannot be started; with its own last words.
    """
    with _only_one_starts(environ):
        for one in left_word():
            if one.project == project and one.host in LOOPBACK and (not one.closed or environ.get(TOKEN)):
                there = find(one.host, one.port)
                if there is not None:
                    return there
        return _start(project, environ)


def _start(project: str, environ: Mapping[str, str]) -> Found:
    folder = home(environ) / "gateways"
    _clear(folder)
    log = folder / f"starting-{os.getpid()}.log"
    # -P: the directory it is started in is not searched for modules, which may be anybody's.
    command = [sys.executable, "-P", "-m", "stepdown", "serve", project, "--port", "0", "--idle", str(IDLE)]
    kept = {name: value for name, value in environ.items() if name != TOKEN}  # on loopback, for this user's own programs
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=folder, env=kept, start_new_session=True
        )
    until = time.monotonic() + _START
    try:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise GatewayError(f"the gateway did not start: {_last_words(log)}")
            mine = next((one for one in left_word() if one.pid == process.pid), None)
            there = find(mine.host, mine.port) if mine else None
            if there is not None:
                log = log.rename(folder / f"{there.port}.log")
                process.returncode = 0  # it goes on without us: nobody waits for it, and Popen is not to warn of that
                return there
            time.sleep(_LOOK)
        process.kill()
        process.wait()
        raise GatewayError(f"the gateway did not answer within {_START:g} s: {_last_words(log)}")
    finally:
        if log.name.startswith("starting-"):
            log.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Take away what gateways have left that were killed, and what those have said that ended yesterday or before."""
    alive = {str(one.port) for one in left_word()}
    for path in (*folder.glob("*.json"), *folder.glob("*.log")):
        with contextlib.suppress(OSError):
            if path.stem not in alive and (path.suffix == ".json" or path.stat().st_mtime < time.time() - _KEPT):
                path.unlink()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.removeprefix("stepdown: ") for line in reversed(lines) if line.strip()), "it said nothing")


@contextlib.contextmanager
def _only_one_starts(environ: Mapping[str, str]) -> Iterator[None]:
    """Of several programs that begin at once, one starts the gateway and the others find it."""
    folder = home(environ) / "gateways"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise GatewayError(f"{folder} cannot be written ({problem.strerror}): point STEPDOWN_HOME elsewhere") from problem
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
