"""One run at a time on a plan: a file that the running process holds locked, and that is free when it ends, however it ends."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from stepdown.errors import BusyError, LedgerError


@contextlib.contextmanager
def only_run(project: str, directory: Path) -> Iterator[None]:
    """Hold the project's lock for as long as the block runs.

    Args:
        project: `PlanSource.project`.
        directory: where lock files are kept; made where it is missing.

    Raises:
        BusyError: another process holds it.
        LedgerError: the directory cannot be written.
    """
    path = directory / f"{hashlib.sha256(project.encode(errors='surrogateescape')).hexdigest()[:24]}.lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written ({error.strerror}): point STEPDOWN_HOME elsewhere") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise BusyError(f"{who} is running the plan of {project}: wait for it, or stop it") from error
        with contextlib.suppress(OSError):  # who holds it is a courtesy; a full disk takes nothing from the lock itself
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
