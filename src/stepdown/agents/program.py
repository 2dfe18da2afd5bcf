"""What driving a program of somebody else's has in common: finding it, and reading the events it prints, one a line."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec


def find(name: str, command: Sequence[str] = (), cwd: Path | None = None) -> tuple[str, ...]:
    """How to start a program: as the settings say, or from the PATH, or from ``node_modules``; () where it is nowhere.

    Args:
        name: what it is called.
        command: ``agents.<name>.command``; where that is given, nothing else is looked at.
        cwd: where ``node_modules`` is; None is the current directory.
    """
    if command:
        found = shutil.which(command[0])
        return (found, *command[1:]) if found else ()
    local = (cwd or Path.cwd()) / "node_modules" / ".bin" / name
    place = shutil.which(name) or shutil.which(local)
    return (str(Path(place).absolute()),) if place else ()


def missing(title: str, agent: str, command: Sequence[str], install: str) -> str:
    """One line for a program that `find` did not find.

    Args:
        title: what people call it: ``Claude Code``.
        agent: its section of ``agents``.
        command: ``agents.<agent>.command``.
        install: the command line that installs it.
    """
    if command and command[0]:
        return f"'{command[0]}' is not installed or not executable: correct agents.{agent}.command, or {install}"
    return f"{title} is not installed: {install}, or name the program in agents.{agent}.command"


def decoded(line: str) -> Mapping[str, Any]:
    """One event; empty for a line that is none (warnings of Node, an event cut for its length)."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def word(values: Mapping[str, Any], key: str) -> str:
    """The string under `key`; "" where there is none."""
    found = values.get(key)
    return found if isinstance(found, str) else ""


def mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under `key`; empty where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def records(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects of a list; empty where it is none."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
