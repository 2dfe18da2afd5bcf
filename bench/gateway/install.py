"""The others, in environments of their own outside the repository, each pinned, within a bound of time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

SECONDS: Final = 400.0
"""How long one installation may take."""

_DONE: Final = "installed"


def default_cache() -> Path:
    """Below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepdown-bench" / "gateway"


class NotHere(Exception):  # noqa: N818  (it is an answer: why a subject does not take part)
    """A subject cannot be installed or started here, and why."""


def program(name: str) -> str:
    """A program of the system.

    Raises:
        NotHere: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise NotHere(f"{name} is not installed")
    return found


def from_pypi(home: Path, *packages: str) -> Path:
    """An environment with these packages: its Python.

    Raises:
        NotHere: they do not install.
    """
    python = home / "bin" / "python"
    if not _is_done(home, packages):
        _run(home, [sys.executable, "-m", "venv", "--clear", str(home)])
        # Only built packages: nothing of theirs runs while they are installed.
        _run(home, [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages])
        (home / _DONE).write_text(" ".join(packages))
    return python


def from_npm(home: Path, package: str) -> Path:
    """A directory with this package: its ``node_modules``.

    Raises:
        NotHere: there is no npm, or it does not install.
    """
    npm = program("npm")
    if not _is_done(home, (package,)):
        home.mkdir(parents=True, exist_ok=True)
        _run(home, [npm, "install", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund", package])
        (home / _DONE).write_text(package)
    return home / "node_modules"


def _is_done(home: Path, packages: tuple[str, ...]) -> bool:
    try:
        return (home / _DONE).read_text() == " ".join(packages)
    except FileNotFoundError:
        return False


def _run(home: Path, command: list[str]) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NotHere(f"not installed after {SECONDS:.0f} s") from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
        raise NotHere((said or ["the installer failed"])[-1].strip()[:200])
