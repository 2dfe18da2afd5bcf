"""Each router in an environment of its own, in a directory outside the repository, within bounds of time and size."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from bench.others.peers import Peer, Way

SECONDS: Final = 300.0
"""How long one installation may take."""

BYTES: Final = 3_000_000_000
"""How large it may become, downloads included."""

_RECORD = "installed.json"
_POLL = 1.0


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A router that is there.

    Attributes:
        way: which way of `Peer.ways` worked: its name.
        seconds: what that took.
        size: bytes of the packages it brought, compiled files included, without pip's own.
        refused: why the ways before it did not work, one sentence each.
    """

    way: str
    seconds: float
    size: int
    refused: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True):
    """A router that is not there, and why."""

    reason: str


def default_cache() -> Path:
    """Below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepdown-bench" / "others"


def home(peer: Peer, cache: Path) -> Path:
    """Where a router's environment is."""
    return cache / peer.name


def python(peer: Peer, cache: Path) -> Path:
    """The Python that can import it."""
    return home(peer, cache) / "bin" / "python"


def installed(peer: Peer, cache: Path) -> Installed | Refused:
    """What an earlier `install` left; refused where there is nothing usable."""
    try:
        return msgspec.json.decode((home(peer, cache) / _RECORD).read_bytes(), type=Installed)
    except (OSError, msgspec.DecodeError):
        return Refused("not set up; run python -m bench.others --setup")


def install(peer: Peer, cache: Path, *, seconds: float = SECONDS, size: int = BYTES) -> Installed | Refused:
    """Install a router, unless it is there already. The ways are tried in order."""
    found = installed(peer, cache)
    if isinstance(found, Installed):
        return found
    reasons: list[str] = []
    for way in peer.ways:
        started = time.monotonic()
        reason = _try(way, home(peer, cache), seconds=seconds, size=size)
        if not reason:
            packages = _packages(home(peer, cache))
            record = Installed(way=way.name, seconds=time.monotonic() - started, size=packages, refused=tuple(reasons))
            (home(peer, cache) / _RECORD).write_bytes(msgspec.json.encode(record))
            return record
        reasons.append(f"{way.name}: {reason}" if way.name else reason)
    return Refused("; ".join(reasons))


def _try(way: Way, into: Path, *, seconds: float, size: int) -> str:
    """Why a way did not work; "" if it did."""
    deadline = time.monotonic() + seconds
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(into)], check=True)
    scratch = into / "scratch"  # pip's downloads, so that they are bounded too
    scratch.mkdir()
    log = into / "pip.log"
    for step in way.steps:
        # Only built packages: nothing of theirs runs while they are installed.
        command = [str(into / "bin" / "python"), "-m", "pip", "install", "--no-cache-dir", "--only-binary", ":all:", *step]
        with log.open("ab") as output:
            pip = subprocess.Popen(
                command, stdout=output, stderr=output, env=os.environ | {"TMPDIR": str(scratch)}, start_new_session=True
            )
        reason = _watch(pip, into, deadline, seconds=seconds, size=size) or _complaint(pip, log)
        if reason:
            return reason
    return ""


def _watch(pip: "subprocess.Popen[bytes]", into: Path, deadline: float, *, seconds: float, size: int) -> str:
    """Wait for pip's end; stop it beyond a bound, and say which."""
    while True:
        try:
            pip.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            pass
        else:
            return ""
        reason = ""
        if time.monotonic() > deadline:
            reason = f"not done after {seconds:.0f} s"
        elif _size(into) > size:
            reason = f"more than {size / 1e9:.0f} GB"
        if reason:
            os.killpg(pip.pid, signal.SIGKILL)  # pip leads a session of its own
            pip.wait()
            return reason


def _complaint(pip: "subprocess.Popen[bytes]", log: Path) -> str:
    """What pip said was wrong; "" where it succeeded."""
    if pip.returncode == 0:
        return ""
    said = log.read_text(errors="replace").splitlines()
    return next((line for line in reversed(said) if line.startswith("ERROR")), f"pip ended with {pip.returncode}")


def _packages(into: Path) -> int:
    """Bytes of all packages but those that every new environment has."""
    folders = into.glob("lib/python*/site-packages/*")
    return sum(_size(entry) for entry in folders if not entry.name.startswith(("pip", "setuptools", "pkg_resources")))


def _size(path: Path) -> int:
    """Bytes below a path; files that vanish meanwhile count nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total or (path.lstat().st_size if path.is_file() else 0)
