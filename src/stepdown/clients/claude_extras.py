"""What Claude Code is given besides: its status line, and the command ``/rate``. What the user has there stays the user's."""

import shlex
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.clients import jsonc
from stepdown.clients.records import Entry, Lasting, Own

_STATUS_LINE: Final = ("statusLine",)
_REFRESH: Final = 10
"""Seconds after which Claude Code draws the line although nothing happened: other sessions use the same windows."""
_HOOK: Final = ("hooks", "UserPromptExpansion")
"""The hook that is asked before a command's text goes to the model. Only it, and only for this command: a hook on every prompt
would cost every prompt. Blocked here, ``/rate`` makes no request and leaves nothing in the conversation (seen with 2.1.325)."""

_MARK: Final = "`stepdown connect claude`"
"""By which a command file is known as ours."""
_COMMAND: Final = f"""---
description: Say that the model of the last unit was over, under or ok (stepdown)
argument-hint: over|under|ok
disable-model-invocation: true
---

Written by {_MARK}, whose hook answers /rate itself. If you read this, the hook did not run: say that
`stepdown rate $ARGUMENTS` in a terminal rates the last unit, and do nothing else.
"""


def with_extras(bare: Lasting) -> Lasting:
    """The configuration with a status line and ``/rate``, as far as there is room for them."""
    said = _said(bare.file)
    command = bare.file.parent / "commands" / "rate.md"
    extras: list[Entry] = []
    own, notes = [], []
    if _is_free(said.get("statusLine")):
        line = {"type": "command", "command": _program("statusline"), "refreshInterval": _REFRESH}
        extras.append(Entry(_STATUS_LINE, line))
    else:
        notes.append(f"statusLine in {bare.file} is your own, and stays: `{_program('statusline')}` prints stepdown's")
    taken = _taken(said, command)
    if taken:
        notes.append(f"/rate is left out: {taken}; `stepdown rate` in a terminal does the same")
    else:
        hook = {"matcher": "rate", "hooks": [{"type": "command", "command": _program("claude-rate"), "timeout": 30}]}
        extras.append(Entry(_HOOK, hook, member=True))
        own.append(Own(command, _COMMAND))
    return msgspec.structs.replace(bare, extras=tuple(extras), own=tuple(own), notes=tuple(notes))


def _is_free(status_line: Any) -> bool:
    """Whether there is no status line, or ours, of whatever installation."""
    if status_line is None:
        return True
    command = status_line.get("command") if isinstance(status_line, dict) else None
    return isinstance(command, str) and "stepdown" in command and command.endswith(" statusline")


def _taken(said: dict[str, Any], command: Path) -> str:
    """Why there is no room for ``/rate``; "" where there is."""
    try:
        if _MARK not in command.read_text(encoding="utf-8"):
            return f"{command} is your own"
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError):
        return f"{command} cannot be read"
    hooks = said.get("hooks", {})
    if not isinstance(hooks, dict) or not isinstance(hooks.get(_HOOK[1], []), list):
        return "the settings' hooks are not understood"
    return ""


def _said(file: Path) -> dict[str, Any]:
    """What the settings say; what cannot be read is said by whoever changes them."""
    try:
        found = jsonc.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _program(word: str) -> str:
    """A command of stepdown's that a shell finds from everywhere."""
    beside = Path(sys.executable).with_name("stepdown")
    # -P: what lies in the agent's directory is no module of ours.
    start = [str(beside)] if beside.exists() else [sys.executable, "-P", "-m", "stepdown"]
    return shlex.join([*start, word])
