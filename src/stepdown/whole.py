"""A file is written whole or not at all: a crash, a full disk or a reader in between never meets half of one."""

import contextlib
import errno
import os
import stat
from pathlib import Path


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` in the place of what a file holds.

    A link stays a link, and a file that is there keeps its rights.

    Args:
        path: the file; its directory has to be there.
        content: all of it.
        mode: the rights of a file that is new, less what the user's mask takes away.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    path = path.resolve()
    rights = None
    with contextlib.suppress(FileNotFoundError):
        rights = stat.S_IMODE(path.stat().st_mode)
    if rights is not None and not os.access(path, os.W_OK):  # a rename would go through without asking the file
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if rights is not None:
            temporary.chmod(rights)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
